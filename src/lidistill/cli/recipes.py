"""``lidistill recipes``: the complete runs that are shipped."""

import sys
from typing import Annotated

import tyro
from rich.table import Table

from lidistill.cli.output import OUT, print_json
from lidistill.recipes.texts import complete_text, recipe_names, recipe_text


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

            print_json({"name": name, "recipe": load_recipe(name).model_dump(mode="json")})
        else:
            sys.stdout.write(complete_text(name))
        return
    first_lines = {n: recipe_text(n).splitlines()[0].lstrip("# ") for n in recipe_names()}
    if json:
        print_json(first_lines)
        return
    table = Table("recipe", "what it runs")
    for recipe_name, line in first_lines.items():
        table.add_row(recipe_name, line)
    OUT.print(table)
