import json
import math
from pathlib import Path

from lidistill.apps.robustness import Robustness, RobustRun, markdown
from lidistill.robustness.benchmark_scores import benchmark_scores
from lidistill.robustness.scan import KINDS, SEVERITIES


def test_a_baseline_without_errors_and_a_network_without_hits_compare_with_nothing():
    perfect, half = dict.fromkeys(KINDS, 100.0), dict.fromkeys(KINDS, 50.0)
    found = benchmark_scores(100.0, half, perfect)
    assert math.isnan(found.mean_corruption_error)
    assert found.mean_resilience == 50
    found = benchmark_scores(0.0, dict.fromkeys(KINDS, 0.0), half)
    assert found.mean_corruption_error == 200
    assert math.isnan(found.mean_resilience)


def robust_run(name, value):
    conditions = ("clean", *(f"{kind}/{severity}" for kind in KINDS for severity in SEVERITIES))
    scores = dict.fromkeys(conditions, value)
    return RobustRun(name=name, benchmark=None, num_frames=1, mean_iou=scores)


def test_runs_without_errors_or_without_hits_are_reported():
    runs = (robust_run("perfect", 100.0), robust_run("blind", 0.0))
    result = Robustness(runs=runs, baseline="perfect", results=Path("a.json"), figures=())
    record = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert (record["perfect"]["mRR"], record["blind"]["mRR"]) == (100, None)
    assert record["blind"]["against"]["perfect"]["mCE"] is None
    assert "| mRR | 100.0 | – |" in markdown(result)


def test_a_shift_without_a_labelled_point_shows_no_score():
    run = robust_run("seen", 50.0)
    run.mean_iou.update(height_up=52.0, range_half=math.nan)
    result = Robustness(runs=(run,), baseline=None, results=Path("a.json"), figures=())
    assert "| height_up | 52.0 (+2.0) |" in markdown(result)
    assert "| range_half | – |" in markdown(result)
