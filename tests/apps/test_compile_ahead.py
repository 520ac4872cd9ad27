import subprocess
import sys
from pathlib import Path

CODE = """
import sys
from pathlib import Path
from fakes.runs import write_world
from lidistill.apps.compile_ahead import compile_ahead
from lidistill.apps.pretrain import run_pretrain
from lidistill.recipes import load_recipe
from lidistill.segment.report import train_and_score

def compiled():
    modules = [m for n, m in sys.modules.items() if n.startswith("lidistill.")]
    loops = {v for m in modules for v in vars(m).values() if hasattr(v, "nopython_signatures")}
    return {f"{v.__name__}{s}" for v in loops for s in v.nopython_signatures}

def few(name):
    return load_recipe(str(files[name]), ("train.steps=3",))

if __name__ == "__main__":
    files = write_world(Path(sys.argv[1]))
    imported = compiled()
    compile_ahead(few("pretrain"))
    ahead = compiled()
    run_pretrain(few("pretrain"))
    train_and_score(few("probe"))
    train_and_score(few("finetune"))
    print(len(imported), len(ahead) > 10, sorted(compiled() - ahead))
"""


def test_a_run_compiles_nothing_that_was_not_compiled_ahead(tmp_path):
    python = [sys.executable, "-c", CODE, str(tmp_path)]
    tests = Path(__file__).parents[1]
    done = subprocess.run(python, cwd=tests, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 True []"
