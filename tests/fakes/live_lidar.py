"""A lidar that writes MCAP to standard output, for tests: number, hertz, points a scan."""

import sys
import time

import numpy as np

from lidistill.bags.cloud_writer import DEFINITION, KIND, aligned_dtype, encode_cloud
from lidistill.bags.mcap_writer import McapWriter
from lidistill.bags.messages import Header

TYPE = aligned_dtype([(name, "<f4") for name in ("x", "y", "z", "intensity")])


def scan(number, num_points):
    rng = np.random.default_rng(number)
    points = np.zeros(num_points, TYPE)
    for axis, half in (("x", 25), ("y", 25), ("z", 3)):
        points[axis] = rng.uniform(-half, half, num_points)
    points["intensity"] = rng.uniform(0, 255, num_points)
    return points


def main(count, hertz, num_points):
    writer = McapWriter(sys.stdout.buffer)
    channel = writer.add_channel("/lidar", kind=KIND, definition=DEFINITION)
    scans = [scan(number, num_points) for number in range(3)]
    begin = time.monotonic()
    for number in range(count):
        time.sleep(max(0.0, begin + number / hertz - time.monotonic()))
        now = time.time_ns()
        data = encode_cloud(Header(stamp_ns=now, frame="lidar"), scans[number % 3], height=1)
        writer.add(channel, log_ns=now, publish_ns=now, data=data)
    writer.close()


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
