"""Where the simulator's time goes: CPU seconds a frame for each part, on one core.

python benchmarks/simulation.py [--format nuscenes] [--frames 20] [--output simulation-speed.json]

CPU seconds and not wall-clock ones: frames are simulated in parallel, one process a core, so that a
machine of C cores makes C / (CPU seconds a frame) frames a second. One frame warms up, uncounted.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import get_args

import numpy as np

from lidistill.sim import SimulationConfig
from lidistill.sim.classes import Format
from lidistill.sim.plan import Drive, plan_drives
from lidistill.sim.recording import FrameRecord, Recorder
from lidistill.sim.simulate import WRITERS

Seconds = dict[str, list[float]]


@contextmanager
def clock(seconds: Seconds, part: str) -> Iterator[None]:
    """Add the CPU time of a block to a part."""
    started = time.process_time()
    yield
    seconds.setdefault(part, []).append(time.process_time() - started)


def measure(config: SimulationConfig, drive: Drive, root: Path) -> Seconds:
    """CPU seconds of every frame of a drive, by part."""
    seconds: Seconds = {}
    with clock(seconds, "street"):
        vehicle = Recorder(config, drive)
    writer = WRITERS[config.format]
    for index in range(config.frames):
        with clock(seconds, "lidars"):
            scans = vehicle.scans(index)
        with clock(seconds, "cameras"):
            images = vehicle.images(index)
        with clock(seconds, "files"):
            record = FrameRecord(index=index, scans=scans, images=images)
            writer.write_frame(root, vehicle.log, record)
    return {part: times[1:] if part != "street" else times for part, times in seconds.items()}


def summary(seconds: Seconds) -> dict[str, dict[str, float]]:
    """Median and spread of each part, and of whole frames."""
    frames = np.sum([times for part, times in seconds.items() if part != "street"], axis=0)
    parts = seconds | {"frame": frames.tolist()}
    return {
        part: {"median": median(times), "min": min(times), "max": max(times)}
        for part, times in parts.items()
    }


def main() -> None:
    """Measure one drive and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--format", choices=get_args(Format), default="nuscenes")
    parser.add_argument("--district", default="downtown")
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    config = SimulationConfig(
        format=arguments.format, frames=arguments.frames + 1, train_drives=1, val_drives=0,
        train_districts=(arguments.district,),
    )  # fmt: skip
    with tempfile.TemporaryDirectory() as folder:
        parts = summary(measure(config, plan_drives(config)[0], Path(folder)))
    print(f"{'CPU seconds':12}   median      min      max")
    for part, row in parts.items():
        print(f"{part:12} {row['median']:8.3f} {row['min']:8.3f} {row['max']:8.3f}")
    rate = 1 / parts["frame"]["median"]
    print(f"{rate:.1f} frames a second and core; {2 * rate:.1f} on two cores")
    if arguments.output:
        record = {"format": arguments.format, "seconds": parts, "machine": platform.processor()}
        arguments.output.write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
