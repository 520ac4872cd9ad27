"""What is written here is read here, by rosbags and by the package mcap."""

import io
from collections import Counter
from typing import Any

import numpy as np
import pytest
from mcap.reader import NonSeekingReader, SeekingReader
from rosbags.highlevel import AnyReader

from lidistill.bags.bag import open_bag
from lidistill.bags.cloud_writer import DEFINITION, KIND, aligned_dtype, encode_cloud
from lidistill.bags.clouds import cloud_records
from lidistill.bags.mcap_stream import stream_messages
from lidistill.bags.mcap_writer import McapWriter
from lidistill.bags.messages import Header
from lidistill.bags.wire import parse
from lidistill.errors import FileFormatError

START = 1_700_000_000_123_456_789
TYPE = aligned_dtype([("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("class", "|u1"), ("t", "<f8")])


def points(seed, number=12):
    rng = np.random.default_rng(seed)
    found = np.zeros(number, TYPE)
    for name in TYPE.names:
        found[name] = rng.uniform(0, 50, number)
    return found


def write(file, count=3, *, close=True):
    writer = McapWriter(file)
    channel = writer.add_channel("/lidar", kind=KIND, definition=DEFINITION)
    writer.add_channel("/other", kind=KIND, definition=DEFINITION)
    for number in range(count):
        header = Header(stamp_ns=START + number, frame="lidär")
        data = encode_cloud(header, points(number), height=3)
        writer.add(channel, log_ns=START + 5 - number, publish_ns=START + number, data=data)
    writer.add_metadata("about", {"classes": "[]"})
    if close:
        writer.close()


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "out.mcap"
    with path.open("wb") as file:
        write(file)
    return path


def test_our_reader_finds_every_point(recording, tmp_path):
    with open_bag(recording, scratch=tmp_path) as bag:
        assert [channel.topic for channel in bag.channels] == ["/lidar", "/other"]
        messages = list(bag.messages({"/lidar"}))
        assert bag.losses() == []
    assert [raw.time_ns for raw in messages] == [START + 5, START + 4, START + 3]
    for number, raw in enumerate(messages):
        cloud = parse(raw)
        assert (cloud.header.stamp_ns, cloud.header.frame) == (START + number, "lidär")
        assert (cloud.height, cloud.width, cloud.point_step) == (3, 4, 24)
        found = cloud_records(cloud, Counter())
        for name in TYPE.names:
            np.testing.assert_array_equal(found[name], points(number)[name])


def test_rosbags_finds_every_point(recording):
    with AnyReader([recording]) as reader:
        assert reader.message_count == 3
        assert (reader.start_time, reader.end_time) == (START + 3, START + 6)
        found = list(reader.messages())
        assert [time for _, time, _ in found] == [START + 3, START + 4, START + 5]
        cloud: Any = reader.deserialize(found[-1][2], found[-1][0].msgtype)
    assert cloud.header.frame_id == "lidär"
    assert cloud.header.stamp.sec * 10**9 + cloud.header.stamp.nanosec == START
    assert [(f.name, f.offset, f.datatype) for f in cloud.fields] == [
        ("x", 0, 7), ("y", 4, 7), ("z", 8, 7), ("class", 12, 2), ("t", 16, 8)
    ]  # fmt: skip
    assert (cloud.height, cloud.width, cloud.row_step, cloud.is_dense) == (3, 4, 96, True)
    np.testing.assert_array_equal(cloud.data.view(TYPE), points(0))


@pytest.mark.parametrize("kind", [SeekingReader, NonSeekingReader])
def test_the_package_mcap_finds_every_message(recording, kind):
    with recording.open("rb") as file:
        reader = kind(file, validate_crcs=True)
        found = list(reader.iter_messages(topics=["/lidar"]))
        assert [message.sequence for _, _, message in found] == [2, 1, 0]  # by time
        assert [message.publish_time for _, _, message in found] == [START + 2, START + 1, START]
        assert {schema.name for schema, _, _ in found} == {KIND}
    with recording.open("rb") as file:
        reader = kind(file, validate_crcs=True)
        (metadata,) = reader.iter_metadata()
        assert (metadata.name, metadata.metadata) == ("about", {"classes": "[]"})


def test_the_index_says_what_there_is(recording):
    with recording.open("rb") as file:
        summary = SeekingReader(file, validate_crcs=True).get_summary()
    statistics = summary.statistics
    assert statistics.message_count == statistics.chunk_count == 3
    assert statistics.channel_message_counts == {0: 3, 1: 0}
    assert statistics.channel_count == statistics.schema_count == 2
    assert statistics.metadata_count == 1
    assert (statistics.message_start_time, statistics.message_end_time) == (START + 3, START + 5)
    assert len(summary.chunk_indexes) == 3


def test_a_recording_without_a_message_is_one(tmp_path):
    path = tmp_path / "none.mcap"
    with path.open("wb") as file:
        write(file, count=0)
    with path.open("rb") as file:
        assert SeekingReader(file, validate_crcs=True).get_summary().statistics.message_count == 0
    with open_bag(path, scratch=tmp_path) as bag:
        assert list(bag.messages({"/lidar"})) == []


class Pipe(io.RawIOBase):
    """Gives a few bytes at a time, and never again."""

    def __init__(self, content):
        self.content, self.position = content, 0

    def readable(self):
        return True

    def read(self, size=-1):
        assert size > 0
        part = self.content[self.position : self.position + min(size, 7)]
        self.position += len(part)
        return part


def streamed(*, close):
    file = io.BytesIO()
    write(file, close=close)
    return file.getvalue()


@pytest.mark.parametrize("close", [True, False])
def test_a_pipe_is_read_while_it_is_written(close):
    found = list(stream_messages(Pipe(streamed(close=close)), where="pipe"))
    assert [raw.time_ns for raw in found] == [START + 5, START + 4, START + 3]
    assert parse(found[1]).header.stamp_ns == START + 1


def test_a_pipe_that_ends_in_a_message_gives_those_before():
    content = streamed(close=False)
    cut = content.rindex(b"MCAP") if content.count(b"MCAP") > 1 else len(content) - 400
    found = list(stream_messages(Pipe(content[:cut]), where="pipe"))
    assert 1 <= len(found) < 3


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "ended before"),
        (b"#ROSBAG V2.0\n", "expected MCAP"),
        (b"\x89MCAP0\r\n" + bytes(20), "damaged"),
    ],
)
def test_a_pipe_of_something_else_is_one_line(content, expected):
    with pytest.raises(FileFormatError, match=expected) as error:
        list(stream_messages(Pipe(content), where="standard input"))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("seconds", [2**31, -(2**31) - 1])
def test_a_stamp_that_ros_cannot_write_is_refused(seconds):
    with pytest.raises(ValueError, match="cannot write"):
        encode_cloud(Header(stamp_ns=seconds * 10**9, frame="x"), points(0), height=1)


def test_points_that_are_not_finite_are_said():
    table = points(0)
    table["y"][3] = np.nan
    message = encode_cloud(Header(stamp_ns=0, frame="x"), table, height=1)
    assert message[-1] == 0  # is_dense
    assert encode_cloud(Header(stamp_ns=0, frame="x"), points(0), height=1)[-1] == 1
