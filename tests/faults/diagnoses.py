"""Which faults of a recording `lidistill data check` sees, and what it says about sound ones.

Every fault is put into frames of the data sets on disk; the table says where it was found.

    python tests/faults/diagnoses.py --data ../shared/data [--only millimetres] [--json out.json]
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # the tests, not this folder

from faults.recordings import FAULTS

from lidistill.data_check.contents import read_all
from lidistill.data_check.findings import chosen_frames, diagnose
from lidistill.datasets import DATASETS
from lidistill.datasets.sensors import sensor_of


def excuse(fault: str, frames: list) -> str:
    """Why a fault cannot be seen in these frames, if that is so; a miss without one is a miss."""
    if fault == "images of the next scan" and frames[0].T_world_lidar is None:
        return "(has no poses)"
    if fault == "camera yawed by 2 degrees" and sum(bool(f.views) for f in frames) < 3:
        return "(has fewer than three images of a camera)"
    return ""


def sound_frames(root: Path, longest: int) -> dict[str, list]:
    """The frames to diagnose, by data set and sensor; the end of a drive, where it moves."""
    frames = {}
    for name in DATASETS:
        folder = root / name
        for dataset in read_all(folder) if folder.is_dir() else ():
            chosen = chosen_frames(len(dataset))[-longest:]
            frames[f"{name} {dataset.sensor}"] = [dataset[index] for index in chosen]
    return frames


def measure(frames: list, fault: str) -> dict:
    """Whether a fault is found in some frames, and what else is said."""
    inject, right = FAULTS[fault]
    with tempfile.TemporaryDirectory() as folder:
        broken = inject(frames, Path(folder))
        found = diagnose(broken, sensor_of(frames[0])) if broken else ()
    names = {finding.fault for finding in found}
    return {
        "frames": len(broken),
        "detected": bool(names & right),
        "others": sorted(names - right),
        "findings": [asdict(finding) for finding in found],
    }


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--frames", type=int, default=6, help="of each data set, at most")
    parser.add_argument("--only", nargs="*", default=list(FAULTS))
    parser.add_argument("--sets", nargs="*", help="parts of names, for example pandaset")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    frames = sound_frames(options.data, options.frames)
    wanted = options.sets or [""]
    frames = {n: f for n, f in frames.items() if any(part in n for part in wanted)}
    record: dict[str, dict] = {"sound": {}}
    for name, sound in frames.items():
        start = time.perf_counter()
        found = diagnose(sound, sensor_of(sound[0]))
        seconds = time.perf_counter() - start
        record["sound"][name] = [asdict(finding) for finding in found]
        alarms = [f.fault for f in found] or "silent"
        print(f"sound      {name:32} {len(sound):3} frames {seconds:6.1f} s  {alarms}")
    for fault in options.only:
        record[fault] = {name: measure(sound, fault) for name, sound in frames.items()}
        for name, result in record[fault].items():
            verdict = "found" if result["detected"] else "MISSED"
            hint = "" if result["detected"] else excuse(fault, frames[name])
            print(f"{verdict:10} {fault:28} {name:32} also {result['others']} {hint}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
