"""A ROS 2 node: every scan of a lidar comes back with a class and a confidence at each point.

    python ros2_node.py RUN --ros-args -r points:=/lidar/points

Publishes `labelled` (sensor_msgs/PointCloud2) with the stamp and frame of the scan: x, y, z,
intensity, class (uint8, an index into the parameter `classes`, 255: none) and confidence (float32).
While one scan is worked on only the newest of those that come is kept. Needs rclpy, which comes
with ROS 2 and not from PyPI, in a Python that also has lidistill.
"""

import importlib
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

import lidistill
from lidistill.apps.recordings import ClassFields, joined_points
from lidistill.bags.clouds import cloud_records
from lidistill.bags.messages import Cloud, Field, Header
from lidistill.errors import FileFormatError
from lidistill.scan_formats.columns import split_records
from lidistill.scan_formats.scan_file import scan_of_columns

DATATYPES = {"f4": 7, "u1": 2, "u2": 4}


def cloud_of(message: Any) -> Cloud:
    """The record that lidistill reads, of a message as rclpy gives it."""
    stamp = message.header.stamp
    fields = [
        Field(name=one.name, offset=one.offset, datatype=one.datatype, count=one.count)
        for one in message.fields
    ]
    return Cloud(
        header=Header(
            stamp_ns=stamp.sec * 1_000_000_000 + stamp.nanosec, frame=message.header.frame_id
        ),
        height=message.height,
        width=message.width,
        fields=tuple(fields),
        big_endian=message.is_bigendian,
        point_step=message.point_step,
        row_step=message.row_step,
        data=np.frombuffer(message.data, np.uint8),
    )


def main() -> None:
    """Load the network and listen until Ctrl-C."""
    try:
        rclpy: Any = importlib.import_module("rclpy")
        qos: Any = importlib.import_module("rclpy.qos")
        messages: Any = importlib.import_module("sensor_msgs.msg")
    except ImportError as error:
        sys.exit(f"{error}: it comes with ROS 2; source /opt/ros/<distribution>/setup.bash first.")
    run = sys.argv[1]
    rclpy.init(args=sys.argv)
    node = rclpy.create_node("lidistill")
    model = lidistill.load(run)
    work = ClassFields(model=model)
    node.declare_parameter("classes", list(model.class_names))
    publisher = node.create_publisher(messages.PointCloud2, "labelled", 1)
    notes: Counter[str] = Counter()

    def on_scan(message: Any) -> None:
        try:
            records = cloud_records(cloud_of(message), notes)
            if records is None:
                return
            scan = scan_of_columns(split_records(records), Path("of the topic points"))
            points = joined_points(scan, work(scan.points, scan.intensity))
        except (FileFormatError, ValueError) as error:
            node.get_logger().warning(f"left out a scan: {error}")
            return
        publisher.publish(answer(messages, message, points))

    # A queue of one: what comes while a scan is worked on takes the place of what waited. Drivers
    # of lidars often publish as best effort, which a reliable subscription does not hear.
    quality = qos.QoSProfile(depth=1, reliability=qos.ReliabilityPolicy.BEST_EFFORT)
    node.create_subscription(messages.PointCloud2, "points", on_scan, quality)
    try:
        rclpy.spin(node)
    except KeyboardInterrupt:
        pass
    finally:
        node.destroy_node()
        rclpy.try_shutdown()


def answer(messages: Any, scan: Any, points: np.ndarray) -> Any:
    """The scan's message with other fields: same stamp, frame and order of points."""
    result = messages.PointCloud2()
    result.header, result.height, result.width = scan.header, scan.height, scan.width
    for name, place in dict(points.dtype.fields or {}).items():
        field = messages.PointField()
        field.name, field.offset = name, place[1]
        field.datatype, field.count = DATATYPES[points.dtype[name].str[1:]], 1
        result.fields.append(field)
    result.is_bigendian, result.point_step = False, points.dtype.itemsize
    result.row_step = result.point_step * scan.width
    result.data = points.tobytes()
    result.is_dense = bool(np.isfinite(points["x"]).all())
    return result


if __name__ == "__main__":
    main()
