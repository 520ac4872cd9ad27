import numpy as np
import pytest
from fakes.street_scan import street_frame

from lidistill.labels import load_label_map
from lidistill.robustness import snow_beams
from lidistill.robustness.corruptions import CorruptionConfig, corrupted_scan
from lidistill.robustness.snow import snow
from lidistill.robustness.snow_beams import _beam_parts, snow_echoes
from lidistill.robustness.snow_flakes import (
    BEAM,
    NUM_PATTERNS,
    Flakes,
    _overlapping,
    flake_table_of,
    sample_flakes,
)
from lidistill.robustness.traits import clean_scan


def one_flake(azimuth, distance, radius):
    return Flakes(
        azimuth=np.array([azimuth]), range=np.array([distance]), radius=np.array([radius])
    )


def echoes(flakes, point, intensity=50.0):
    points = np.array([point], dtype=np.float32)
    return snow_echoes(
        points,
        np.linalg.norm(points.astype(np.float64), axis=1),
        np.array([intensity]),
        pattern=np.zeros(1, dtype=np.int64),
        channel=np.zeros(1, dtype=np.int64),
        table=flake_table_of([flakes]),
    )


@pytest.mark.parametrize("seed", range(20))
def test_a_beam_meets_the_flakes_that_a_search_over_all_finds(seed):
    rng = np.random.default_rng(seed)
    flakes = sample_flakes(seed % 3, rng)
    azimuth, far = rng.uniform(-np.pi, np.pi), rng.uniform(20, 80)
    table = flake_table_of([flakes])
    at, share = _beam_parts(
        azimuth, far, 0, (table.start, table.azimuth, table.half_width, table.range)
    )
    away = np.angle(np.exp(1j * (flakes.azimuth - azimuth)))
    meets = (np.abs(away) < flakes.half_width + BEAM / 2) & (flakes.range < far)
    expected = np.sort(flakes.range[meets])
    assert len(expected) or len(at) == 1
    assert set(at[:-1].round(4)) <= set(expected.round(4))
    assert share.sum() == pytest.approx(1)
    assert at[-1] == far


def test_a_flake_in_the_way_is_seen_in_place_of_the_target():
    found = echoes(one_flake(0.0, 3.0, 4e-3), (40.0, 0.0, 0.0))
    assert found.kind[0] == 2
    assert found.distance[0] == pytest.approx(3.0, abs=0.1)


def test_a_small_flake_far_away_only_takes_the_targets_intensity():
    found = echoes(one_flake(0.0, 30.0, 1e-4), (31.0, 0.0, 0.0))
    assert found.kind[0] == 1
    assert found.distance[0] == pytest.approx(31.0)
    assert found.intensity[0] != 50.0


def test_flakes_beside_or_behind_change_nothing():
    for flakes in (one_flake(0.1, 3.0, 4e-3), one_flake(0.0, 50.0, 4e-3)):
        found = echoes(flakes, (40.0, 0.0, 0.0))
        assert (found.kind[0], found.intensity[0], found.distance[0]) == (0, 50.0, 40.0)


def test_a_flake_behind_another_gets_no_light():
    near, hidden = (0.0, 2.0, 4e-3), (0.0, 5.0, 4e-3)
    both = Flakes(
        **{
            key: np.array(values)
            for key, values in zip(
                ("azimuth", "range", "radius"), zip(near, hidden, strict=True), strict=True
            )
        }
    )
    assert echoes(both, (40.0, 0.0, 0.0)).intensity == pytest.approx(
        echoes(one_flake(*near), (40.0, 0.0, 0.0)).intensity
    )


def test_flakes_over_others_are_found():
    flakes = Flakes(
        azimuth=np.array([0.0, 0.0, 1.0]),
        range=np.array([10.0, 10.001, 10.0]),
        radius=np.array([1e-3, 1e-3, 1e-3]),
    )
    assert _overlapping(flakes).tolist() == [False, True, False]


def test_points_beyond_the_snow_models_reach_stay():
    found = echoes(one_flake(0.0, 3.0, 4e-3), (130.0, 0.0, 0.0))
    assert (found.kind[0], found.distance[0]) == (0, pytest.approx(130.0))


def test_stronger_snow_has_fewer_flakes_and_weakens_fewer_points():
    frame, table = street_frame(columns=1000), load_label_map("nuscenes")
    weakened = []
    for severity in ("light", "moderate", "heavy"):
        config = CorruptionConfig(kind="snow", severity=severity)
        snowy = corrupted_scan(frame, table, config)
        changed = snowy.intensity != frame.intensity[snowy.source]
        weakened.append(np.count_nonzero(changed & ~snowy.added))
    assert weakened[0] > weakened[1] > weakened[2] > 0


def test_snow_falls_in_patterns_that_are_given(monkeypatch):
    scan = clean_scan(street_frame(columns=300), load_label_map("nuscenes"))
    rng = np.random.default_rng(3)
    patterns = [sample_flakes(2, np.random.default_rng(seed)) for seed in range(NUM_PATTERNS)]
    order = rng.permutation(NUM_PATTERNS)
    table = flake_table_of(patterns)
    assert table.num_patterns == NUM_PATTERNS
    found = snow(scan, "light", rng, table=table, order=order)
    assert found.added.any()
    # Neither the severity nor chance has a say; a pattern is what a laser of that number meets.
    again = snow(scan, "heavy", np.random.default_rng(8), table=table, order=order)
    np.testing.assert_array_equal(again.points, found.points)
    np.testing.assert_array_equal(again.intensity, found.intensity)
    sorted_table = flake_table_of([patterns[number] for number in order])
    same = snow(scan, "light", rng, table=sorted_table, order=np.arange(NUM_PATTERNS))
    np.testing.assert_array_equal(same.points, found.points)
    monkeypatch.setattr(snow_beams, "compiling", lambda: False)
    defined = snow(scan, "light", rng, table=table, order=order)
    np.testing.assert_array_equal(defined.source, found.source)
    np.testing.assert_allclose(defined.points, found.points, atol=1e-4)
