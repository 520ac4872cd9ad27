"""What every corruption promises."""

import multiprocessing
from dataclasses import replace

import numpy as np
import pytest
from fakes.street_scan import bytes_of, corrupted_bytes, street_frame

from lidistill.errors import ConfigError
from lidistill.labels import IGNORE, load_label_map
from lidistill.robustness.corruptions import (
    CORRUPTIONS,
    NEED_LABELS,
    CorruptionConfig,
    corrupted,
    corrupted_scan,
)
from lidistill.robustness.scan import KINDS, SEVERITIES
from lidistill.robustness.traits import LIDARS, clean_scan

MAP = load_label_map("nuscenes")
every_corruption = pytest.mark.parametrize("kind", CORRUPTIONS)
every_severity = pytest.mark.parametrize("severity", SEVERITIES)


@every_corruption
@every_severity
def test_the_input_is_left_alone(kind, severity):
    frame = street_frame()
    before = bytes_of(frame)
    corrupted(frame, MAP, CorruptionConfig(kind=kind, severity=severity))
    assert bytes_of(frame) == before


@every_corruption
@every_severity
def test_labels_and_rings_follow_their_points(kind, severity):
    frame = street_frame()
    config = CorruptionConfig(kind=kind, severity=severity)
    scan, result = corrupted_scan(frame, MAP, config), corrupted(frame, MAP, config)
    assert len(result.points) == len(result.labels) == len(result.ring) == len(scan.source)
    assert result.points.dtype == result.intensity.dtype == np.float32
    np.testing.assert_array_equal(result.ring, frame.ring[scan.source])
    assert (result.labels[scan.added] == IGNORE).all()
    np.testing.assert_array_equal(
        result.labels[~scan.added], frame.labels[scan.source][~scan.added]
    )
    assert len(np.unique(scan.source)) == len(scan.source)


@every_corruption
def test_something_changes(kind):
    frame = street_frame()
    for severity in SEVERITIES:
        result = corrupted(frame, MAP, CorruptionConfig(kind=kind, severity=severity))
        assert bytes_of(result) != bytes_of(frame)


@every_corruption
def test_beams_that_did_not_come_back_stay_away(kind):
    frame = street_frame(lost=500)
    scan = corrupted_scan(frame, MAP, CorruptionConfig(kind=kind, severity="heavy"))
    lost = np.isnan(frame.points[scan.source, 0])
    assert lost.any()
    np.testing.assert_array_equal(np.isnan(scan.points).all(axis=1), lost)
    assert np.isfinite(scan.intensity[~lost]).all()


@every_corruption
@pytest.mark.parametrize("sensor", LIDARS)
@pytest.mark.parametrize("num_lost", [0, 3])
def test_scans_without_a_single_echo_stay_without(kind, sensor, num_lost):
    frame = replace(street_frame(), sensor=sensor, ring=None).take(np.arange(num_lost))
    frame = replace(frame, points=np.full_like(frame.points, np.nan))
    result = corrupted(frame, MAP, CorruptionConfig(kind=kind, severity="heavy"))
    assert np.isnan(result.points).all()


@pytest.mark.parametrize("kind", ["wet_ground", "snow", "fog"])
def test_a_lidar_without_intensity_loses_no_point_for_being_dark(kind):
    frame = street_frame()
    config = CorruptionConfig(kind=kind, severity="heavy")
    bare = corrupted(replace(frame, intensity=None), MAP, config)
    assert bare.intensity is None
    assert len(bare.points) == len(frame.points)
    if kind == "fog":  # by range, as with intensity, but for rounding
        assert np.mean(bare.added == corrupted(frame, MAP, config).added) > 0.99
        assert bare.added.any()


@pytest.mark.parametrize("kind", ["wet_ground", "snow"])
@pytest.mark.parametrize("intensity", [0, 30])
def test_a_point_level_with_the_lidar_does_not_decide_over_the_ground(kind, intensity):
    frame = street_frame(lost=0)
    config = CorruptionConfig(kind=kind, severity="heavy")
    usual = len(corrupted(frame, MAP, config).points)
    road = MAP.class_names.index("driveable_surface")
    level = np.flatnonzero(frame.labels == road)[0]
    frame.points[level, 2] = 0
    frame.intensity[level] = intensity
    assert abs(len(corrupted(frame, MAP, config).points) - usual) <= 2


def test_the_same_bytes_from_any_number_of_workers():
    wanted = [(kind, f"street/{i}") for kind in KINDS for i in range(2)]
    alone = [corrupted_bytes(one) for one in wanted]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        assert pool.map(corrupted_bytes, wanted[::-1], chunksize=1) == alone[::-1]


@every_corruption
def test_frames_seeds_and_severities_draw_anew(kind):
    frame, other = street_frame(), street_frame(frame_id="street/1")
    config = CorruptionConfig(kind=kind, severity="light")
    first = bytes_of(corrupted(frame, MAP, config))
    assert bytes_of(corrupted(frame, MAP, config)) == first
    if kind in {"wet_ground", "cross_sensor"}:  # these draw nothing
        assert bytes_of(corrupted(other, MAP, config)) == first
        return
    seed = config.model_copy(update={"seed": 1})
    assert len({tuple(bytes_of(corrupted(f, MAP, config))) for f in (frame, other)}) == 2
    assert bytes_of(corrupted(frame, MAP, seed)) != first


@every_corruption
def test_without_labels_those_that_need_none_still_run(kind):
    frame = street_frame()
    bare = clean_scan(frame, MAP)
    bare = type(bare)(
        points=bare.points,
        intensity=bare.intensity,
        labels=None,
        ring=bare.ring,
        traits=bare.traits,
    )
    if kind in NEED_LABELS:
        with pytest.raises(ConfigError, match="no labels"):
            CORRUPTIONS[kind](bare, "light", np.random.default_rng(0))
    else:
        assert len(CORRUPTIONS[kind](bare, "light", np.random.default_rng(0)))


@every_corruption
def test_compiled_and_defined_agree(kind, monkeypatch):
    frame = street_frame(columns=120)
    config = CorruptionConfig(kind=kind, severity="light")
    results = []
    for mode in ("1", "0"):
        monkeypatch.setenv("LIDISTILL_COMPILE", mode)
        results.append(corrupted(frame, MAP, config))
    np.testing.assert_array_equal(results[0].labels, results[1].labels)
    np.testing.assert_allclose(results[0].points, results[1].points, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(results[0].intensity, results[1].intensity, atol=1)
