"""A recording in, a recording out, whatever bag it is; and a lidar that is running."""

import dataclasses
import io
import json
import os
import signal
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes.bag import POINTS, BagMaker, cloud
from fakes.command import run
from fakes.live_lidar import scan
from fakes.runs import pretrain_values, probe_values, write_world
from mcap.reader import SeekingReader
from rosbags.highlevel import AnyReader

import lidistill
from lidistill.apps.features import FeatureModel
from lidistill.apps.recordings import RecordingPlan, process_recording
from lidistill.distill.run import pretrain
from lidistill.recipes import apply_overrides
from lidistill.segment.report import train_and_score

START = 1_700_000_000_000_000_000
NUMBERS = {7: "<f4", 2: "|u1", 4: "<u2"}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    write_world(folder)
    pretrain(apply_overrides(pretrain_values(folder), ("train.steps=2",), source="tiny"))
    train_and_score(apply_overrides(probe_values(folder), ("train.steps=2",), source="tiny"))
    return folder


def table(seed):
    found = cloud(seed=seed)
    found["z"] /= 5
    return found


def xyz_of(points):
    return np.stack([points[axis] for axis in "xyz"], axis=1)


def write_bag(path, version, *, mcap=False, scans=3, topics=(POINTS,)):
    maker = BagMaker(version)
    times = [START + number * 100_000_000 for number in range(scans)]
    messages = [
        (topic, ns, maker.points(ns, table(number)))
        for number, ns in enumerate(times)
        for topic in topics
    ]
    return maker.write(path, mcap=mcap, messages=messages)


def read(path):
    """Topic, time, message and structured points of every cloud."""
    found = []
    with AnyReader([path]) as reader:
        for connection, time, raw in reader.messages():
            message: Any = reader.deserialize(raw, connection.msgtype)
            layout = {
                "names": [field.name for field in message.fields],
                "formats": [NUMBERS[field.datatype] for field in message.fields],
                "offsets": [field.offset for field in message.fields],
                "itemsize": message.point_step,
            }
            found.append((connection.topic, time, message, message.data.view(np.dtype(layout))))
    return found


def metadata_of(path):
    with path.open("rb") as file:
        (metadata,) = SeekingReader(file).iter_metadata()
    return {key: json.loads(value) for key, value in metadata.metadata.items()}


KINDS = {"ros1.bag": (1, False), "ros2": (2, False), "ros2-mcap": (2, True)}


@pytest.mark.parametrize("kind", KINDS)
def test_every_point_of_any_bag_gets_class_and_confidence(world, tmp_path, capsys, kind):
    version, mcap = KINDS[kind]
    bag, out = write_bag(tmp_path / kind, version, mcap=mcap), tmp_path / "out.mcap"
    probe = world / "probe-backbone"
    status, text, err = run(capsys, "predict", probe, bag, "--output", out)
    assert status == 0, err
    assert "3 scans in, 3 out, 0 dropped, 0 not usable; 120 points" in text
    assert "latency     median" in text
    model = lidistill.load(probe, "cpu")
    assert metadata_of(out)["classes"] == list(model.class_names)
    for number, (topic, time, message, points) in enumerate(read(out)):
        expected = table(number)
        assert (topic, time) == (f"{POINTS}/classes", START + number * 100_000_000)
        assert message.header.stamp.nanosec == number * 100_000_000
        assert message.header.frame_id == "lidar_link"
        assert (message.height, message.width) == (2, 20)
        np.testing.assert_array_equal(xyz_of(points), xyz_of(expected))
        np.testing.assert_array_equal(points["intensity"], expected["intensity"])
        classes, confidence = model.classify(xyz_of(expected), expected["intensity"])
        np.testing.assert_array_equal(points["class"], classes)
        np.testing.assert_allclose(points["confidence"], confidence, rtol=1e-5)
        assert (confidence > 1 / 17).all()


def test_objects_are_a_field_of_their_own(world, tmp_path, capsys):
    bag, out = write_bag(tmp_path / "a.bag", 1, scans=1), tmp_path / "out.mcap"
    boxes = tmp_path / "boxes.yaml"
    model = lidistill.load(world / "probe-backbone", "cpu")
    boxes.write_text("".join(f"{name}: [9, 7]\n" for name in model.class_names))
    command = ("predict", world / "probe-backbone", bag, "--output", out, "--instances")
    status, _, err = run(capsys, *command, "--boxes", boxes)
    assert status == 0, err
    ((_, _, _, points),) = read(out)
    assert points["instance"].min() == 1
    assert points["instance"].max() > 1


def test_features_are_the_first_components_of_the_first_scan(world, tmp_path, capsys):
    bag, out = write_bag(tmp_path / "a.bag", 1), tmp_path / "out.mcap"
    command = ("features", world / "pretrain", bag, "--output", out, "--components", "4", "--json")
    status, text, err = run(capsys, *command)
    assert status == 0, err
    record = json.loads(text)
    assert (record["received"], record["written"], record["topic"]) == (3, 3, f"{POINTS}/features")
    basis = metadata_of(out)
    mean, axes = np.array(basis["mean"]), np.array(basis["axes"])
    assert axes.shape == (4, 8)
    model = lidistill.load(world / "pretrain", "cpu")
    for number, (_, _, _, points) in enumerate(read(out)):
        expected = table(number)
        features = model.features(xyz_of(expected), expected["intensity"])
        unit = features / np.linalg.norm(features, axis=1, keepdims=True)
        found = np.stack([points[f"f{i}"] for i in range(4)], axis=1)
        np.testing.assert_allclose(found, (unit - mean) @ axes.T, atol=1e-5)


def test_scans_of_no_or_few_points_have_the_same_fields_and_give_no_components(
    world, tmp_path, capsys
):
    maker = BagMaker(2)
    whole = maker.points(START, table(0))
    empty = dataclasses.replace(whole, height=0, width=0, row_step=0, data=whole.data[:0])
    few, third = maker.points(START + 1, table(0)[:2]), maker.points(START + 2, table(1))
    messages = [(POINTS, START + i, one) for i, one in enumerate((empty, few, third))]
    bag = maker.write(tmp_path / "bag", messages=messages)
    for command, run_folder in (("predict", "probe-backbone"), ("features", "pretrain")):
        out = tmp_path / f"{command}.mcap"
        status, text, err = run(capsys, command, world / run_folder, bag, "--output", out)
        assert status == 0, err
        assert "1 scans without a point" in text
        points = [one[-1] for one in read(out)]
        assert [len(one) for one in points] == [0, 2, len(table(1))]
        assert len({one.dtype for one in points}) == 1
    assert np.isnan(points[1]["f0"]).all()  # two points have one direction, not three components
    assert np.isfinite(points[2]["f2"]).any()
    assert np.linalg.matrix_rank(np.array(metadata_of(out)["axes"])) > 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("a.bag", "--output", "out"), "NAME.mcap"),
        (("a.bag", "a.bag2.bag", "--output", "out.mcap"), "call once for each"),
        (("a.bag", "--output", "out.mcap", "--points", "/lidar/point"), "did you mean"),
        (("two.bag", "--output", "out.mcap"), "--points TOPIC"),
        (("no.bag", "--output", "out.mcap"), "does not exist"),
        (("scan.bin", "--output", "out", "--realtime"), "are for bags"),
        (("a.bag", "--output", "out.mcap", "--ply"), "not for a recording"),
        (("a.bag", "--output", "there.mcap"), "--overwrite"),
        (("a.bag", "--output", "out.mcap", "--intensity", "power"), "'power'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    world, tmp_path, capsys, monkeypatch, arguments, expected
):
    monkeypatch.chdir(tmp_path)
    write_bag(tmp_path / "a.bag", 1, scans=1)
    write_bag(tmp_path / "two.bag", 1, scans=1, topics=(POINTS, "/rear/points"))
    (tmp_path / "there.mcap").write_bytes(b"mine")
    status, _, err = run(capsys, "predict", world / "probe-backbone", *arguments)
    assert status == 2
    assert err.splitlines()[-1].startswith("error: ")
    assert expected in err
    left = {"a.bag", "two.bag", "there.mcap"}
    # A scan that cannot be used ends nothing, so its recording is written, without it.
    written = {"out.mcap"} if "--intensity" in arguments else set()
    assert {path.name for path in tmp_path.iterdir()} == left | written
    assert (tmp_path / "there.mcap").read_bytes() == b"mine"


def test_a_cut_recording_gives_its_whole_scans(world, tmp_path, capsys):
    first, cut = tmp_path / "first.mcap", tmp_path / "cut.mcap"
    bag, probe = write_bag(tmp_path / "a.bag", 1), world / "probe-backbone"
    assert run(capsys, "predict", probe, bag, "--output", first)[0] == 0
    whole = first.read_bytes()  # every scan a chunk of its own
    cut.write_bytes(whole[: len(whole) // 2])
    status, text, err = run(
        capsys, "predict", probe, cut, "--output", tmp_path / "out.mcap", "--json"
    )
    assert status == 0, err
    record = json.loads(text)
    assert 0 < record["written"] < 3
    assert any("cut off" in note for note in record["notes"])


def test_the_network_is_warm_before_the_first_scan(world, tmp_path, capsys, monkeypatch):
    calls, classify = [], FeatureModel.classify

    def noted(*scan):
        calls.append("scan")
        return classify(*scan)

    monkeypatch.setattr(FeatureModel, "warm_up", lambda _: calls.append("warm"))
    monkeypatch.setattr(FeatureModel, "classify", noted)
    bag = write_bag(tmp_path / "a.bag", 1)
    command = ("predict", world / "probe-backbone", bag, "--output", tmp_path / "out.mcap")
    assert run(capsys, *command)[0] == 0
    assert calls == ["warm", "scan", "scan", "scan"]


def test_a_bag_that_is_played_too_fast_loses_scans_but_never_the_newest(world, tmp_path, capsys):
    maker = BagMaker(2)
    times = [START + number * 100_000 for number in range(60)]  # 10,000 scans a second
    messages = [(POINTS, ns, maker.points(ns, table(ns % 7))) for ns in times]
    bag = maker.write(tmp_path / "bag", messages=messages)
    out = tmp_path / "out.mcap"
    command = ("predict", world / "probe-backbone", bag, "--output", out, "--realtime", "--json")
    status, text, err = run(capsys, *command)
    assert status == 0, err
    record = json.loads(text)
    assert record["received"] == record["written"] + record["dropped"] == 60
    assert record["dropped"] > 30
    written = [time for _, time, _, _ in read(out)]
    assert written == sorted(written)
    assert written[-1] == times[-1]


class Copy:
    """In place of a network."""

    def __call__(self, points, _intensity):
        return {"class": np.zeros(len(points), np.uint8)}

    def about(self):
        return {}


def test_memory_does_not_grow_with_the_recording(tmp_path):
    large = np.tile(table(0), 500)
    peaks = {}
    for scans in (5, 40):
        maker, times = BagMaker(1), [START + number * 100_000_000 for number in range(scans)]
        messages = ((POINTS, ns, maker.points(ns, large)) for ns in times)
        bag = maker.write(tmp_path / f"{scans}.bag", messages=messages)
        plan = RecordingPlan(source=bag, output=tmp_path / f"{scans}.mcap", name="classes")
        tracemalloc.start()
        recorded = process_recording(plan, Copy())
        peaks[scans] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert recorded.pace.num_done == scans
    assert peaks[40] < 1.2 * peaks[5]


@pytest.fixture
def environment():
    return os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


def test_a_running_lidar_is_followed(world, tmp_path, environment):
    # Loading the network takes seconds; what the lidar measures meanwhile waits in the pipe.
    out = tmp_path / "out.mcap"
    lidar_file = Path(__file__).parents[1] / "fakes" / "live_lidar.py"
    predict = [sys.executable, "-m", "lidistill", "predict", world / "probe-backbone", "-"]
    with subprocess.Popen(
        [sys.executable, lidar_file, "30", "10", "300"], stdout=subprocess.PIPE, env=environment
    ) as lidar:
        done = subprocess.run(
            [*predict, "--output", out, "--device", "cpu", "--json"],
            stdin=lidar.stdout,
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    record, found = json.loads(done.stdout), read(out)
    assert record["received"] == 30
    assert record["written"] + record["dropped"] == 30
    assert record["written"] == len(found) > 1
    assert record["failed"] == 0
    assert 0 < record["latency"]["p50"] <= record["latency"]["p99"] <= record["latency"]["max"]
    times = [time for _, time, _, _ in found]
    assert times == sorted(times)
    last = scan(29 % 3, 300)
    np.testing.assert_array_equal(found[-1][3]["x"], last["x"])  # the newest is never dropped


INTERRUPTIBLE = """
import runpy, signal
signal.signal(signal.SIGINT, signal.default_int_handler)
runpy.run_module("lidistill", run_name="__main__", alter_sys=True)
"""
"""The command, with Ctrl-C as on a terminal: jobs in the background of a shell ignore it."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_running_lidar_with_a_whole_recording(world, tmp_path, environment, number):
    out = tmp_path / "out" / "out.mcap"
    lidar_file = Path(__file__).parents[1] / "fakes" / "live_lidar.py"
    predict = [sys.executable, "-c", INTERRUPTIBLE, "predict", world / "probe-backbone", "-"]
    with (
        subprocess.Popen(
            [sys.executable, lidar_file, "100000", "20", "300"],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
        ) as lidar,
        subprocess.Popen(
            [*predict, "--output", out, "--device", "cpu", "--json"],
            stdin=lidar.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        ) as process,
    ):
        lidar.stdout.close()  # the other process has it
        pause = threading.Event()
        try:
            while process.poll() is None and not any(
                path.stat().st_size > 20_000 for path in out.parent.glob(".writing-*")
            ):
                pause.wait(0.05)
            process.send_signal(number)
            text, err = process.communicate(timeout=60)
        finally:
            lidar.kill()  # so that the other one ends, whatever happened
    assert process.returncode == 0, err
    record = json.loads(text)
    assert record["written"] == len(read(out)) > 0
    assert {path.name for path in out.parent.iterdir()} == {"out.mcap"}


def test_standard_input_of_something_else_is_one_line(world, tmp_path, capsys, monkeypatch):
    class Input:
        buffer = io.BytesIO(b"nothing of the kind")

    monkeypatch.setattr("sys.stdin", Input())
    command = ("predict", world / "probe-backbone", "-", "--output", tmp_path / "out.mcap")
    status, _, err = run(capsys, *command)
    assert status == 2
    assert "standard input begins with" in err
    assert list(tmp_path.iterdir()) == []
