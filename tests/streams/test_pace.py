import threading

import numpy as np
import pytest

from lidistill.bags.records import Channel, RawMessage
from lidistill.errors import FileFormatError
from lidistill.streams.pace import all_in_turn, newest_first
from lidistill.streams.sources import at_its_own_pace, is_recording


def test_all_is_handled_in_turn():
    seen = []
    pace = all_in_turn(range(5), seen.append)
    assert seen == [0, 1, 2, 3, 4]
    assert (pace.num_received, pace.num_done, pace.num_dropped, pace.num_failed) == (5, 5, 0, 0)
    assert 0 <= pace.latency[0] <= pace.latency[1] <= pace.latency[2]
    assert pace.seconds >= pace.latency[2]


def refuse_odd(number):
    if number % 2:
        msg = f"{number} is odd"
        raise FileFormatError(msg)


@pytest.mark.parametrize("way", [all_in_turn, newest_first])
def test_what_cannot_be_used_is_counted_and_ends_nothing(way):
    pace = way([1], refuse_odd)
    assert (pace.num_received, pace.num_done, pace.num_failed) == (1, 0, 1)
    assert pace.first_failure == "1 is odd"
    assert np.isnan(pace.latency).all()


@pytest.mark.parametrize("way", [all_in_turn, newest_first])
def test_nothing_is_a_pace_too(way):
    pace = way([], refuse_odd)
    assert (pace.num_received, pace.seconds) == (0, 0.0)


def test_the_newest_is_next_and_what_it_took_over_from_is_counted():
    started, go_on = threading.Event(), threading.Event()
    seen = []

    def source():
        yield 0
        started.wait()  # while 0 is worked on, four more come
        yield from (1, 2, 3, 4)
        go_on.set()

    def handle(item):
        seen.append(item)
        started.set()
        go_on.wait()

    pace = newest_first(source(), handle)
    assert seen == [0, 4]
    assert (pace.num_received, pace.num_done, pace.num_dropped) == (5, 2, 3)


@pytest.mark.parametrize("kind", [FileFormatError, OSError])
def test_a_source_that_breaks_says_so_after_the_work(kind):
    seen = []

    def source():
        yield 7
        msg = "damaged"
        raise kind(msg)

    with pytest.raises(kind, match="damaged"):
        newest_first(source(), seen.append)
    assert seen == [7]


def test_control_c_ends_a_stream_like_its_end():
    def source():
        yield 1
        threading.Event().wait()  # for ever

    def handle(_):
        raise KeyboardInterrupt

    pace = newest_first(source(), handle)
    assert (pace.num_received, pace.num_done) == (1, 0)


def test_messages_are_played_as_far_apart_as_they_were_recorded(monkeypatch):
    clock = [100.0]

    def sleep(seconds):
        clock[0] += seconds

    monkeypatch.setattr("lidistill.streams.sources.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("lidistill.streams.sources.time.sleep", sleep)
    channel = Channel(topic="/lidar", kind="sensor_msgs/PointCloud2", encoding="cdr")
    start = 1_700_000_000_000_000_000
    recorded = [
        RawMessage(channel=channel, time_ns=start + ns, data=memoryview(b""))
        for ns in (0, 100_000_000, 150_000_000)
    ]
    times = []
    for number, _ in enumerate(at_its_own_pace(recorded)):
        times.append(clock[0])
        clock[0] += 0.2 if number == 1 else 0.0  # the second is late; nobody waits for it
    assert times == pytest.approx([100.0, 100.1, 100.3])


def test_a_folder_is_a_recording_where_files_of_a_bag_lie_beside_its_metadata(tmp_path):
    (tmp_path / "metadata.yaml").write_text("")
    (tmp_path / "0.bin").write_bytes(b"")
    assert not is_recording(tmp_path)  # scans, and notes about them
    assert not is_recording(tmp_path / "0.bin")
    (tmp_path / "bag_0.db3").write_bytes(b"")
    assert is_recording(tmp_path)
    assert is_recording(tmp_path / "absent.MCAP")
