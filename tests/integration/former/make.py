"""Write runs and their numbers with an older version of this package, in an empty folder.

With OLD, a checkout of the version whose runs are to be kept, and this file's own copy of it:

    PYTHONPATH=OLD/src:OLD/tests python tests/integration/former/make.py
"""

import importlib.util
import json
import shutil
import zipfile
from pathlib import Path

import pandas as pd
import yaml
from fakes import runs

TEST = Path(__file__).parents[1] / "test_former_runs.py"
WIDE = {"fov_min": [-48, -48, -8], "fov_max": [48, 48, 8], "planes": [[24, 24], [24, 8], [24, 8]]}


def recipes(here):
    """The miniature recipes in the former keys, and smaller."""
    pretrain = runs.pretrain_values(here)
    pretrain["data"]["sampling"]["num_neighbors"] = 8
    pretrain["backbone"]["depth"] = 2
    pretrain["schedule"]["warmup_steps"] = 1
    pretrain["train"] = {"steps": 2, "batch_size": 2, "keep_checkpoints": 1}
    yield "pretrain", pretrain
    for values in (runs.probe_values(here), runs.finetune_values(here)):
        values["sampling"]["num_neighbors"] = 8
        values["train"] = {"steps": 3, "batch_size": 2, "keep_checkpoints": 1}
        values["evaluation"] = {"sets": [values["evaluation"]["sets"][0] | {"frames": [0, 1]}]}
        if values["kind"] == "finetune":
            values |= {"grid": WIDE, "drop_path": 0.1}
            values.pop("network", None)
        yield f"{values['kind']}-backbone", values


def main():
    pd.set_option("mode.string_storage", "python")
    spec = importlib.util.spec_from_file_location("former_runs", TEST)
    test = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(test)
    runs.write_street(Path("set"))
    runs.write_vit(Path("vit"))
    names = []
    for name, values in recipes(Path()):
        names.append(name)
        Path(f"{name}.yaml").write_text(yaml.safe_dump(values))
        test.command(values["kind"], f"{name}.yaml")
        for rest in ("pictures", "tensorboard"):
            shutil.rmtree(Path(name, rest), ignore_errors=True)
    with zipfile.ZipFile("runs.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
        for name in names:
            kept = [Path(f"{name}.yaml"), *sorted(Path(name).rglob("*"))]
            for path in kept:
                if path.is_file() and path.name not in {".lock", "results.json", "results.md"}:
                    packed.write(path)
    numbers = json.dumps(test.go_on(), indent=None)
    Path("numbers.json").write_text(numbers + "\n")


if __name__ == "__main__":
    main()
