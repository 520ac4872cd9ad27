"""Checkpoints and recipes made to do harm: to run code, to write elsewhere, to fill the memory.

What comes from elsewhere is in ``faults.foreign``; damaged files of the data sets are in
``mutations.mutants``, with a benchmark of their own.
"""

import json
import resource
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import torch
from fakes.folder import write_folder
from faults.foreign import ARCHIVES, SCANS, RunsCode
from faults.trials import Tally, World, finish, start

from lidistill.atomic_write import sha256
from lidistill.training.checkpoint_record import RECORD, TRAINING, WEIGHTS, record_sum

_MEBIBYTES = 512


def _pickle(checkpoint: Path, mark: Path) -> None:
    torch.save({"optimizer": RunsCode(mark)}, checkpoint / "training.pt")


def _bare_pickle(checkpoint: Path, mark: Path) -> None:
    content = b"cposix\nsystem\n(S'touch " + str(mark).encode() + b"'\ntR."
    (checkpoint / "training.pt").write_bytes(content)


def _deep_pickle(checkpoint: Path, mark: Path) -> None:
    (checkpoint / "training.pt").write_bytes(b"\x80\x02" + b"]" * 1_000_000 + b".")


def _huge_header(checkpoint: Path, mark: Path) -> None:
    (checkpoint / "weights.safetensors").write_bytes(struct.pack("<Q", 1 << 60) + b"{}")


def _huge_tensor(checkpoint: Path, mark: Path) -> None:
    header = {"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}
    text = json.dumps(header).encode()
    (checkpoint / "weights.safetensors").write_bytes(struct.pack("<Q", len(text)) + text)


def _deep_json(checkpoint: Path, mark: Path) -> None:
    (checkpoint / "checkpoint.json").write_text("[" * 1_000_000)


def _huge_number(checkpoint: Path, mark: Path) -> None:
    (checkpoint / "checkpoint.json").write_text('{"format": ' + "9" * 1_000_000 + "}")


def _link_away(checkpoint: Path, mark: Path) -> None:
    (checkpoint / "weights.safetensors").unlink()
    (checkpoint / "weights.safetensors").symlink_to("/dev/zero")


def _tag(recipe: Path, mark: Path) -> None:
    recipe.write_text(f"kind: !!python/object/apply:os.system ['touch {mark}']\n")


def _new_tag(recipe: Path, mark: Path) -> None:
    recipe.write_text("!!python/object/new:subprocess.Popen\nargs: [[touch, " + f"{mark}]]\n")


def _laughs(recipe: Path, mark: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 10)]
    recipe.write_text("\n".join(lines))


def _deep_yaml(recipe: Path, mark: Path) -> None:
    recipe.write_text("a: " + "[" * 100_000)


CHECKPOINTS: tuple[Callable[[Path, Path], None], ...] = (
    _pickle,
    _bare_pickle,
    _deep_pickle,
    _huge_header,
    _huge_tensor,
    _deep_json,
    _huge_number,
    _link_away,
)
RECIPES: tuple[Callable[[Path, Path], None], ...] = (_tag, _new_tag, _laughs, _deep_yaml)


ATTACKS = (*CHECKPOINTS, *RECIPES, *ARCHIVES, *SCANS)


def hostile(world: World, count: int) -> Tally:
    """Resume from, train by, import and read hostile files, each in its own process."""
    tally = Tally("hostile checkpoints, recipes, archives and scans")
    mark, run = world.folder / "mark", world.folder / "hostile"
    for tally.trials in range(1, count + 1):
        attack = ATTACKS[tally.trials % len(ATTACKS)]
        arguments = _prepare(attack, world, run, mark)
        before = _tree(world.folder)
        status, text = finish(start(arguments, _bounded))
        name = attack.__name__.strip("_")
        clear = status == 2 and "error: " in text and "Traceback" not in text
        tally.check(good=clear, otherwise=f"{name}: ended with {status}: {text[-300:]}")
        tally.check(good=not mark.exists(), otherwise=f"{name}: code was run")
        outside = {path for path in _tree(world.folder) ^ before if run.name not in path.parts}
        tally.check(good=not outside, otherwise=f"{name}: wrote {outside}")
        shutil.rmtree(run)
    return tally


def _prepare(
    attack: Callable[[Path, Path], None], world: World, run: Path, mark: Path
) -> list[str]:
    """Write the hostile file, and give the arguments of a command that meets it."""
    recipe = world.folder / "hostile.yaml"
    shutil.copy(world.recipe, recipe)
    shutil.copytree(world.reference, run)
    if attack in ARCHIVES:
        archive = run / "model.tar.gz"
        attack(archive, mark)
        return ["import-checkpoint", str(archive), str(run / "imported")]
    if attack in SCANS:
        own = write_folder(run / "own", drives=("",), num_frames=1)
        (own / "scans" / "000000.pcd").unlink()
        attack(own / "scans" / "000000", mark)
        sets = f"data.sets=[{{kind: folder, root: {own}}}]"
        return ["pretrain", str(recipe), sets, f"output={run / 'trained'}"]
    if attack in CHECKPOINTS:
        newest = sorted((run / "checkpoints").glob("step-*"))[-1]
        attack(newest, mark)
        _sign(newest)
    else:
        attack(recipe, mark)
    return ["pretrain", str(recipe), f"output={run}"]


def _sign(checkpoint: Path) -> None:
    """Whoever changes a file changes its checksum with it."""
    try:
        record = json.loads((checkpoint / RECORD).read_text())
    except (ValueError, RecursionError):
        return
    names = [name for name in (WEIGHTS, TRAINING) if (checkpoint / name).is_file()]
    sums = {name: sha256(checkpoint / name) for name in names}
    record["sha256"] = sums | {RECORD: record_sum(record)}
    (checkpoint / RECORD).write_text(json.dumps(record))


def _bounded() -> None:
    """Half a gibibyte more than now, at most."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + _MEBIBYTES * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CPU, (60, 60))


def _tree(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))
