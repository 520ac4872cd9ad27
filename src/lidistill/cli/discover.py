"""The command that finds objects without labels."""

from pathlib import Path
from typing import Annotated

import tyro
from pydantic import ValidationError

from lidistill.cli.output import OUT, one_process, print_json
from lidistill.cli.scan_options import ScanOptions
from lidistill.config import reason_of
from lidistill.errors import ConfigError, FileFormatError
from lidistill.instances.config import DiscoveryConfig

_Run = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
_Scans = Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="SCAN...")]
_Options = Annotated[ScanOptions, tyro.conf.arg(name="")]
_DEFAULT, _CONFIG = ScanOptions(), DiscoveryConfig()


def discover(
    run: _Run,
    scans: _Scans,
    /,
    *,
    output: Path,
    radius: float = _CONFIG.radius,
    min_points: int = _CONFIG.min_points,
    max_length: float = _CONFIG.max_length,
    options: _Options = _DEFAULT,
    json: bool = False,
) -> None:
    """Find objects without any label: ground away, dense clusters, a mean feature for each.

    Example: lidistill discover runs/pretrain/pandaset-002 /data/mine/scans --output objects --ply

    Writes objects.csv and objects.json (a box for each object), features.npy (a row for each, of
    length one), and for every scan a .npy with each point's object, 0 where it is of none.

    Args:
        run: Run folder of a distillation, a probe or a fine-tuning, or one of its checkpoints.
        scans: Scan files, folders of scans, drives with a folder scans, and folders of drives.
        output: Folder for the outputs.
        radius: Metres between points of one object, as far as 20 m; beyond it grows.
        min_points: Of an object.
        max_length: Metres; what is longer is no object but a building or a hedge.
        options: How scans are read.
        json: Print one JSON object instead of text.
    """
    from lidistill.apps.discover import (
        OUTPUTS,
        Discovered,
        discover_objects,
        table_rows,
        write_objects,
    )
    from lidistill.apps.feature_files import Failed
    from lidistill.apps.scan_jobs import check_free, plan_jobs
    from lidistill.cli.recordings import only_recording
    from lidistill.training.progress import track

    one_process("discover")
    if only_recording(scans) is not None or options.points is not None or options.realtime:
        msg = "discover takes scan files; unpack bags first (`lidistill data unpack`)."
        raise ConfigError(msg)
    if options.skip_existing:
        msg = "--skip-existing: discover writes one table of all scans; give --overwrite instead."
        raise ConfigError(msg)
    config = _config(radius=radius, min_points=min_points, max_length=max_length)
    jobs = plan_jobs(scans, output, suffix=".npy", existing=options.existing)
    tables = [output / name for name in OUTPUTS]
    check_free(tables, existing=options.existing)
    if clash := [job.scan for job in jobs.to_do if job.file in tables]:
        msg = f"the objects of {clash[0]} would be written over {OUTPUTS[-1]}; rename the scan."
        raise ConfigError(msg)
    model = options.load(run)
    work = options.work(model, model.features)
    steps = discover_objects(work, jobs.to_do, config, ply=options.ply)
    results = list(track(steps, "scans", total=len(jobs.to_do)))
    found = [one for one in results if isinstance(one, Discovered)]
    failed = [one for one in results if isinstance(one, Failed)]
    number = write_objects(found, config, output) if found else 0
    if json:
        reasons = [{"scan": str(one.scan), "reason": one.reason} for one in failed]
        print_json({"output": str(output), "objects": table_rows(found), "failed": reasons})
    elif found:
        channels = model.num_channels
        OUT.print(f"{len(found)} scans, {number:,} objects, features of {channels} channels")
        OUT.print(f"output      {output}")
    if failed:
        msg = f"{len(failed)} of {len(results)} scans could not be used, first: {failed[0].reason}"
        raise FileFormatError(msg)


def _config(**values: float) -> DiscoveryConfig:
    try:
        return DiscoveryConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        option = str(first["loc"][0]).replace("_", "-")
        msg = f"--{option} {first['input']}: {reason_of(first['msg'])}."
        raise ConfigError(msg) from error
