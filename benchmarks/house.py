"""Numbers of the house: sizes of rooms and files, and the files from one frame to its loss.

    python benchmarks/house.py
    python benchmarks/house.py --trace pretrain/debug data.sets.0.root=STREET ...

The second form makes the batch of one step, without workers, and its loss, and names every file of
the package that runs code of its own on the way. Which of them a reader needs stands in
``docs/data-model.md``.
"""

import argparse
import sys
from pathlib import Path
from types import FrameType
from typing import Final

import lidistill
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distill.run import build_run, training_batches
from lidistill.recipes import load_recipe

ROOT: Final = Path(lidistill.__file__).parent
_PARSERS: Final = ("datasets", "scan_formats", "images", "bags", "reading")


def main() -> None:
    """Print sizes, or a trace."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trace", metavar="RECIPE")
    parser.add_argument("overrides", nargs="*", help="key=value for the recipe")
    arguments = parser.parse_args()
    if arguments.trace is None:
        print_sizes()
        return
    changes = (*arguments.overrides, "data.workers=0", "device=cpu")
    files = files_to_a_loss(load_recipe(arguments.trace, changes, kind=PretrainRecipe))
    parsers = [file for file in files if file.split("/")[0] in _PARSERS]
    print("\n".join(files))
    print(f"{len(files)} files, {len(parsers)} of them parsers ({', '.join(_PARSERS)})")


def print_sizes() -> None:
    """Share of the lines in the largest rooms, and the files that are long."""
    lines = {
        file.relative_to(ROOT): len(file.read_text(encoding="utf-8").splitlines())
        for file in sorted(ROOT.rglob("*.py"))
    }
    total, rooms = sum(lines.values()), dict.fromkeys((file.parts[0] for file in lines), 0)
    for file, count in lines.items():
        rooms[file.parts[0]] += count
    for room in sorted(rooms, key=lambda name: -rooms[name])[:6]:
        print(f"{room:12} {rooms[room]:6} lines, {rooms[room] / total:.1%} of {total}")
    long = [file for file, count in lines.items() if count > 200]
    longest = [f"{file} ({lines[file]})" for file in long if lines[file] > 300]
    print(f"{len(long)} of {len(lines)} files over 200 lines: {len(long) / len(lines):.1%}")
    print(f"over 300 lines: {', '.join(longest) or 'none'}")


def files_to_a_loss(recipe: PretrainRecipe) -> list[str]:
    """Files whose code runs between one frame on disk and the loss of its batch."""
    run = build_run(recipe)
    distiller = run.build_distiller()
    found: dict[str, None] = {}

    def note(frame: FrameType, event: str, argument: object) -> None:
        del argument
        file = Path(frame.f_code.co_filename)
        if event == "call" and file.is_relative_to(ROOT):
            found.setdefault(str(file.relative_to(ROOT)))

    batches = training_batches(run)(0, 1)
    sys.setprofile(note)
    try:
        for group in batches:
            for batch in group:
                distiller(batch)
    finally:
        sys.setprofile(None)
    return list(found)


if __name__ == "__main__":
    main()
