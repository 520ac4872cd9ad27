"""``lidistill teachers``: the image networks that may be called by a name."""

from itertools import groupby
from typing import Annotated, Any

import tyro
from rich.table import Table

from lidistill.cli.output import OUT, print_json
from lidistill.errors import UnknownNameError, unknown_name
from lidistill.teachers.families import Family
from lidistill.teachers.table import KNOWN, KnownTeacher, nearest_name


def teachers(
    word: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[WORD]")] = "",
    *,
    json: bool = False,
) -> None:
    """List the teachers that a recipe may call by a name, and where their weights are.

    Example: lidistill teachers dinov3

    Beside these, a recipe's `teacher.name` takes a folder, a file or any Hugging Face name of the
    same families. No weights come with lidistill, and none are loaded here.

    Args:
        word: Only those with this in their name.
        json: Print one JSON object instead of text.
    """
    chosen = [row for row in KNOWN.values() if word.lower() in row.name.lower()]
    if not chosen:
        if near := nearest_name(word):
            raise UnknownNameError(f"unknown teacher {word!r}; did you mean {near!r}?")
        raise unknown_name("teacher", word, KNOWN)
    if json:
        print_json({row.name: _record(row) for row in chosen})
        return
    for family, rows in groupby(chosen, lambda row: row.family):
        _print_family(family, list(rows))


def _print_family(family: Family, rows: list[KnownTeacher]) -> None:
    gated = " (to be accepted before it can be fetched)" if family.gated else ""
    since = f", from transformers {family.since} on" if family.since else ""
    OUT.print(f"{family.title}: kind {family.kind}, licence {family.licence}{gated}")
    OUT.print(f"  weights {family.home.replace('*', 'NAME')}{since}")
    sizes = sorted({row.images for row in rows})
    OUT.print(f"  images  {sizes[0] if len(sizes) == 1 else 'multiples of the patch'}")
    table = Table("name", "parameters", "patch", "channels", "trained at", "text", box=None)
    table.columns[0].no_wrap = True
    for row in rows:
        patch = str(row.patch) if row.coarsest == row.patch else f"{row.patch}-{row.coarsest}"
        table.add_row(
            row.name,
            f"{row.parameters / 1e6:,.1f} M",
            patch,
            " ".join(map(str, row.channels)),
            str(row.size),
            row.text or "-",
        )
    OUT.print(table)
    OUT.print()


def _record(row: KnownTeacher) -> dict[str, Any]:
    return {
        "family": row.family.title,
        "kind": row.family.kind,
        "weights": row.home,
        "licence": row.family.licence,
        "gated": row.family.gated,
        "parameters": row.parameters,
        "patch": row.patch,
        "channels": list(row.channels),
        "image_size": row.size,
        "images": row.images,
        "text": row.text or None,
    }
