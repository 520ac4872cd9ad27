"""``lidistill corrupt``: corrupted copies of a data set, in its own layout."""

from pathlib import Path
from typing import Annotated, Any

import tyro
from pydantic import ValidationError

from lidistill.cli.output import OUT, Folder, Output, Overrides, positive, print_json
from lidistill.cli.settings import parsed_settings
from lidistill.errors import ConfigError
from lidistill.robustness.scan import KINDS, SEVERITIES, Kind, Severity

_Kinds = Annotated[tuple[Kind, ...], tyro.conf.arg(metavar="KIND ...")]
_Severities = Annotated[tuple[Severity, ...], tyro.conf.arg(metavar="SEVERITY ...")]


def corrupt(
    data: Folder,
    output: Output,
    part: Overrides = (),
    /,
    *,
    kinds: _Kinds = KINDS,
    severities: _Severities = SEVERITIES,
    seed: int = 0,
    workers: int = 2,
    json: bool = False,
) -> None:
    """Write corrupted copies of a data set in its own layout, as Robo3D has them.

    Example: lidistill corrupt /data/semantic_kitti /data/semantic_kitti_c split=val --workers 8

    A copy is the root of a data set like any other, OUTPUT/KIND/SEVERITY. Evaluation needs none:
    `lidistill robustness` corrupts frames as it reads them, with the same result.

    Args:
        data: Root of the data set; it is left as it is.
        output: New folder, or that of a call that was cut: complete frames stay.
        part: What of it, as recipes say it: split=val, version=v1.0-mini, sensor=pandar64.
        kinds: Corruptions; all eight by default.
        severities: light, moderate, heavy; all by default.
        seed: Another one gives another, equally likely set.
        workers: Processes.
        json: Print one JSON object instead of text.
    """
    from lidistill.apps.corrupt import CorruptPlan
    from lidistill.apps.corrupt import corrupt as write_copies
    from lidistill.training.progress import ProgressBar

    workers = positive("workers", workers)
    plan = CorruptPlan(
        dataset=_dataset(data, part), output=output, kinds=kinds, severities=severities, seed=seed
    )
    with ProgressBar("corrupting", total=None) as bar:
        frames = write_copies(plan, workers=workers, progress=lambda done, _: bar.to(done))
    folders = [str(plan.folder(condition)) for condition in plan.conditions()]
    if json:
        print_json({"frames": frames, "folders": folders})
        return
    OUT.print(f"{frames} frames in each of {len(folders)} copies: {output}/KIND/SEVERITY")


def _dataset(root: Path, part: tuple[str, ...]) -> Any:
    from lidistill.apps.corrupt import dataset_at
    from lidistill.recipes.explain import explain

    values = parsed_settings(part, example="split=val")
    if "root" in values:
        msg = f"root={values['root']}: the root is the first argument, {root}; leave root= out."
        raise ConfigError(msg)
    try:
        return dataset_at(root, values)
    except ValidationError as error:
        msg = f"corrupt: {explain(error, {})}"
        raise ConfigError(msg) from error
