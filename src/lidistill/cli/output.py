"""What every command prints with, and the arguments they share."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import tyro
from rich.console import Console

OUT = Console(soft_wrap=True, markup=False)

Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
RecipeName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
Overrides = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="KEY=VALUE")]


def print_json(record: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    if not OUT.quiet:
        sys.stdout.write(json.dumps(record, indent=1) + "\n")


def print_pictures(pictures: Iterable[Path]) -> None:
    """One line for each picture that was written."""
    for picture in pictures:
        OUT.print(f"picture     {picture}")
