"""``lidistill pretrain``: distil."""

from typing import TYPE_CHECKING

from lidistill.cli.output import OUT, Overrides, RecipeName, print_figures, print_json
from lidistill.cli.terminal import command, override

if TYPE_CHECKING:
    from lidistill.distill.recipe import PretrainRecipe


def pretrain(recipe: RecipeName, overrides: Overrides = (), /, *, json: bool = False) -> None:
    """Distil a 2D foundation model into a 3D backbone; resumes where it was cut.

    Example: lidistill pretrain pretrain/pandaset-002 train.steps=500

    Args:
        recipe: A name from `lidistill recipes`, or a YAML file.
        overrides: Changes to it, with dots between keys.
        json: Print one JSON object instead of text.
    """
    from lidistill.apps.pretrain import run_pretrain
    from lidistill.distill.recipe import PretrainRecipe
    from lidistill.recipes import load_recipe

    loaded = load_recipe(recipe, overrides, kind=PretrainRecipe)
    result = run_pretrain(loaded)
    if json:
        record = {"checkpoint": str(result.checkpoint), "last": result.last}
        print_json(record | {"figures": [str(p) for p in result.figures]})
        return
    OUT.print(
        f"distilled {loaded.name}: loss {result.last['loss']:.4f}, "
        f"cosine {result.last['cosine']:.4f} after {result.last['step']} steps"
    )
    OUT.print(f"checkpoint  {result.checkpoint}")
    print_figures(result.figures)
    OUT.print("next        how good are they? with some labels:")
    OUT.print(f"            {probe_of(recipe, loaded)}")
    OUT.print("            of your own scans, without any:")
    OUT.print(
        f"            lidistill features {command(loaded.output)} SCANS --output features --ply"
    )


def probe_of(recipe: str, loaded: "PretrainRecipe") -> str:
    """The command that probes a finished distillation, on data where the distillation's lie.

    Args:
        recipe: Name or file that the distillation was started by.
        loaded: What it came to.
    """
    from lidistill.recipes import load_recipe, recipe_names
    from lidistill.segment.recipe import ProbeRecipe

    checkpoint = override("checkpoint", loaded.output)
    name = recipe.replace("pretrain/", "probe/", 1)
    if name not in recipe_names():
        return f"lidistill probe probe/RECIPE {command(checkpoint)}"
    probe = load_recipe(name, kind=ProbeRecipe)
    roots = {one.kind: one.root for one in reversed(loaded.data.sets)}  # of several the first
    moved = [
        override(f"{part}.sets.{number}.root", roots[one.kind])
        for part, sets in (("data", probe.data.sets), ("evaluation", probe.evaluation.sets))
        for number, one in enumerate(sets)
        if roots.get(one.kind, one.root) != one.root
    ]
    return f"lidistill probe {command(name, checkpoint, *moved)}"
