"""Commands about finished runs: compare baselines, domain gap, published weights, submissions."""

import sys
from pathlib import Path
from typing import Annotated, Literal

import tyro
from rich.table import Table

from lidistill.apps.comparison_plan import Plan
from lidistill.cli.boxes import DEFAULT_BOXES, Boxes
from lidistill.cli.output import OUT, Output, Overrides, Run, print_figures, print_json

_File = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
_RunsAndOverrides = Annotated[
    tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN ... [KEY=VALUE ...]")
]
_Recipes = Annotated[tuple[str, str, str], tyro.conf.arg(metavar="PRETRAIN PROBE FINETUNE")]
_Rows = Annotated[tuple[str, ...], tyro.conf.arg(metavar="ROW ...")]
_Numbers = Annotated[tuple[int, ...], tyro.conf.arg(metavar="N ...")]
_KernelOrder = Literal["minkowski", "torchsparse"]
_DEFAULT = Plan(output=Path("runs/compare"))


def compare(
    changes: Overrides = (),
    /,
    *,
    recipes: _Recipes = (_DEFAULT.pretrain, _DEFAULT.probe, _DEFAULT.finetune),
    rows: _Rows = _DEFAULT.rows,
    frames: _Numbers = (),
    seeds: _Numbers = (0,),
    output: Path = _DEFAULT.output,
    json: bool = False,
) -> None:
    """Random, input, teacher, distilled, from scratch, fine-tuned: one budget, one table.

    Example: lidistill compare finetune.train.steps=500 --frames 1 3 10 --seeds 0 1 2
        --recipes pretrain/pandaset-002 probe/pandaset-002 finetune/pandaset-002

    Args:
        changes: Overrides of the recipes: pretrain., probe., finetune. or all. before the key.
        recipes: Of the distillation, of every probe, and of training from scratch or fine-tuning.
        rows: What to compare; besides the default probed-finetuned, which goes on from the probe.
        frames: Numbers of labelled frames to learn from, besides all.
        seeds: One distillation and one run of each row for each.
        output: Folder of all runs; a second call runs only what is not done.
        json: Print one JSON object instead of text.
    """
    from lidistill.apps.compare import compare as run_comparison
    from lidistill.apps.comparison_table import gap_sentence, table_rows
    from lidistill.cli.offer_view import offer_view

    pretrain, probe, finetune = recipes
    lines = run_comparison(
        Plan(
            output=output,
            pretrain=pretrain,
            probe=probe,
            finetune=finetune,
            rows=rows,
            frames=frames,
            seeds=seeds,
            changes=changes,
        )
    )
    if json:
        print_json({line.name: line.scores for line in lines})
        return
    table = Table("run", "mIoU %", "spread", "classes in the truth", "points in an image")
    for row in table_rows(lines):
        table.add_row(*row)
    OUT.print(table)
    if gap := gap_sentence(lines):
        OUT.print(gap)
    OUT.print(f"results     {output / 'comparison.json'}")
    wanted = [row for row in ("distilled", "random", "scratch", "finetuned") if row in rows]
    offer_view([output / f"{row}-all-{seeds[0]}" for row in wanted[:2]])


def gap(
    runs: _RunsAndOverrides, /, *, output: Path = Path("runs/domain-gap"), json: bool = False
) -> None:
    """Score every run on the frames of every other, in the classes that their sets share.

    Example: lidistill gap runs/probe/pandar64 runs/published
        1.evaluation.sets.0.root=/data/nuscenes

    Args:
        runs: Run folders of probes or fine-tunings; then changes to their recipes, key=value for
            all or 1.key=value for the second run.
        output: Folder for matrix, table and figure.
        json: Print one JSON object instead of text.
    """
    from lidistill.apps.gap import domain_gap, table_rows
    from lidistill.apps.learned_runs import runs_and_overrides
    from lidistill.cli.offer_view import offer_view

    folders, overrides = runs_and_overrides(runs)
    result = domain_gap(folders, output, overrides)
    if json:
        print_json({"names": result.names, "mean_iou_of_truth": result.percent})
        return
    table = Table()
    for header in ("learned on, mIoU %", *(f"on {name}" for name in result.names)):
        table.add_column(header, overflow="fold")  # two long names may differ at their ends only
    for row in table_rows(result):
        table.add_row(*row)
    OUT.print(table)
    OUT.print(f"results     {result.results}")
    print_figures((result.figure,))
    offer_view(folders, overrides)


def import_checkpoint(
    file: _File,
    output: Output,
    /,
    *,
    recipe: str = "",
    kernel_order: _KernelOrder | None = None,
    json: bool = False,
) -> None:
    """Convert published weights of ScaLR, WaffleIron, SLidR, LitePT or PTv3; no code is run.

    Example: lidistill import-checkpoint model.tar.gz runs/published --recipe probe/scalr/nuscenes

    Or: lidistill import-checkpoint minkunet_slidr_1gpu.pt runs/slidr

    Then: lidistill evaluate runs/published evaluation.sets.0.root=/data/nuscenes

    Args:
        file: The .pth or .pt, or the .tar.gz that it comes in.
        output: Run folder to write.
        recipe: What it was trained by; needed where the file holds classes.
        kernel_order: Library that a MinkUNet under SLidR's names was trained with; its names tell
            where it is left out. The order of torchsparse is taken from its source, and was
            compared with nothing it computed.
        json: Print one JSON object instead of text.
    """
    from lidistill.apps.import_checkpoint import import_checkpoint as run_import

    result = run_import(file, output, recipe=recipe or None, kernel_order=kernel_order)
    if json:
        print_json({"checkpoint": str(result.checkpoint), "recipe": result.recipe})
        return
    network = f"WI-{result.depth}-{result.width}"
    if result.kind != "waffleiron":
        network = f"{result.kind} of {result.width} channels"
    OUT.print(
        f"{network}, {result.num_parameters / 1e6:.1f} M parameters, "
        f"head {result.head}, recipe {result.recipe}"
    )
    OUT.print(f"checkpoint  {result.checkpoint}")


def submission(
    run: Run,
    output: Output,
    overrides: Overrides = (),
    /,
    *,
    panoptic: bool = False,
    boxes: Boxes = DEFAULT_BOXES,
    check_only: bool = False,
    json: bool = False,
) -> None:
    """Predict a test set in its server's format, and say what the server would refuse.

    Example: lidistill submission RUN submit evaluation.sets.0.root=/data/nuscenes

    The frames are the test split of the run's first evaluation set. Zip the content of the folder
    to hand it in. Exit status 2 says that something is wrong with it.

    Args:
        run: Run folder of a probe or a fine-tuning on nuscenes or semantic_kitti.
        output: Folder to hand in.
        overrides: Changes to the run's recipe; evaluation.sets.0 is the set to predict.
        panoptic: For the panoptic benchmark: also say which object a point is of.
        boxes: How objects are told apart.
        check_only: Predict nothing; look at what lies there.
        json: Print one JSON object instead of text.
    """
    from lidistill.instances.find import InstanceFinder
    from lidistill.recipes import apply_overrides
    from lidistill.segment.recipe import FinetuneRecipe, ProbeRecipe
    from lidistill.segment.report import check_classes, check_learned, restored
    from lidistill.segment.submission import (
        check_submission,
        check_test_set,
        test_set,
        write_submission,
    )
    from lidistill.segment.test_time_augmentation import predict_with_tta
    from lidistill.training.checkpoint import load_checkpoint

    if not panoptic:
        boxes.refuse_unused("--panoptic")
    checkpoint = load_checkpoint(run)
    check_learned(checkpoint, run, command="submission")
    wanted = ("evaluation.sets.0.instances=true",) if panoptic else ()
    changes = (*test_set(checkpoint.recipe), *wanted, *overrides)
    names = tuple(checkpoint.meta["label_names"])
    finder = InstanceFinder(boxes.config(names), names) if panoptic else None
    recipe = apply_overrides(checkpoint.recipe, changes, source=f"recipe of {run}")
    assert isinstance(recipe, ProbeRecipe | FinetuneRecipe)  # noqa: S101  checked above
    dataset = recipe.evaluation.sets[0].build()
    if not check_only:
        check_classes(names, str(run), dataset.label_map)
        network = restored(recipe, checkpoint)
        network = network.for_scores(recipe.inference, dataset, recipe.sampling)
        predict = predict_with_tta(
            network.class_scores, recipe.votes, recipe.sampling, network.preparer
        )
        write_submission(
            predict,
            dataset,
            output,
            sampling=recipe.sampling,
            preparer=network.preparer,
            finder=finder,
        )
    problems = check_test_set(dataset) + check_submission(dataset, output)
    if json:
        print_json({"folder": str(output), "frames": len(dataset), "problems": problems})
    else:
        for problem in problems:
            OUT.print(f"problem     {problem}")
        OUT.print(f"{len(dataset)} frames in {output}, {len(problems)} problems")
    if problems:
        sys.exit(2)
