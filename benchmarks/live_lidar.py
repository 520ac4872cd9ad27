"""Latency of `lidistill predict RUN -` behind a lidar that runs: scan files as MCAP at some hertz.

    python benchmarks/live_lidar.py RUN scan.bin … --hertz 10 --count 100

The lidar is a process of its own. It begins when the network is loaded: the first scan alone is
waited for, and what is measured is from the arrival of a scan to the end of the work on it.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from lidistill.bags.cloud_writer import DEFINITION, KIND, aligned_dtype, encode_cloud
from lidistill.bags.mcap_writer import McapWriter
from lidistill.bags.messages import Header
from lidistill.scan_formats.scan_file import read_scan

_POINT = aligned_dtype([(name, "<f4") for name in ("x", "y", "z", "intensity")])


def send(scans: list[Path], hertz: float, count: int, start_after: float, every: int) -> None:
    """Write scans to standard output, as a lidar does: whether or not anybody keeps up."""
    frames = []
    for path in scans:
        scan = read_scan(path)
        frame = np.zeros(len(scan.points), _POINT)
        for axis, name in enumerate("xyz"):
            frame[name] = scan.points[:, axis]
        frame["intensity"] = 0 if scan.intensity is None else scan.intensity
        frames.append(frame[::every])
    writer = McapWriter(sys.stdout.buffer)
    channel = writer.add_channel("/lidar", kind=KIND, definition=DEFINITION)
    begin = time.monotonic() + start_after
    for number in range(count):
        time.sleep(max(0.0, begin + number / hertz - time.monotonic()))
        stamp = time.time_ns()
        header = Header(stamp_ns=stamp, frame="lidar")
        message = encode_cloud(header, frames[number % len(frames)], height=1)
        writer.add(channel, log_ns=stamp, publish_ns=stamp, data=message)
    writer.close()


def main() -> None:
    """Start both processes and print what the second reports."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("scans", type=Path, nargs="+")
    parser.add_argument("--hertz", type=float, default=10.0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--every", type=int, default=1, help="only every n-th point")
    parser.add_argument("--start-after", type=float, default=20.0, help="seconds to load in")
    parser.add_argument("--send", action="store_true", help="be the lidar")
    arguments = parser.parse_args()
    if arguments.send:
        pace = (arguments.hertz, arguments.count, arguments.start_after, arguments.every)
        send(arguments.scans, *pace)
        return
    lidar = [sys.executable, __file__, *sys.argv[1:], "--send"]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(lidar, stdout=subprocess.PIPE) as source,  # noqa: S603  this file
    ):
        output = Path(folder) / "out.mcap"
        predict = [sys.executable, "-m", "lidistill", "predict", arguments.run, "-", "--json"]
        done = subprocess.run(  # noqa: S603  the command of this package
            [*predict, "--output", output],
            stdin=source.stdout,
            capture_output=True,
            text=True,
            check=True,
        )
    report = json.loads(done.stdout)
    print(json.dumps({key: report[key] for key in report if key not in {"output", "notes"}}))


if __name__ == "__main__":
    main()
