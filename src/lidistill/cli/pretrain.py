"""``lidistill pretrain``: distil."""

from lidistill.cli.output import OUT, Overrides, RecipeName, print_figures, print_json
from lidistill.cli.terminal import command, override


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
    from lidistill.recipes import load_recipe, recipe_names

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
    run = loaded.output
    checkpoint = command(override("checkpoint", run))
    fitting = recipe.replace("pretrain/", "probe/", 1)
    probe = fitting if fitting in recipe_names() else "probe/RECIPE"
    OUT.print("next        how good are they? with some labels:")
    OUT.print(f"            lidistill probe {probe} {checkpoint}")
    OUT.print("            of your own scans, without any:")
    OUT.print(f"            lidistill features {command(run)} SCANS --output features --ply")
