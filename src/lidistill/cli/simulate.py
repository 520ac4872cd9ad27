"""``lidistill simulate``: labelled drives of several sensors, in real data sets' formats."""

from typing import TYPE_CHECKING

from pydantic import ValidationError

from lidistill.cli.output import OUT, Folder, Overrides, positive, print_json
from lidistill.cli.settings import parsed_settings
from lidistill.cli.terminal import command
from lidistill.errors import ConfigError, unknown_name

if TYPE_CHECKING:
    from lidistill.sim import SimulationConfig


def simulate(
    root: Folder, settings: Overrides = (), /, *, workers: int = 2, json: bool = False
) -> None:
    """Drive through simulated streets; write scans, images and labels in a real set's format.

    Example: lidistill simulate runs/street format=nuscenes train_drives=3 frames=20

    Args:
        root: Folder of the data set; a second call continues.
        settings: format=pandaset, nuscenes or semantic_kitti, seed, train_drives, val_drives,
            frames, frame_rate, image_size_hw, column_step, wetness, lidar_offset_m, lidar_turn_deg,
            train_districts, val_districts.
        workers: Processes that simulate.
        json: Print one JSON object instead of text.
    """
    from lidistill.sim import simulate as write_drives
    from lidistill.training.progress import ProgressBar

    config = _config(settings)
    workers = positive("workers", workers)
    total = (config.train_drives + config.val_drives) * config.frames
    with ProgressBar("simulating", total=total) as bar:
        write_drives(root, config, workers=workers, progress=lambda done, _: bar.to(done))
    if json:
        print_json({"root": str(root), "frames": total, "settings": config.model_dump(mode="json")})
        return
    OUT.print(f"simulated {total} frames as {config.format} in {root}")
    OUT.print(f"Look at them: {command('lidistill', 'data', 'check', root)}")


def _config(settings: tuple[str, ...]) -> "SimulationConfig":
    from lidistill.recipes.explain import explain
    from lidistill.sim import SimulationConfig

    values = parsed_settings(settings, example="format=nuscenes")
    for key in values:
        if key not in SimulationConfig.model_fields:
            raise unknown_name("setting", key, SimulationConfig.model_fields)
    try:
        return SimulationConfig.model_validate(values)
    except ValidationError as error:
        msg = f"simulate: {explain(error, {})}"
        raise ConfigError(msg) from error
