"""A miniature ROS bag of either version: a lidar, a raw and a compressed camera, static frames."""

import io
from typing import Any

import numpy as np
from fakes.folder import SIZE_HW, T_CAM_LIDAR, K
from fakes.scan_writers import cloud
from PIL import Image

POINTS, RAW, PACKED = "/lidar/points", "/front/image_raw", "/back/image_raw/compressed"
CODES = {"f4": 7, "f8": 8, "u2": 4}
NUM_SCANS = 3


def image():
    ramp = np.arange(SIZE_HW[0] * SIZE_HW[1] * 3) % 251
    return ramp.reshape(*SIZE_HW, 3).astype(np.uint8)


def jpeg():
    stream = io.BytesIO()
    Image.fromarray(image()).save(stream, "JPEG")
    return np.frombuffer(stream.getvalue(), dtype=np.uint8)


class BagMaker:
    """Builds messages with the types of one ROS version, and writes them into a bag."""

    def __init__(self, version):
        from rosbags.typesys import (  # noqa: PLC0415  an optional package
            Stores,
            get_types_from_msg,
            get_typestore,
        )

        self.ros1 = version == 1
        self.store = get_typestore(Stores.ROS1_NOETIC if self.ros1 else Stores.ROS2_HUMBLE)
        if self.ros1:
            text = "geometry_msgs/TransformStamped[] transforms"
            self.store.register(get_types_from_msg(text, "tf2_msgs/msg/TFMessage"))

    def make(self, kind, /, **values):
        return self.store.types[kind](**values)

    def header(self, frame, ns):
        stamp = self.make("builtin_interfaces/msg/Time", sec=ns // 10**9, nanosec=ns % 10**9)
        number = {"seq": 0} if self.ros1 else {}
        return self.make("std_msgs/msg/Header", stamp=stamp, frame_id=frame, **number)

    def points(self, ns, table):
        # Rows of the driver: 3 bytes of padding behind every point, 5 behind every row.
        step = table.dtype.itemsize + 3
        rows = np.zeros((2, len(table) // 2 * step + 5), dtype=np.uint8)
        packed = table.view(np.uint8).reshape(len(table), -1)
        padded = np.pad(packed, ((0, 0), (0, 3))).reshape(2, -1)
        rows[:, : padded.shape[1]] = padded
        fields = [
            self.make(
                "sensor_msgs/msg/PointField",
                name=name,
                offset=table.dtype.fields[name][1],
                datatype=CODES[table.dtype[name].str[1:]],
                count=1,
            )
            for name in table.dtype.names
        ]
        return self.make(
            "sensor_msgs/msg/PointCloud2",
            header=self.header("lidar_link", ns),
            height=2,
            width=len(table) // 2,
            fields=fields,
            is_bigendian=False,
            point_step=step,
            row_step=rows.shape[1],
            data=rows.ravel(),
            is_dense=True,
        )

    def image(self, ns, encoding="bgr8", rows=None, **changes):
        """A frame of the raw camera; ``rows``: (H, bytes) of another encoding than bgr8."""
        if rows is None:
            pixels = image()[:, :, ::-1]
            rows = np.pad(pixels.reshape(SIZE_HW[0], -1), ((0, 0), (0, 4)))
        values = {
            "height": SIZE_HW[0],
            "width": SIZE_HW[1],
            "is_bigendian": 0,
            "step": rows.shape[1],
            "data": np.ascontiguousarray(rows).ravel().view(np.uint8),
        } | changes
        return self.make(
            "sensor_msgs/msg/Image",
            header=self.header("front_optical", ns),
            encoding=encoding,
            **values,
        )

    def compressed(self, ns):
        header = self.header("back_optical", ns)
        return self.make(
            "sensor_msgs/msg/CompressedImage", header=header, format="jpeg", data=jpeg()
        )

    def info(self, ns, model="plumb_bob", roi=None, binning=(0, 0), **changes):
        """Of the raw camera; ``D``, ``K``, ``R`` and ``P`` may be changed."""
        values = {
            "D": np.array([-0.1, 0.01, 0, 0, 0]),
            "K": np.ravel(K),
            "R": np.eye(3).ravel(),
            "P": np.eye(3, 4).ravel(),
        } | {name: np.ravel(np.array(value, dtype=float)) for name, value in changes.items()}
        region = self.make(
            "sensor_msgs/msg/RegionOfInterest",
            **{"x_offset": 0, "y_offset": 0, "height": 0, "width": 0, "do_rectify": False}
            | (roi or {}),
        )
        named = {name if self.ros1 else name.lower(): value for name, value in values.items()}
        return self.make(
            "sensor_msgs/msg/CameraInfo",
            header=self.header("front_optical", ns),
            height=SIZE_HW[0],
            width=SIZE_HW[1],
            distortion_model=model,
            binning_x=binning[0],
            binning_y=binning[1],
            roi=region,
            **named,
        )

    def static(self):
        """base <- lidar: 2 m up; base <- front: so that front <- lidar is T_CAM_LIDAR."""
        T = np.vstack([T_CAM_LIDAR, [0, 0, 0, 1]])
        back = np.linalg.inv(T)
        back[2, 3] += 2
        # The rotation camera to lidar: x right is -y, y down is -z, z ahead is x.
        quaternion = {"w": 0.5, "x": -0.5, "y": 0.5, "z": -0.5}
        return self.make(
            "tf2_msgs/msg/TFMessage",
            transforms=[
                self.transform(
                    "base", "lidar_link", [0, 0, 2.0], {"w": 1.0, "x": 0, "y": 0, "z": 0}
                ),
                self.transform("base", "front_optical", back[:3, 3], quaternion),
            ],
        )

    def transform(self, parent, child, shift, quaternion):
        return self.make(
            "geometry_msgs/msg/TransformStamped",
            header=self.header(parent, 0),
            child_frame_id=child,
            transform=self.make(
                "geometry_msgs/msg/Transform",
                translation=self.make(
                    "geometry_msgs/msg/Vector3", **dict(zip("xyz", map(float, shift), strict=True))
                ),
                rotation=self.make(
                    "geometry_msgs/msg/Quaternion", **{k: float(v) for k, v in quaternion.items()}
                ),
            ),
        )

    def messages(self):
        """Topic, nanoseconds and message of a drive of 0.3 s."""
        start = 1_700_000_000_000_000_000
        yield "/tf_static", start, self.static()
        yield "/front/camera_info", start, self.info(start)
        for number in range(NUM_SCANS):
            ns = start + number * 100_000_000
            yield POINTS, ns, self.points(ns, cloud(seed=number))
            yield RAW, ns + 5_000_000, self.image(ns + 5_000_000)
            yield PACKED, ns - 5_000_000, self.compressed(ns - 5_000_000)

    def serialize(self, message):
        """Bytes of a message."""
        pack = self.store.serialize_ros1 if self.ros1 else self.store.serialize_cdr
        return bytes(pack(message, message.__msgtype__))

    def write(self, path, *, mcap=False, messages=None, pack=None):
        """A bag of ROS 1, or of ROS 2 in SQLite or MCAP.

        ``pack``: of ROS 1 its compression, of ROS 2 whether each message or the file is packed.
        """
        if self.ros1:
            from rosbags import rosbag1  # noqa: PLC0415

            writer: Any = rosbag1.Writer(path)
            if pack:
                writer.set_compression(rosbag1.Writer.CompressionFormat[pack])
        else:
            from rosbags.rosbag2 import (  # noqa: PLC0415
                CompressionFormat,
                CompressionMode,
                StoragePlugin,
                Writer,
            )

            plugin = StoragePlugin.MCAP if mcap else StoragePlugin.SQLITE3
            writer = Writer(path, version=9, storage_plugin=plugin)
            if pack:
                writer.set_compression(CompressionMode[pack], CompressionFormat.ZSTD)
        with writer:
            connections = {}
            for topic, ns, message in messages or self.messages():
                kind = message.__msgtype__
                if topic not in connections:
                    connections[topic] = writer.add_connection(topic, kind, typestore=self.store)
                writer.write(connections[topic], ns, self.serialize(message))
        return path
