"""The command line: parse, call, print; nothing is computed here."""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from rich.console import Console
from rich.logging import RichHandler
from rich.table import Table

from lidistill import __version__
from lidistill.data.check import CheckReport, check_root
from lidistill.demo import run_demo
from lidistill.engine.checkpoint import load_checkpoint
from lidistill.engine.progress import ProgressBar
from lidistill.errors import CheckpointError, LidistillError
from lidistill.recipes import (
    apply_overrides,
    load_recipe,
    recipe_names,
    recipe_text,
)
from lidistill.tasks.distill import PretrainRecipe
from lidistill.tasks.pretrain_run import run_pretrain
from lidistill.tasks.report import ProbeResult, evaluate_run, run_probe
from lidistill.tasks.segment import ProbeRecipe

_out = Console(soft_wrap=True, markup=False)

_Name = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
_Overrides = Annotated[tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="KEY=VALUE")]
_Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]


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
        probes = {p.name: p.evaluation.to_json() for p in result.probes}
        _print_json({"probes": probes, "pictures": [str(p) for p in result.pictures]})
        return
    _out.print(_comparison(result.probes))
    _out.print(
        "Linear probes on a simulated district that no network has seen; mIoU in percent.\n"
        "random: the same network, untrained. teacher: EfficientNet-Lite2 features read at the\n"
        "points a camera sees, and scored on those. backbone: distilled, from lidar alone.\n"
    )
    _print_pictures(result.pictures)
    _out.print("Your own data: `lidistill data check FOLDER`, then docs/datasets/.")


def pretrain(recipe: _Name, overrides: _Overrides = (), /, *, json: bool = False) -> None:
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
        _print_json(record | {"pictures": [str(p) for p in result.pictures]})
        return
    _out.print(
        f"distilled {loaded.name}: loss {result.last['loss']:.4f}, "
        f"cosine {result.last['cosine']:.4f} after {result.last['step']} steps"
    )
    _out.print(f"checkpoint  {result.checkpoint}")
    _print_pictures(result.pictures)


def probe(recipe: _Name, overrides: _Overrides = (), /, *, json: bool = False) -> None:
    """Train a linear probe on labels and score it: how good are the features?

    Example: lidistill probe probe/pandaset-002 checkpoint=runs/pretrain/pandaset-002
    The yardsticks: the same with features=random, features=input or features=teacher.

    Args:
        recipe: A name from `lidistill recipes`, or a YAML file.
        overrides: Changes to it, with dots between keys.
        json: Print one JSON object instead of text.
    """
    loaded = load_recipe(recipe, overrides, kind="probe")
    assert isinstance(loaded, ProbeRecipe)  # noqa: S101  load_recipe has checked the kind
    _print_result(run_probe(loaded), as_json=json)


def evaluate(run: _Folder, overrides: _Overrides = (), /, *, json: bool = False) -> None:
    """Score a finished probe again, on its own evaluation frames or on others.

    Example: lidistill evaluate runs/probe/pandaset-002 evaluation.sets.0.frames=0-10
    Writes into RUN/evaluation, or where output=FOLDER says.

    Args:
        run: Run folder of `lidistill probe`, or one of its checkpoints.
        overrides: Changes to the run's recipe, with dots between keys.
        json: Print one JSON object instead of text.
    """
    checkpoint = load_checkpoint(run)
    if checkpoint.recipe.get("kind") != "probe":
        msg = f"{run} is a {checkpoint.recipe.get('kind')} run; evaluate needs the run of a probe."
        raise CheckpointError(msg)
    beside = f"output={Path(checkpoint.recipe['output']) / 'evaluation'}"
    loaded = apply_overrides(checkpoint.recipe, (beside, *overrides), source=f"recipe of {run}")
    assert isinstance(loaded, ProbeRecipe)  # noqa: S101  its kind is probe
    _print_result(evaluate_run(loaded, checkpoint), as_json=json)


def recipes(name: Annotated[str, tyro.conf.Positional] = "", *, json: bool = False) -> None:
    """List the recipes, or print one with every comment in it.

    Example: lidistill recipes pretrain/scalr

    Args:
        name: Recipe to print.
        json: Print one JSON object instead of text.
    """
    if name:
        text = recipe_text(name)
        if json:
            _print_json({"name": name, "recipe": load_recipe(name).model_dump(mode="json")})
        else:
            sys.stdout.write(text)
        return
    first_lines = {n: recipe_text(n).splitlines()[0].lstrip("# ") for n in recipe_names()}
    if json:
        _print_json(first_lines)
        return
    table = Table("recipe", "what it runs")
    for recipe_name, line in first_lines.items():
        table.add_row(recipe_name, line)
    _out.print(table)


def data(
    action: Annotated[Literal["check"], tyro.conf.Positional],
    root: _Folder,
    /,
    *,
    output: Path = Path("runs/data-check"),
    json: bool = False,
) -> None:
    """Look at a PandaSet folder: what is there, what is missing, and does it fit together.

    Example: lidistill data check /data/pandaset --output runs/look

    Args:
        action: What to do; `check` reads every frame and writes overlays, one for each camera. Exit
            status 2 says that something could not be read.
        root: Folder of the data set.
        output: Folder for the overlay pictures.
        json: Print one JSON object instead of text.
    """
    assert action == "check"  # noqa: S101  tyro admits nothing else
    with ProgressBar("reading", total=None) as bar:
        report = check_root(root, output, on_frame=bar.advance)
    if json:
        _print_json(report.to_json())
    else:
        _print_check(report)
    if not report.sound:
        sys.exit(2)


def main(argv: list[str] | None = None) -> None:
    """Entry point of the ``lidistill`` command."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        _out.print(f"lidistill {__version__}")
        return
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    handler = RichHandler(console=Console(stderr=True), show_path=False, show_level=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler], force=True)
    for noisy in ("httpx", "matplotlib", "PIL", "transformers"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    commands = {f.__name__: f for f in (demo, pretrain, probe, evaluate, recipes, data)}
    try:
        tyro.extras.subcommand_cli_from_dict(
            commands,
            args=arguments,
            prog="lidistill",
            description="Strong lidar features without labels, distilled from vision foundation "
            "models. Add --debug to any command for the traceback of an error.",
            config=(tyro.conf.FlagCreatePairsOff,),
        )
    except LidistillError as error:
        if debug:
            raise
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        sys.exit(2)
    except OSError as error:
        if debug:
            raise
        sys.stderr.write(f"error: {error}; check the path, its permissions and the free space.\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the same command resumes from the last checkpoint.\n")
        sys.exit(130)


def _print_json(record: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(record, indent=1) + "\n")


def _print_pictures(pictures: tuple[Path, ...]) -> None:
    for picture in pictures:
        _out.print(f"picture     {picture}")


def _print_result(result: ProbeResult, *, as_json: bool) -> None:
    if as_json:
        _print_json(result.evaluation.to_json() | {"results": str(result.results)})
        return
    _out.print(_comparison((result,)))
    _out.print(f"results     {result.results}")
    _print_pictures(result.pictures)


def _comparison(results: tuple[ProbeResult, ...]) -> Table:
    """One column a result, one row a class, in percent."""
    table = Table("IoU %", *[result.name for result in results])
    evaluations = [result.evaluation for result in results]
    for index, name in enumerate(evaluations[0].class_names):
        table.add_row(name, *[_percent(e.scores.iou[index]) for e in evaluations])
    table.add_section()
    table.add_row("mIoU", *[_percent(e.scores.mean_iou) for e in evaluations], style="bold")
    table.add_row(
        "mIoU, points in a picture", *[_percent(e.scores_seen.mean_iou) for e in evaluations]
    )
    table.add_row("accuracy", *[_percent(e.scores.overall_accuracy) for e in evaluations])
    return table


def _percent(value: float) -> str:
    return "–" if value != value else f"{100 * value:.1f}"  # noqa: PLR0124  NaN


def _print_check(report: CheckReport) -> None:
    _out.print(f"{report.format} at {report.root}: {', '.join(report.parts)}")
    table = Table(report.format, *[dataset.sensor for dataset in report.datasets])
    rows: list[tuple[str, list[str]]] = [
        ("frames", [str(d.num_frames) for d in report.datasets]),
        ("with labels", [str(d.num_labelled) for d in report.datasets]),
        ("points a frame", [_range(d.num_points) for d in report.datasets]),
        (
            "intensity, mean ± std",
            [f"{d.intensity_mean:.1f} ± {d.intensity_std:.1f}" for d in report.datasets],
        ),
    ]
    for camera in sorted({c for d in report.datasets for c in d.camera_share}):
        shares = [d.camera_share.get(camera) for d in report.datasets]
        rows.append((f"in {camera}", ["–" if s is None else f"{s:.1%}" for s in shares]))
    for row_name, values in rows:
        table.add_row(row_name, *values)
    table.add_section()
    for class_name in report.datasets[0].class_counts:
        counts = [d.class_counts[class_name] for d in report.datasets]
        table.add_row(class_name, *[f"{count:,}" for count in counts])
    _out.print(table)
    for line in report.missing:
        _out.print(f"missing     {line}")
    for dataset in report.datasets:
        for line in dataset.problems:
            _out.print(f"problem     {line}")
        _print_pictures(dataset.pictures)


def _range(numbers: tuple[int, ...]) -> str:
    return f"{min(numbers):,} to {max(numbers):,}" if numbers else "–"
