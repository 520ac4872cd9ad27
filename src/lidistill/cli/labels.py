"""Commands that learn from labels and score: probe, finetune, evaluate."""

from collections.abc import Sequence
from json import dumps
from typing import TYPE_CHECKING

from rich.table import Table

from lidistill.cli.boxes import DEFAULT_BOXES, Boxes
from lidistill.cli.output import OUT, Overrides, RecipeName, Run, print_figures, print_json

if TYPE_CHECKING:
    from lidistill.segment.panoptic import PanopticEvaluation
    from lidistill.segment.report import ScoredRun


def probe(recipe: RecipeName, overrides: Overrides = (), /, *, json: bool = False) -> None:
    """Train a linear probe on labels and score it: how good are the features?

    Example: lidistill probe probe/pandaset-002 checkpoint=runs/pretrain/pandaset-002

    The yardsticks: the same with features=random, features=input or features=teacher.

    Args:
        recipe: A name from `lidistill recipes`, or a YAML file.
        overrides: Changes to it, with dots between keys.
        json: Print one JSON object instead of text.
    """
    from lidistill.recipes import load_recipe
    from lidistill.segment.recipe import ProbeRecipe
    from lidistill.segment.report import train_and_score

    loaded = load_recipe(recipe, overrides, kind=ProbeRecipe)
    _print_result(train_and_score(loaded), as_json=json)


def finetune(recipe: RecipeName, overrides: Overrides = (), /, *, json: bool = False) -> None:
    """Train backbone and head on labels, many or few, and score them.

    Example: lidistill finetune finetune/pandaset-002 checkpoint=RUN data.num_frames=3

    From scratch: features=random. Votes of turned copies: votes.num_votes=12.

    Args:
        recipe: A name from `lidistill recipes`, or a YAML file.
        overrides: Changes to it, with dots between keys.
        json: Print one JSON object instead of text.
    """
    from lidistill.recipes import load_recipe
    from lidistill.segment.recipe import FinetuneRecipe
    from lidistill.segment.report import train_and_score

    loaded = load_recipe(recipe, overrides, kind=FinetuneRecipe)
    _print_result(train_and_score(loaded), as_json=json)


def evaluate(
    run: Run,
    overrides: Overrides = (),
    /,
    *,
    panoptic: bool = False,
    boxes: Boxes = DEFAULT_BOXES,
    json: bool = False,
) -> None:
    """Score a finished probe or fine-tuning again, on its own evaluation frames or on others.

    Example: lidistill evaluate runs/probe/pandaset-002 votes.num_votes=12

    Writes into RUN/evaluation, or where output=FOLDER says. With --panoptic also panoptic quality,
    of objects that are told apart in the predicted classes, and in the true ones.

    Args:
        run: Run folder of `lidistill probe` or `lidistill finetune`, or one of its checkpoints.
        overrides: Changes to the run's recipe, with dots between keys.
        panoptic: Also score single objects; the data set must know them.
        boxes: How objects are told apart.
        json: Print one JSON object instead of text.
    """
    from lidistill.recipes import apply_overrides
    from lidistill.segment.recipe import FinetuneRecipe, ProbeRecipe
    from lidistill.segment.report import check_learned, evaluate_run
    from lidistill.training.checkpoint import load_checkpoint

    if not panoptic:
        boxes.refuse_unused("--panoptic")
    checkpoint = load_checkpoint(run)
    check_learned(checkpoint, run, command="evaluate")
    path = checkpoint.path
    beside = (path.parents[1] if path.parent.name == "checkpoints" else path) / "evaluation"
    changes = (f"output={dumps(str(beside))}", *overrides)
    loaded = apply_overrides(checkpoint.recipe, changes, source=f"recipe of {run}")
    assert isinstance(loaded, ProbeRecipe | FinetuneRecipe)  # noqa: S101  its kind is one of both
    instances = boxes.config(tuple(checkpoint.meta["label_names"])) if panoptic else None
    if panoptic:
        count = len(loaded.evaluation.sets)
        changes += tuple(f"evaluation.sets.{number}.instances=true" for number in range(count))
        loaded = apply_overrides(checkpoint.recipe, changes, source=f"recipe of {run}")
        assert isinstance(loaded, ProbeRecipe | FinetuneRecipe)  # noqa: S101  as before
    _print_result(evaluate_run(loaded, checkpoint, instances=instances), as_json=json)


def comparison(results: "Sequence[ScoredRun]", *, groups: bool = False) -> Table:
    """One column a result, one row a class, in percent; if wanted also one a group of points."""
    from lidistill.segment.score_table import class_rows, group_rows, summary_rows

    table = Table("IoU %", *[result.name for result in results])
    evaluations = [result.evaluation for result in results]
    for name, columns in class_rows(evaluations):
        table.add_row(name, *columns)
    table.add_section()
    for name, columns in summary_rows(evaluations):
        table.add_row(name, *columns, style="bold" if name == "mIoU" else None)
    if groups:
        table.add_section()
        for name, columns in group_rows(evaluations):
            table.add_row(name, *columns)
    return table


def panoptic_tables(evaluation: "PanopticEvaluation") -> tuple[Table, Table]:
    """Panoptic quality of every class, and over all of them, in percent."""
    from lidistill.segment.panoptic import mean_rows, panoptic_rows

    classes = Table("%", "PQ", "SQ", "RQ", "IoU", "PQ, true classes")
    for name, row in panoptic_rows(evaluation):
        classes.add_row(name, *row)
    means = Table("over all classes, %", "predicted classes", "true classes")
    for name, row in mean_rows(evaluation):
        means.add_row(name, *row)
    return classes, means


def _print_result(result: "ScoredRun", *, as_json: bool) -> None:
    if as_json:
        print_json(result.evaluation.to_json() | {"results": str(result.results)})
        return
    OUT.print(comparison((result,), groups=True))
    if result.evaluation.panoptic is not None:
        for table in panoptic_tables(result.evaluation.panoptic):
            OUT.print(table)
    OUT.print(f"results     {result.results}")
    print_figures(result.figures)
