"""Names of files: one clock for all, no two messages in one file."""

import re

import numpy as np
import pytest
from fakes.bag import POINTS, RAW, BagMaker
from fakes.scan_writers import cloud

from lidistill.bags.clocks import Times, choose_clock
from lidistill.datasets.own.unpack import unpack_bag
from lidistill.errors import FileFormatError

pytest.importorskip("rosbags")
START = 1_700_000_000_000_000_000
STEP = 100_000_000
RECORDED = [START + number * STEP for number in range(6)]
STAMPS = {
    "zero": [0] * 6,
    "negative": [-5_000_000_000 + number * STEP for number in range(6)],
    "twice": [START + number // 2 * STEP for number in range(6)],
    "backwards": [START, START + STEP, START - STEP, START + 2 * STEP, START + 3 * STEP, START + 5],
    "one zero": [0, *RECORDED[1:]],
}


def bag(tmp_path, scan_stamps, image_stamps, recorded=RECORDED, version=2):
    maker = BagMaker(version)
    messages = []
    for number, ns in enumerate(recorded):
        messages += [
            (POINTS, ns, maker.points(scan_stamps[number], cloud(seed=number))),
            (RAW, ns + 1_000_000, maker.image(image_stamps[number])),
        ]
    return maker.write(tmp_path / "bag", messages=messages)


def unpack(path, tmp_path):
    return unpack_bag(path, tmp_path / "out", points=POINTS, images=(RAW,))


@pytest.mark.parametrize("fault", sorted(STAMPS))
@pytest.mark.parametrize("where", ["scans", "images", "both"])
def test_stamps_that_cannot_be_used_give_way_to_the_bags_times_for_all(tmp_path, fault, where):
    good = [ns - 30_000_000 for ns in RECORDED]
    scans = good if where == "images" else STAMPS[fault]
    images = good if where == "scans" else STAMPS[fault]
    report = unpack(bag(tmp_path, scans, images), tmp_path)
    names = [path.stem for path in sorted((tmp_path / "out/scans").iterdir())]
    assert names == [str(ns) for ns in RECORDED]
    for number, name in enumerate(names):
        scan = np.load(tmp_path / "out" / "scans" / f"{name}.npy")
        np.testing.assert_array_equal(scan, cloud(seed=number))
    found = [path.stem for path in sorted((tmp_path / "out/cameras/front").iterdir())]
    assert found == [str(ns + 1_000_000) for ns in RECORDED]
    assert (report.num_scans, report.num_images) == (6, {"front": 6})
    assert report.clock.startswith("the bag's, when each message was recorded, for all topics")
    assert (POINTS in report.clock, RAW in report.clock) == (where != "images", where != "scans")


def test_good_stamps_name_the_files(tmp_path):
    stamps = [ns - 30_000_000 for ns in RECORDED]
    report = unpack(bag(tmp_path, stamps, stamps), tmp_path)
    for folder in ("scans", "cameras/front"):
        names = [path.stem for path in sorted((tmp_path / "out" / folder).iterdir())]
        assert names == [str(ns) for ns in stamps]
    assert report.clock == "the messages' headers"


def test_sensors_on_two_clocks_are_brought_to_one(tmp_path):
    since_boot = [ns - START + STEP for ns in RECORDED]
    report = unpack(bag(tmp_path, since_boot, RECORDED), tmp_path)
    assert (tmp_path / "out" / "scans" / f"{START}.npy").exists()
    assert "s behind those of" in report.clock


def test_messages_without_any_time_are_an_error(tmp_path):
    path = bag(tmp_path, [0] * 6, [0] * 6, recorded=[START] * 6)
    with pytest.raises(FileFormatError, match=r"no usable times: /lidar/points: 6 of 6 headers"):
        unpack(path, tmp_path)
    assert not (tmp_path / "out").exists()


def test_a_few_equal_times_of_a_bag_are_moved_and_counted():
    recorded = [*range(START, START + 40), START + 39]
    clock = choose_clock({"/a": Times(stamps=[0] * 41, recorded=recorded)})
    assert clock.names["/a"] == list(range(START, START + 41))
    assert clock.said.endswith("; 1 moved by nanoseconds")


def test_a_recorder_that_stalls_does_not_hide_two_clocks():
    times = [START + number * STEP for number in range(30)]
    stalled = [ns + (number > 2) * 1_200_000_000 for number, ns in enumerate(times)]
    boot = [ns - START + 100_000_000_000 for ns in times]
    for recorded, taken in (
        (stalled, "the bag's, when"),
        ([times[0], *times[:-1]], "the bag's, when"),
        ([times[0]] * 30, "the messages' headers, though"),  # set time_offset, then
    ):
        lidar = Times(stamps=boot, recorded=recorded)
        image = Times(stamps=times, recorded=[ns + 1 for ns in recorded])
        said = choose_clock({"/a": lidar, "/b": image}).said
        assert said.startswith(taken)
        assert re.search(r"are 1699999(899|900)\.[0-9]+ s behind", said)
    # Less than the drive takes may be the stall itself.
    late = Times(stamps=[ns + 5_000_000_000 for ns in RECORDED], recorded=RECORDED)
    away = [ns + number * 3_000_000_000 for number, ns in enumerate(RECORDED)]
    replayed = Times(stamps=RECORDED, recorded=away)
    assert choose_clock({"/a": late, "/b": replayed}).said == "the messages' headers"


def test_a_slow_camera_is_no_other_clock():
    quick = Times(stamps=RECORDED, recorded=RECORDED)
    slow = Times(stamps=RECORDED, recorded=[ns + 1_500_000_000 for ns in RECORDED])
    assert choose_clock({"/a": quick, "/b": slow}).said == "the messages' headers"


def test_messages_that_lie_out_of_order_in_the_file_do_not_go_backwards():
    turned = Times(stamps=RECORDED[::-1], recorded=[ns + 5 for ns in RECORDED[::-1]])
    assert choose_clock({"/a": turned}).names["/a"] == RECORDED[::-1]
