"""Bags as files: what is whole is read, what is not is said, what is hostile costs little."""

import contextlib
import resource
import sqlite3
import struct

import numpy as np
import pytest
from fakes.bag import NUM_SCANS, POINTS, BagMaker
from fakes.mcap import (
    bag1,
    bag1_chunk,
    bag1_record,
    channel,
    chunk,
    mcap,
    message,
    record,
    schema,
)
from fakes.scan_writers import cloud

from lidistill.cli import main
from lidistill.datasets.own.unpack import unpack_bag
from lidistill.errors import ConfigError, DatasetNotFoundError, FileFormatError

pytest.importorskip("rosbags")
START = 1_700_000_000_000_000_000
CLOUD = "sensor_msgs/msg/PointCloud2"


def unpack(bag, tmp_path, **changes):
    options = {"points": POINTS, "images": ()} | changes
    return unpack_bag(bag, tmp_path / "out", **options)


def scans(tmp_path):
    return [np.load(path) for path in sorted((tmp_path / "out" / "scans").iterdir())]


def defined(kind=CLOUD, **options):
    return schema(1, kind) + channel(7, 1, POINTS, **options)


def clouds(version=2):
    maker = BagMaker(version)
    times = [START + number * 100_000_000 for number in range(NUM_SCANS)]
    return [
        message(7, ns, maker.serialize(maker.points(ns, cloud(seed=number))))
        for number, ns in enumerate(times)
    ]


def check_scans(tmp_path, count=NUM_SCANS):
    found = scans(tmp_path)
    assert len(found) == count
    for number, scan in enumerate(found):
        np.testing.assert_array_equal(scan, cloud(seed=number))


@pytest.mark.parametrize("compression", ["", "lz4", "zstd"])
@pytest.mark.parametrize("where", ["summary", "data", "chunk"])
def test_topics_are_found_with_and_without_a_summary(tmp_path, compression, where):
    records = [chunk((defined() if where == "chunk" else b"") + b"".join(clouds()), compression)]
    head = b"" if where == "chunk" else defined()
    content = mcap(head, *records, summary=defined() if where == "summary" else b"")
    (tmp_path / "x.mcap").write_bytes(content)
    report = unpack(tmp_path / "x.mcap", tmp_path)
    assert (report.num_scans, report.notes) == (NUM_SCANS, ())
    check_scans(tmp_path)


def test_a_summary_that_names_channels_without_their_schemas_is_not_enough(tmp_path):
    content = mcap(defined(), *clouds(), summary=channel(7, 1, POINTS))
    (tmp_path / "x.mcap").write_bytes(content)
    assert unpack(tmp_path / "x.mcap", tmp_path).num_scans == NUM_SCANS


def test_messages_of_ros_1_in_mcap_are_read(tmp_path):
    head = schema(1, "sensor_msgs/PointCloud2", "ros1msg") + channel(7, 1, POINTS, encoding="ros1")
    (tmp_path / "x.mcap").write_bytes(mcap(head, *clouds(version=1), profile="ros1"))
    unpack(tmp_path / "x.mcap", tmp_path)
    check_scans(tmp_path)


@pytest.mark.parametrize("compression", ["", "lz4", "zstd"])
def test_a_file_that_is_cut_off_gives_its_whole_messages_and_says_so(tmp_path, compression):
    chunks = [chunk(one, compression) for one in clouds()]
    content = mcap(defined(), *chunks)
    end = content.index(chunks[2]) + len(chunks[2]) // 2
    (tmp_path / "x.mcap").write_bytes(content[:end])
    report = unpack(tmp_path / "x.mcap", tmp_path)
    (note,) = report.notes
    assert note.startswith("x.mcap was cut off or never closed: ")
    assert f"of its last {len(chunks[2]) // 2} bytes only whole messages were read" in note
    check_scans(tmp_path, 2)


@pytest.mark.parametrize("left", [9, 12, 36, 40, 48])
def test_a_file_that_is_cut_off_in_the_head_of_a_chunk_gives_those_before(tmp_path, left):
    chunks = [chunk(one, "zstd") for one in clouds()]
    content = mcap(defined(), *chunks)
    (tmp_path / "x.mcap").write_bytes(content[: content.index(chunks[2]) + left])
    assert "cut off" in unpack(tmp_path / "x.mcap", tmp_path).notes[0]
    check_scans(tmp_path, 2)


def test_whole_messages_of_a_chunk_that_is_cut_off_are_read(tmp_path):
    one = chunk(b"".join(clouds()))
    content = mcap(defined(), one)
    (tmp_path / "x.mcap").write_bytes(content[: content.index(one) + len(one) - 200])
    assert unpack(tmp_path / "x.mcap", tmp_path).notes
    check_scans(tmp_path, 2)


def test_a_bag_of_ros_1_that_was_never_closed_is_read(tmp_path):
    maker = BagMaker(1)
    kind = {"topic": POINTS.encode(), "type": b"sensor_msgs/PointCloud2"}
    head = bag1_record(bag1_record(**kind)[4:-4], op=b"\x07", conn=bytes(4), topic=kind["topic"])
    content = b""
    for number in range(NUM_SCANS):
        ns = START + number * 100_000_000
        data = maker.serialize(maker.points(ns, cloud(seed=number)))
        time = struct.pack("<II", ns // 10**9, ns % 10**9)
        content += bag1_record(data, op=b"\x02", conn=bytes(4), time=time)
    for number, compression in enumerate(("none", "bz2", "lz4")):
        path = tmp_path / f"{number}"
        path.mkdir()
        (path / "x.bag").write_bytes(bag1(bag1_chunk(head + content, compression)))
        assert "never closed" in unpack(path / "x.bag", path).notes[0]
        check_scans(path)


@pytest.mark.parametrize(
    ("mcap_too", "pack"), [(False, "FILE"), (False, "MESSAGE"), (True, "FILE")]
)
def test_packed_bags_of_ros_2_are_read(tmp_path, mcap_too, pack):
    bag = BagMaker(2).write(tmp_path / "bag", mcap=mcap_too, pack=pack)
    unpack(bag, tmp_path)
    check_scans(tmp_path)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"scans", "calibration.yaml"}


@pytest.mark.parametrize("mcap_too", [False, True])
def test_packed_messages_are_read_without_metadata_too(tmp_path, mcap_too):
    bag = BagMaker(2).write(tmp_path / "bag", mcap=mcap_too, pack="MESSAGE")
    (bag / "metadata.yaml").unlink()
    unpack(bag, tmp_path)
    check_scans(tmp_path)


@pytest.mark.parametrize("size", [0, 8])
def test_a_part_that_was_only_begun_is_left_out(tmp_path, caplog, size):
    (tmp_path / "bag").mkdir()
    (tmp_path / "bag" / "a_0.mcap").write_bytes(mcap(defined(), *map(chunk, clouds())))
    (tmp_path / "bag" / "a_1.mcap").write_bytes(mcap(defined())[:size])
    unpack(tmp_path / "bag", tmp_path)
    check_scans(tmp_path)
    assert "left out a_1.mcap, which the recorder had only just begun" in caplog.text


def test_a_folder_without_metadata_is_read(tmp_path):
    maker, found = BagMaker(2), []
    for number, start in ((9, START), (10, START + 10**9)):
        messages = [(POINTS, start, maker.points(start, cloud(seed=number - 9)))]
        part = maker.write(tmp_path / f"bag_{number}", mcap=True, messages=messages)
        found += part.glob("*.mcap")
    (tmp_path / "bag").mkdir()
    for path in found:
        path.rename(tmp_path / "bag" / path.name)
    unpack(tmp_path / "bag", tmp_path)
    check_scans(tmp_path, 2)


def test_a_missing_file_of_a_bag_is_named(tmp_path):
    bag = BagMaker(2).write(tmp_path / "bag")
    next(bag.glob("*.db3")).unlink()
    with pytest.raises(DatasetNotFoundError, match=r"lacks 1 of the 1 files.*bag\.db3"):
        unpack(bag, tmp_path)


def test_other_encodings_of_a_topic_are_named(tmp_path):
    head = schema(1, "foxglove.PointCloud", "jsonschema") + channel(7, 1, POINTS, encoding="json")
    (tmp_path / "x.mcap").write_bytes(mcap(head, message(7, START, b"{}")))
    with pytest.raises(ConfigError, match=r"is a foxglove\.PointCloud written as json, expected"):
        unpack(tmp_path / "x.mcap", tmp_path)


def test_a_wrong_checksum_is_an_error(tmp_path):
    (tmp_path / "x.mcap").write_bytes(mcap(defined(), chunk(b"".join(clouds()), "lz4", crc=1)))
    with pytest.raises(FileFormatError, match=r"wrong checksum.*mcap recover x\.mcap"):
        unpack(tmp_path / "x.mcap", tmp_path)


def cdr_cloud(fields, *, num_fields=None, data=bytes(16)):
    """Bytes of a PointCloud2 whose fields are written one by one, all as float32."""
    out = bytearray(struct.pack("<iIIx", 1, 0, 1)[:-1] + b"\0\0\0\0" + struct.pack("<II", 1, 1))
    out += struct.pack("<I", len(fields) if num_fields is None else num_fields)
    for name, offset in fields:
        out += bytes(-len(out) % 4) + struct.pack("<I", len(name) + 1) + name.encode() + b"\0"
        out += bytes(-len(out) % 4) + struct.pack("<IB3xI", offset, 7, 1)
    out += b"\0" + bytes(-(len(out) + 1) % 4) + struct.pack("<III", 16, 16, len(data)) + data
    return b"\0\1\0\0" + bytes(out) + b"\1"


def of_fields(count, **options):
    return mcap(
        defined(), message(7, START, cdr_cloud([(f"f{i}", 0) for i in range(count)], **options))
    )


BOMB = bytes(300 << 20)
HOSTILE = {
    "zstd bomb": lambda: mcap(defined(), chunk(BOMB, "zstd", size=100)),
    "lz4 bomb": lambda: mcap(defined(), chunk(BOMB, "lz4", size=100)),
    "zstd that says so": lambda: mcap(defined(), chunk(BOMB, "zstd")),
    "zstd of empty records": lambda: mcap(
        defined(), chunk(record(200, b"") * (7 << 20), "zstd"), summary=defined()
    ),
    "bz2 bomb": lambda: bag1(bag1_chunk(BOMB, "bz2", size=100)),
    "bag of lz4": lambda: bag1(bag1_chunk(BOMB, "lz4", size=100)),
    "sparse bag": lambda: bag1() + bytes(50 << 20),
    "2,000 fields": lambda: of_fields(2000),
    "200,000 fields": lambda: of_fields(200_000),
    "fields that are not there": lambda: of_fields(3, num_fields=1 << 31),
    "overlapping fields": lambda: of_fields(200),
    "idl": lambda: mcap(
        schema(1, "1/msg/2", "ros2idl", b"const long x = 1 << 10**11; (((") + channel(7, 1, POINTS)
    ),
    "long text": lambda: mcap(schema(1, "x" * (1 << 22)) + channel(7, 1, POINTS)),
    "control characters": lambda: mcap(schema(1, CLOUD) + channel(7, 1, "/\x1b[2J\x07lidar")),
    "a field called ESC": lambda: mcap(defined(), message(7, START, cdr_cloud([("\x1b[2J", 90)]))),
    "10,000 channels": lambda: mcap(
        *[schema(1, CLOUD) + channel(i, 1, f"/{i}") for i in range(10_000)]
    ),
    "giant message": lambda: mcap(
        defined(), message(7, START, cdr_cloud([], data=b""))[:-9] + b"\xff" * 9
    ),
}


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_hostile_files_end_in_one_line(tmp_path, capsys, name):
    content = HOSTILE[name]()
    path = tmp_path / ("x.bag" if content.startswith(b"#") else "x.mcap")
    path.write_bytes(content)
    del content
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with pytest.raises(SystemExit) as stop:
        main(["data", "unpack", str(path), str(tmp_path / "out"), "--points", POINTS])
    seconds = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
    text = capsys.readouterr().err
    assert stop.value.code == 2
    assert text.startswith("error: ")
    assert (text.count("\n"), len(text) < 1500) == (1, True)
    assert text.strip().isprintable()
    assert seconds < 10
    assert sorted(path.name for path in tmp_path.iterdir()) == [path.name]


DATA = {
    "giant value": "zeroblob(1000000000)",
    "slow value": "hex(hex(hex(hex(zeroblob(8000000)))))",
    "number": "1",
}


@pytest.mark.parametrize("name", sorted(DATA))
def test_databases_whose_messages_are_none_are_an_error(tmp_path, name):
    with sqlite3.connect(tmp_path / "x.db3") as connection:
        connection.execute("CREATE TABLE topics(id, name, type, serialization_format)")
        connection.execute("INSERT INTO topics VALUES (1, ?, ?, 'cdr')", (POINTS, CLOUD))
        made = f"data AS ({DATA[name]}) VIRTUAL"
        connection.execute(f"CREATE TABLE messages(topic_id, timestamp, {made})")
        connection.execute("INSERT INTO messages(topic_id, timestamp) VALUES (1, 1)")
    connection.close()
    with pytest.raises(FileFormatError, match=r"x\.db3 cannot be read"):
        unpack(tmp_path / "x.db3", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["x.db3"]


def test_tables_that_are_views_are_no_bag(tmp_path):
    with sqlite3.connect(tmp_path / "x.db3") as connection:
        connection.execute("CREATE TABLE topics(id, name, type, serialization_format)")
        connection.execute(
            "CREATE VIEW messages AS WITH RECURSIVE n(i) AS "
            "(SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
        )
    connection.close()
    with pytest.raises(FileFormatError, match="not the tables 'topics' and 'messages'"):
        unpack(tmp_path / "x.db3", tmp_path)


def test_messages_that_a_killed_recorder_left_beside_a_bag_are_not_lost(tmp_path):
    bag = next(BagMaker(2).write(tmp_path / "bag").glob("*.db3"))
    with contextlib.closing(sqlite3.connect(bag)) as recorder:
        recorder.execute("PRAGMA journal_mode=WAL")
        recorder.execute("UPDATE messages SET timestamp = timestamp + 1")
        recorder.commit()
        with pytest.raises(FileFormatError, match=r"not closed: bag\.db3-wal .*wal_checkpoint"):
            unpack(bag, tmp_path)
        assert not (tmp_path / "out").exists()
        recorder.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        unpack(bag, tmp_path)
    check_scans(tmp_path)
