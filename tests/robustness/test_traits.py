from dataclasses import replace

import numpy as np
import pytest
from fakes.street_scan import street_frame

from lidistill.labels import LabelMap, load_label_map
from lidistill.robustness.rings import rings_by_elevation, rings_by_turns
from lidistill.robustness.traits import LIDARS, clean_scan, lidar_traits, rings_of, with_classes


@pytest.mark.parametrize(
    ("name", "ground", "objects"),
    [
        ("nuscenes", {24, 25, 26}, {14, 15, 16, 17, 18, 21, 22, 23}),
        (
            "semantic_kitti",
            {40, 60, 44, 48, 49},
            {10, 11, 13, 15, 16, 18, 20, 252, 256, 257, 258, 259},
        ),
        (
            "pandaset",
            {7, 8, 9, 10, 11, 12},
            {13, 14, 15, 16, 17, 18, 19, 20, 21, 23, 26, 27, 28, 29},
        ),
    ],
)
def test_ground_and_objects_are_the_right_raw_ids(name, ground, objects):
    label_map = load_label_map(name)
    traits = with_classes(LIDARS["nuscenes"], label_map)

    def raw(train_ids):
        return {raw for raw, train in label_map.raw_to_train.items() if train in train_ids}

    assert raw(traits.ground) == ground
    assert raw(traits.objects) == objects


def test_classes_of_ones_own_are_found_by_what_they_are_part_of():
    label_map = LabelMap(
        name="own",
        class_names=("asphalt", "lorry", "hedge"),
        raw_to_train={},
        raw_names={},
        common={"asphalt": "road", "lorry": "large vehicle", "hedge": "vegetation"},
    )
    traits = with_classes(LIDARS["pandar64"], label_map)
    assert (traits.ground, traits.objects) == ((0,), (1,))


@pytest.mark.parametrize(
    ("statistics", "top", "whole"),
    [((0.3, 0.2), 1, False), ((18.0, 25.0), 255, True), ((9000.0, 8000.0), 65535, True)],
)
def test_the_scale_of_ones_own_lidar_follows_its_statistics(statistics, top, whole):
    frame = replace(street_frame(), sensor="own", intensity_statistics=statistics)
    traits = lidar_traits(frame)
    assert (traits.intensity_top, traits.whole_intensity) == (top, whole)
    assert traits.benchmark is None


def test_rings_come_from_the_file_where_it_has_them():
    frame = street_frame()
    assert clean_scan(frame, load_label_map("nuscenes")).ring is frame.ring
    without = replace(frame, ring=np.full(len(frame.points), -1, dtype=np.int16))
    assert rings_of(without, LIDARS["nuscenes"]).max() == 31


def test_rings_by_elevation_are_those_of_even_beams():
    frame = street_frame(lost=0, columns=200)
    found = rings_by_elevation(frame.points, 32)
    assert np.mean(np.abs(found - frame.ring) <= 1) > 0.99


def test_rings_by_turns_follow_the_order_of_the_file():
    frame = street_frame(lost=100)
    # KITTI's rings begin ahead of the lidar and turn to the left.
    turn = np.roll(np.arange(len(frame.points)).reshape(-1, 32), -151, axis=0)
    by_ring = turn.T.reshape(-1)
    points = frame.points[by_ring]
    found = rings_by_turns(points, 32)
    kept = np.isfinite(points[:, 0])
    assert np.mean(found[kept] == frame.ring[by_ring][kept]) > 0.99
    assert (rings_by_turns(points, 8) <= 7).all()
