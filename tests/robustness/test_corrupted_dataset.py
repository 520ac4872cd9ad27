from dataclasses import replace

import numpy as np
import pytest
from fakes.street_scan import bytes_of, street_frame
from pydantic import TypeAdapter, ValidationError

from lidistill.errors import ConfigError
from lidistill.geometry import transform_points
from lidistill.labels import IGNORE, load_label_map
from lidistill.loading.config import TrainingFrames
from lidistill.loading.mixture import Concatenation
from lidistill.robustness.corrupted_dataset import CorruptedDataset, FrameChange, TrainingCorruption
from lidistill.robustness.corruptions import CorruptionConfig, corrupted
from lidistill.robustness.shifts import SHIFT_NAMES, ShiftConfig, remounted

MAP = load_label_map("nuscenes")


class Streets:
    """Three frames in memory."""

    label_map = MAP
    frame_ids = tuple(f"street/{i}" for i in range(3))
    drive_ids = ("street",) * 3

    def __init__(self, *, labelled=True):
        self._labelled = labelled

    def __len__(self):
        return 3

    def __getitem__(self, index):
        frame = street_frame(frame_id=self.frame_ids[index], seed=index)
        return replace(
            frame, T_world_lidar=np.eye(4), labels=frame.labels if self._labelled else None
        )


def test_a_changed_set_is_its_frames_corrupted():
    change = TypeAdapter(FrameChange).validate_python({"kind": "fog", "severity": "heavy"})
    changed = CorruptedDataset(Streets(), change)
    assert (len(changed), changed.frame_ids) == (3, Streets.frame_ids)
    assert changed.label_map is MAP
    expected = corrupted(Streets()[1], MAP, CorruptionConfig(kind="fog", severity="heavy"))
    assert bytes_of(changed[1]) == bytes_of(expected)
    assert (changed[1].labels == IGNORE).sum() >= changed[1].added.sum() > 0


@pytest.mark.parametrize("name", SHIFT_NAMES)
def test_shifts_leave_the_frame_alone_and_change_something(name):
    frame = Streets()[0]
    before = bytes_of(frame)
    shifted = ShiftConfig(shift=name).apply(frame, MAP)
    assert bytes_of(frame) == before != bytes_of(shifted)
    assert len(shifted.points) == len(shifted.labels)
    if name != "intensity_absent":
        assert len(shifted.points) == len(shifted.intensity)


@pytest.mark.parametrize("name", ["height_up", "lateral", "roll_5", "pitch_2", "yaw_10"])
def test_another_mounting_leaves_the_world_where_it_is(name):
    frame = Streets()[0]
    shifted = ShiftConfig(shift=name).apply(frame, MAP)
    found = transform_points(shifted.T_world_lidar, shifted.points.astype(np.float64))
    seen = np.isfinite(frame.points[:, 0])
    np.testing.assert_allclose(found[seen], frame.points[seen], atol=1e-4)


def test_mountings_are_turned_the_right_way():
    frame = Streets()[0]  # nuScenes: y forward, x to the right
    ahead = replace(
        frame,
        points=np.array([[0, 10, 0]], dtype=np.float32),
        intensity=frame.intensity[:1],
        labels=frame.labels[:1],
        ring=frame.ring[:1],
    )

    def seen(**mounting):
        return remounted(ahead, **mounting).points[0]

    np.testing.assert_allclose(seen(offset=(0, 0, 0.5)), [0, 10, -0.5], atol=1e-6)
    np.testing.assert_allclose(seen(offset=(0, 0.5, 0)), [0.5, 10, 0], atol=1e-6)
    # Looking to the left, what was ahead is to the right; with the nose down, it is above.
    assert seen(turn="yaw", degrees=10)[0] == pytest.approx(10 * np.sin(np.deg2rad(10)), abs=1e-5)
    assert seen(turn="pitch", degrees=5)[2] == pytest.approx(10 * np.sin(np.deg2rad(5)), abs=1e-5)
    np.testing.assert_allclose(seen(turn="roll", degrees=5), [0, 10, 0], atol=1e-6)


def test_beams_intensity_and_range_shift_as_their_names_say():
    frame = Streets()[0]

    def shifted(name):
        return ShiftConfig(shift=name).apply(frame, MAP)

    assert set(shifted("half_beams").ring) == set(range(0, 32, 2))
    assert set(shifted("quarter_beams").ring) == set(range(0, 32, 4))
    assert {10, 11, 12, 19, 0, 30} <= set(shifted("horizon_beams").ring)
    assert {1, 2, 31} & set(shifted("horizon_beams").ring) == set()
    np.testing.assert_allclose(shifted("intensity_rescaled").intensity, frame.intensity / 2)
    assert shifted("intensity_clipped").intensity.max() == pytest.approx(18.742355 + 22.04632)
    assert shifted("intensity_absent").intensity is None
    near = shifted("range_40").points
    assert np.nanmax(np.linalg.norm(near, axis=1)) <= 40
    assert np.isnan(near[:, 0]).sum() == np.isnan(frame.points[:, 0]).sum()


def test_corruption_as_augmentation_changes_from_epoch_to_epoch_only():
    config = TrainingCorruption(probability=1.0)
    frames = TrainingFrames(Concatenation([Streets()]), config, seed=3)
    again = TrainingFrames(Concatenation([Streets()]), config, seed=3)
    assert bytes_of(frames(0, 1)) == bytes_of(again(0, 1))
    assert bytes_of(frames(0, 1)) != bytes_of(frames(1, 1))


def test_augmentation_is_as_probable_as_it_says_and_off_by_default():
    config = TrainingCorruption(probability=0.25, kinds=("beam_missing",))
    frames, plain = (TrainingFrames(Streets(), c, seed=0) for c in (config, None))
    clean = bytes_of(plain(0, 0))
    changed = sum(bytes_of(frames(epoch, 0)) != clean for epoch in range(200))
    assert abs(changed - 50) < 4 * np.sqrt(200 * 0.25 * 0.75)


def test_without_labels_augmentation_draws_what_needs_none():
    frame = Streets(labelled=False)[0]
    config = TrainingCorruption(probability=1.0, kinds=("snow", "beam_missing"))
    for epoch in range(10):
        assert len(config.apply(frame, MAP, seed=0, epoch=epoch).points) < len(frame.points)
    with pytest.raises(ConfigError, match=r"data\.corruption\.kinds"):
        TrainingCorruption(kinds=("snow",)).apply(frame, MAP, seed=0, epoch=0)


def test_unknown_corruptions_are_refused():
    with pytest.raises(ValidationError, match="kind"):
        TypeAdapter(FrameChange).validate_python({"kind": "rain"})
