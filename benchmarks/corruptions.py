"""Time of every corruption on a scan of 125,000 points, on one core.

Example: python benchmarks/corruptions.py --repeats 9

The scan is made here: 64 rings over a flat road between walls, as SemanticKITTI's lidar would see
it. Times are those of the processor, so that other processes on the machine count little; the wall
clock is beside them.
"""

import argparse
import os
import statistics
import time
from pathlib import Path

import numpy as np
from measure import write_record

from lidistill.labels import load_label_map
from lidistill.records import Frame
from lidistill.robustness.corruptions import CORRUPTIONS
from lidistill.robustness.scan import CleanScan, Kind, corruption_rng
from lidistill.robustness.traits import clean_scan

NUM_COLUMNS = 1953
ALLOWED_MS: dict[Kind, float] = {"snow": 100, "fog": 30, "wet_ground": 30}
OTHERS_MS = 15.0


def road(sensor: str, table: str, ground: str, walls: str) -> CleanScan:
    """A scan of 64 rings and 1,953 azimuths, stored ring by ring."""
    rng = np.random.default_rng(0)
    label_map = load_label_map(table)
    azimuth = np.tile(np.linspace(0, 2 * np.pi, NUM_COLUMNS, endpoint=False), 64)
    tangent = np.repeat(np.tan(np.deg2rad(np.linspace(2, -24.8, 64))), NUM_COLUMNS)
    down = np.where(tangent < 0, 1.73 / np.maximum(-tangent, 1e-3), np.inf)
    across = np.minimum(12 / np.maximum(np.abs(np.sin(azimuth)), 1e-2), 75)
    flat = np.minimum(down, across)
    points = np.stack([flat * np.cos(azimuth), flat * np.sin(azimuth), flat * tangent], axis=1)
    names = (walls, ground, "car")
    wall_id, ground_id, car_id = (label_map.class_names.index(name) for name in names)
    is_ground = down < across
    is_car = ~is_ground & (azimuth % 0.8 < 0.2)
    # What the road sends back falls with distance and with the angle, as it does in real scans.
    bright = np.where(is_ground, 0.45 * np.sqrt(1.73 / np.hypot(flat, 1.73)), 0.5)
    top = 1.0 if sensor == "semantic_kitti" else 255.0
    frame = Frame(
        frame_id="benchmark",
        sensor=sensor,
        points=points.astype(np.float32),
        intensity=(top * bright * rng.uniform(0.5, 1.5, len(points))).clip(0, top).astype("f4"),
        labels=np.select([is_ground, is_car], [ground_id, car_id], wall_id).astype(np.uint8),
    )
    return clean_scan(frame, label_map)


def measured(kind: Kind, scan: CleanScan, repeats: int) -> dict[str, float]:
    """Median milliseconds of processor and wall clock, and the least of the processor's."""
    processor, wall = [], []
    for repeat in range(repeats + 2):
        rng = corruption_rng(str(repeat), kind, "light")
        begun = time.process_time(), time.perf_counter()
        CORRUPTIONS[kind](scan, "light", rng)
        ended = time.process_time(), time.perf_counter()
        processor.append(1e3 * (ended[0] - begun[0]))
        wall.append(1e3 * (ended[1] - begun[1]))
    return {
        "processor_ms": round(statistics.median(processor[2:]), 2),
        "least_ms": round(min(processor[2:]), 2),
        "wall_ms": round(statistics.median(wall[2:]), 2),
    }


def main() -> None:
    """Measure and print a table; write it where wanted."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    repeats = arguments.repeats
    scans = {
        "semantic_kitti": road("semantic_kitti", "semantic_kitti", "road", "building"),
        "pandar64": road("pandar64", "pandaset", "road", "manmade"),
    }
    results: dict[str, dict[str, dict[str, float]]] = {}
    for sensor, scan in scans.items():
        print(f"{sensor}: {len(scan)} points; load {os.getloadavg()[0]:.1f}")
        results[sensor] = {}
        for kind in CORRUPTIONS:
            result = results[sensor][kind] = measured(kind, scan, repeats)
            allowed = ALLOWED_MS.get(kind, OTHERS_MS)
            print(f"  {kind:16} {result}  (at most {allowed:g})")
    if arguments.output:
        write_record(arguments.output, {"milliseconds": results})


if __name__ == "__main__":
    main()
