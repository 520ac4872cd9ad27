"""How long nuScenes' tables take at full size, and how much memory: first read, and from the index.

Writes synthetic tables with as many rows as v1.0-trainval (2 GB in a temporary folder), reads them
in a process of its own, and once more with the index that the first one has stored:

    python benchmarks/nuscenes_tables.py --output runs/nuscenes-tables.json
"""

import argparse
import json
import multiprocessing
import platform
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from lidistill.datasets.nuscenes.tables import CHANNELS, read_key_frames

SCENES, SAMPLES, ROWS = 850, 34_149, 2_631_083
"""Of v1.0-trainval; every row of ``sample_data`` has one of ``ego_pose``."""


def token(kind: int, number: int) -> str:
    """32 hexadecimal digits, spread as those of the data set are."""
    return f"{(number * 0x9E3779B97F4A7C15 + kind) % (1 << 64):016x}{number:012x}{kind:04x}"


def scenes() -> Iterator[dict[str, object]]:
    """Rows of ``scene``."""
    for number in range(SCENES):
        yield {"token": token(0, number), "name": f"scene-{number:04d}", "nbr_samples": 40}


def samples() -> Iterator[dict[str, object]]:
    """Rows of ``sample``."""
    for number in range(SAMPLES):
        scene = token(0, number * SCENES // SAMPLES)
        yield {"token": token(1, number), "timestamp": 10**15 + number, "scene_token": scene}


def calibrations() -> Iterator[dict[str, object]]:
    """Rows of ``calibrated_sensor``: a new one for every scene and channel."""
    K = [[1266.4, 0.0, 816.2], [0.0, 1266.4, 491.5], [0.0, 0.0, 1.0]]
    for number in range(SCENES * len(CHANNELS)):
        channel = number % len(CHANNELS)
        yield {
            "token": token(3, number),
            "sensor_token": token(2, channel),
            "translation": [1.7, 0.0, 1.5],
            "rotation": [1.0, 0.0, 0.0, 0.0],
            "camera_intrinsic": K if channel else [],
        }


def sample_data() -> Iterator[dict[str, object]]:
    """Rows of ``sample_data``: seven key frames a sample, all else sweeps."""
    num_key = SAMPLES * len(CHANNELS)
    for number in range(ROWS):
        sample = (number // len(CHANNELS)) % SAMPLES
        channel = number % len(CHANNELS)
        name, is_key = CHANNELS[channel], number < num_key
        ending = "jpg" if channel else "pcd.bin"
        folder = "samples" if is_key else "sweeps"
        yield {
            "token": token(4, number),
            "sample_token": token(1, sample),
            "ego_pose_token": token(5, number),
            "calibrated_sensor_token": token(
                3, sample * SCENES // SAMPLES * len(CHANNELS) + channel
            ),
            "timestamp": 10**15 + number,
            "fileformat": ending.partition(".")[0],
            "is_key_frame": is_key,
            "height": 900 if channel else 0,
            "width": 1600 if channel else 0,
            "filename": f"{folder}/{name}/n015-2018-07-24-11-22-45+0800__{name}__{number}.{ending}",
            "prev": token(4, number - 1) if number else "",
            "next": token(4, number + 1),
        }


def ego_poses() -> Iterator[dict[str, object]]:
    """Rows of ``ego_pose``."""
    for number in range(ROWS):
        yield {
            "token": token(5, number),
            "timestamp": 10**15 + number,
            "rotation": [0.5721129977125774, -0.0016961989, 0.0117920647, -0.8200872612],
            "translation": [411.3 + 1e-3 * number, 1180.9, 0.0],
        }


def sensors() -> Iterator[dict[str, object]]:
    """Rows of ``sensor``."""
    for number, name in enumerate(CHANNELS):
        yield {"token": token(2, number), "channel": name}


TABLES = {
    "scene": scenes,
    "sample": samples,
    "sensor": sensors,
    "calibrated_sensor": calibrations,
    "sample_data": sample_data,
    "ego_pose": ego_poses,
}


def write(folder: Path) -> None:
    """All tables, one key a line as in the official files."""
    for name, rows in TABLES.items():
        with (folder / f"{name}.json").open("w", encoding="utf-8") as file:
            for number, row in enumerate(rows()):
                file.write((",\n" if number else "[\n") + json.dumps(row, indent=0))
            file.write("\n]\n")


def measure(folder: Path, cache: Path) -> dict[str, float]:
    """Seconds and memory of one read in this process."""
    imported = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    wall, cpu = time.perf_counter(), time.process_time()
    frames = read_key_frames(folder, cache)
    return {
        "key frames": len(frames),
        "seconds": time.perf_counter() - wall,
        "CPU seconds": time.process_time() - cpu,
        "peak MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "of them imported packages": imported,
    }


def main() -> None:
    """Write, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        tables, cache = Path(name) / "v1.0-trainval", Path(name) / "cache"
        tables.mkdir()
        write(tables)
        record: dict[str, object] = {"machine": platform.processor() or platform.machine()}
        for what in ("tables", "index"):
            with context.Pool(1) as pool:  # a fresh process, whose peak is its own
                record[what] = pool.apply(measure, (tables, cache))
        record["MB"] = {path.name: path.stat().st_size / 1e6 for path in tables.iterdir()}
        record["index MB"] = sum(path.stat().st_size for path in cache.iterdir()) / 1e6
    print(json.dumps(record, indent=1))
    if arguments.output:
        arguments.output.write_text(json.dumps(record, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
