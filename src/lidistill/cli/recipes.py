"""``lidistill recipes``: the complete runs that are shipped."""

import sys
from typing import Annotated

import tyro
from rich.table import Table

from lidistill.cli.output import OUT, print_json
from lidistill.recipes.texts import complete_text, recipe_names, recipe_text, study_names


def recipes(
    name: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="[RECIPE]")] = "",
    *,
    json: bool = False,
) -> None:
    """List the recipes, or print one with every comment in it.

    Example: lidistill recipes pretrain/scalr

    Args:
        name: Recipe to print.
        json: Print one JSON object instead of text.
    """
    if name:
        if json:
            from lidistill.recipes import load_recipe
            from lidistill.studies.config import load_study

            loaded = load_study(name) if name in study_names() else load_recipe(name)
            print_json({"name": name, "recipe": loaded.model_dump(mode="json")})
        else:
            sys.stdout.write(complete_text(name))
        return
    names = (*recipe_names(), *study_names())
    first_lines = {n: recipe_text(n).splitlines()[0].lstrip("# ") for n in names}
    if json:
        print_json(first_lines)
        return
    table = Table("recipe", "what it runs")
    for recipe_name, line in first_lines.items():
        table.add_row(recipe_name, line)
    OUT.print(table)
