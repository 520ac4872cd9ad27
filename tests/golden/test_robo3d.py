"""Corruptions against what the benchmark's own code made of the same frames."""

import json

import numpy as np
import pytest
from golden_cases import golden_files
from golden_robo3d import CLASS_BITS, cases, draws, raw_labels, scan_of, severities

from lidistill.robustness.benchmark_scores import BASELINES, BASELINES_CLEAN, benchmark_scores
from lidistill.robustness.fog import ALPHAS, BETAS, fog_echoes, fog_table, nearer
from lidistill.robustness.noise import BLUR, crosstalk, incomplete_echo, motion_blur
from lidistill.robustness.rings import beam_missing, cross_sensor
from lidistill.robustness.scan import KINDS, SEVERITIES, ranges, step_of
from lidistill.robustness.snow import drowned_below, snow
from lidistill.robustness.snow_flakes import sample_flakes
from lidistill.robustness.wet_ground import wet_ground

NO_CHANCE = np.random.default_rng(0)
POINTS = 2  # rows that rounding may decide, in a whole cloud
REPEATS = 16


def histogram(labels):
    ids, counts = np.unique(labels, return_counts=True)
    return dict(zip(ids.tolist(), counts.tolist(), strict=True))


def within(found, expected, deviation, count):
    """Whether a mean of draws is within four standard errors of the formula."""
    return abs(np.mean(found) - expected) <= 4 * deviation / np.sqrt(count)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("file", cases("wet_ground", "npz"))
def test_wet_ground_keeps_the_same_points(file, severity):
    scan, expected = scan_of(file), np.load(file)
    wet = wet_ground(scan, severity, NO_CHANCE)
    points = expected[f"points_{severity}"]
    assert abs(len(wet) - len(points)) <= POINTS
    if len(wet) == len(points):
        np.testing.assert_array_equal(wet.points, points[:, :3])
        tolerance = 1e-2 / (255 / scan.traits.intensity_top)
        np.testing.assert_allclose(wet.intensity, points[:, 3], rtol=0, atol=tolerance)
        labels = expected[f"labels_{severity}"].astype(np.int64) & CLASS_BITS
        np.testing.assert_array_equal(raw_labels(file)[wet.source], labels)


@pytest.mark.parametrize("severity", SEVERITIES)
@pytest.mark.parametrize("file", cases("cross_sensor", "npz"))
def test_cross_sensor_keeps_the_same_rows(file, severity):
    expected = np.load(file)
    scan = scan_of(file)
    if "ring_id" in expected:
        np.testing.assert_array_equal(scan.ring, expected["ring_id"])
    kept = cross_sensor(scan, severity, NO_CHANCE)
    np.testing.assert_array_equal(kept.source, expected[f"kept_{severity}"])


@pytest.mark.parametrize("file", cases("fog", "npz"))
def test_fog_outshines_the_same_points(file):
    scan, expected = scan_of(file), np.load(file)
    distance = ranges(scan.points)
    for severity in SEVERITIES:
        for alpha in ALPHAS:
            hard, soft = fog_echoes(
                distance,
                scan.intensity,
                alpha=alpha,
                beta=BETAS[step_of(severity)],
                whole=scan.traits.whole_intensity,
            )
            name = f"{severity}_a{alpha}"
            foggy = np.unpackbits(expected[f"fogmask_{name}"])[: len(scan)].astype(bool)
            assert np.count_nonzero((soft > hard) != foggy) <= POINTS
            np.testing.assert_allclose(
                hard[~foggy], expected[f"hard_intensity_{name}"][~foggy], rtol=2e-5
            )
            np.testing.assert_allclose(
                soft[foggy], expected[f"fog_intensity_{name}"][foggy], rtol=2e-5
            )


@pytest.mark.parametrize("file", cases("fog"))
def test_fog_stands_where_it_stood(file):
    scan = scan_of(file)
    distance = ranges(scan.points)
    for record in severities(file).values():
        for run in record["runs"]:
            alpha = run["alpha"]
            hard, soft = fog_echoes(
                distance,
                scan.intensity,
                alpha=alpha,
                beta=run["beta"],
                whole=scan.traits.whole_intensity,
            )
            foggy = soft > hard
            assert abs(np.count_nonzero(foggy) - run["n_fog"]) <= POINTS
            if run["n_fog"] < 1000:
                continue
            noise = np.random.default_rng(1).uniform(-10, 10, len(scan))
            there = np.abs(nearer(distance, noise, alpha=alpha) * distance)[foggy]
            # The middle half, before the tail of points whose noise is as large as their range.
            found = np.percentile(there, [25, 50, 75])
            chance = 0.02 + 2 / np.sqrt(run["n_fog"])
            np.testing.assert_allclose(found, run["fog_range_pct"][3:6], rtol=chance)


@pytest.mark.parametrize("file", golden_files("robo3d/facts_*.json"))
def test_fog_tables_are_the_same(file):
    for alpha, facts in json.loads(file.read_text())["fog_tables"].items():
        place, strength = fog_table(float(alpha))
        assert place[-1] == pytest.approx(facts["plateau_distance_m"])
        assert strength[-1] == pytest.approx(facts["plateau_integral"], rel=2e-5)
        for distance, (at, answer) in facts["samples"].items():
            step = round(10 * float(distance))
            assert place[step] == pytest.approx(at)
            assert strength[step] == pytest.approx(answer, rel=1e-4)


@pytest.mark.parametrize("file", golden_files("robo3d/facts_*.json"))
def test_flakes_are_as_many_and_as_large(file):
    facts = json.loads(file.read_text())["snow_particles"].values()
    for step, fact in enumerate(sorted(facts, key=lambda fact: fact["snowfall_rate"])):
        flakes = [sample_flakes(step, rng) for rng in draws(step, 8)]
        count = np.mean([len(flake.range) for flake in flakes])
        assert count == pytest.approx(fact["n_mean"], rel=0.02)
        radius = np.concatenate([flake.radius for flake in flakes])
        middle = np.percentile(radius, [25, 50, 75])
        np.testing.assert_allclose(
            middle, fact["disk_radius_m_pct_1_25_50_75_99_100"][1:4], rtol=0.03
        )
        occupancy = np.pi * np.square(radius).sum() / len(flakes) / (np.pi * 80**2)
        assert occupancy == pytest.approx(fact["occupancy_mean"], rel=5e-3)
        far = np.percentile(np.concatenate([flake.range for flake in flakes]), [25, 50, 75])
        np.testing.assert_allclose(far, fact["center_range_pct"][1:4], rtol=0.01)


@pytest.mark.parametrize("file", cases("snow"))
def test_snow_falls_as_densely(file):
    scan = scan_of(file)
    for severity, record in severities(file).items():
        found = [snow(scan, severity, rng) for rng in draws(step_of(severity), 4)]
        runs = record["runs"]
        num_snow = np.mean([run["n_snow_label"] for run in runs])
        assert np.mean([s.added.sum() for s in found]) == pytest.approx(num_snow, rel=0.1)
        num_out = np.mean([run["n_out"] for run in runs])
        assert np.mean([len(s) for s in found]) == pytest.approx(num_out, rel=0.03)
        num_weak = np.mean([run["num_attenuated"] for run in runs])
        weak = [_num_weakened(scan, s) for s in found]
        assert np.mean(weak) == pytest.approx(num_weak, rel=0.1)


def _num_weakened(scan, snowy):
    """Points that were not moved, whose intensity is another."""
    return np.count_nonzero((snowy.intensity != scan.intensity[snowy.source]) & ~snowy.added)


@pytest.mark.parametrize("file", cases("snow", "npz"))
def test_what_no_flake_touched_drowns_at_the_same_intensity(file):
    scan, expected = scan_of(file), np.load(file)
    unit = 255 / scan.traits.intensity_top
    intensity = scan.intensity.astype(np.float64) * unit
    below = drowned_below(scan, ranges(scan.points), intensity)
    rows = {point.tobytes(): row for row, point in enumerate(scan.points)}
    for name in [key for key in expected if "points" in key]:
        theirs = expected[name]
        left = [np.ascontiguousarray(theirs[theirs[:, 4] == flag, :3]) for flag in (0, 1)]
        clear, weakened = ([rows[point.tobytes()] for point in some] for some in left)
        assert np.count_nonzero(intensity[clear] <= below[clear]) <= POINTS
        weak = theirs[theirs[:, 4] == 1, 3]
        assert np.count_nonzero(weak <= below[weakened]) <= POINTS
        # The threshold is as high as that: many points lie a little above it, and none below.
        near = (intensity > below) & (intensity <= below + 10)
        assert np.count_nonzero(near[clear]) > 0


@pytest.mark.parametrize("file", cases("beam_missing"))
def test_missing_beams_are_as_many(file):
    scan, traits = scan_of(file), scan_of(file).traits
    for severity, record in severities(file).items():
        lowest, highest = traits.missing_rings
        num, total = traits.missing_draws[step_of(severity)], highest - lowest + 1
        assert num == record["repeats"][0]["param"]
        gone, all_rings = [], set(range(traits.num_rings)) & set(np.unique(scan.ring).tolist())
        for rng in draws(num, REPEATS):
            kept = beam_missing(scan, severity, rng)
            missing = sorted(all_rings - set(np.unique(scan.ring[kept.source]).tolist()))
            assert missing
            assert lowest <= missing[0]
            assert missing[-1] <= highest
            gone.append(len(missing))
        here = [ring for ring in all_rings if lowest <= ring <= highest]
        expected = len(here) * (1 - (1 - 1 / total) ** num)
        assert within(gone, expected, np.sqrt(len(here)) / 2, REPEATS)


@pytest.mark.parametrize("file", cases("beam_missing", "npz"))
def test_rings_are_the_same(file):
    np.testing.assert_array_equal(scan_of(file).ring, np.load(file)["ring_id"])


@pytest.mark.parametrize("file", cases("crosstalk"))
def test_crosstalk_strikes_as_many_points_as_hard(file):
    scan = scan_of(file)
    for severity, record in severities(file).items():
        for rng in draws(step_of(severity), 4):
            struck = crosstalk(scan, severity, rng)
            number = np.count_nonzero(struck.added)
            assert number == record["repeats"][0]["expected_n"]
            np.testing.assert_array_equal(struck.points[~struck.added], scan.points[~struck.added])
            moved = np.column_stack([struck.points, struck.intensity]) - np.column_stack(
                [scan.points, scan.intensity]
            )
            noise = moved[struck.added]
            assert (np.abs(noise.mean(axis=0)) < 4 * 3 / np.sqrt(number)).all()
            assert (np.abs(noise.std(axis=0) - 3) < 4 * 3 / np.sqrt(2 * number)).all()


@pytest.mark.parametrize("file", cases("motion_blur"))
def test_a_jolt_displaces_as_far(file):
    scan = scan_of(file)
    for severity, record in severities(file).items():
        blur = BLUR[step_of(severity)]
        assert blur == record["repeats"][0]["param"]
        jolts = []
        for rng in draws(step_of(severity), REPEATS):
            shaken = motion_blur(scan, severity, rng)
            moved = shaken.points.astype(np.float64) - scan.points
            jolts.append(moved.mean(axis=0))
            expected = np.array([0.1, 0.1, 0.05]) * blur
            np.testing.assert_allclose(
                moved.std(axis=0), expected, rtol=4 / np.sqrt(2 * len(scan)) + 1e-3
            )
            np.testing.assert_array_equal(shaken.intensity, scan.intensity)
        assert np.abs(np.mean(jolts)) < 4 * blur / np.sqrt(3 * REPEATS)
        assert abs(np.std(jolts) - blur) < 4 * blur / np.sqrt(2 * 3 * REPEATS)


@pytest.mark.parametrize("file", cases("incomplete_echo"))
def test_incomplete_echoes_lose_as_many_points_of_each_class(file):
    scan = scan_of(file)
    for severity, record in severities(file).items():
        for repeat in record["repeats"]:
            kept = incomplete_echo(scan, severity, NO_CHANCE)
            assert len(kept) == repeat["n_out"]
            assert (np.diff(kept.source) > 0).all()
            theirs = {int(k): v for k, v in repeat["labels_out"].items()}
            mine = histogram(raw_labels(file)[kept.source])
            assert by_class(scan, file, mine) == by_class(scan, file, theirs)


def by_class(scan, file, counts):
    """Counts of raw ids, added up over those that become one class."""
    class_of = dict(zip(raw_labels(file).tolist(), scan.labels.tolist(), strict=True))
    total = {}
    for raw, count in counts.items():
        total[class_of[raw & CLASS_BITS]] = total.get(class_of[raw & CLASS_BITS], 0) + count
    return total


@pytest.mark.parametrize("file", golden_files("robo3d/metric_vectors.json"))
def test_published_rows_come_out(file):
    vectors = json.loads(file.read_text())
    names = {"nuscenes_c_seg": "nuScenes-C", "semantickitti_c": "SemanticKITTI-C"}
    names["wod_c_seg"] = "WOD-C"
    assert tuple(vectors["corruptions"]) == KINDS
    for key, baseline in vectors["baseline_MinkUNet18"].items():
        assert baseline == {"clean": BASELINES_CLEAN[names[key]]} | BASELINES[names[key]]
    for row in vectors["rows"]:
        # Some papers leave the clean score out; it is implied by their mRR.
        clean = row["clean"] or row["clean_implied"]
        result = benchmark_scores(clean, row["miou"], BASELINES[names[row["dataset"]]])
        assert result.mean_corruption_error == pytest.approx(row["reported_mCE"], abs=0.02)
        assert result.mean_resilience == pytest.approx(row["reported_mRR"], abs=0.02)
        np.testing.assert_allclose([*result.corruption_error.values()], row["CE"], atol=1e-3)
        np.testing.assert_allclose([*result.resilience.values()], row["RR"], atol=1e-3)
    assert vectors["rows"]
