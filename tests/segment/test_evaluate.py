import json
import subprocess
import sys
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.labels import IGNORE, load_label_map
from lidistill.records import Frame
from lidistill.samples.distillation import SamplingConfig
from lidistill.segment.breakdown import BREAKDOWNS, neighbourhood
from lidistill.segment.evaluate import evaluate, write_evaluation
from lidistill.segment.metrics import bootstrap_mean_iou
from lidistill.segment.score_table import markdown_table
from lidistill.segment.test_time_augmentation import TtaConfig, predict_with_tta

GRID = GridConfig(fov_min=(-64, -64, -8), fov_max=(64, 64, 8), planes=((16, 16),), axes=(2,))
PREPARER = WaffleIronConfig(grid=GRID).inputs()
SAMPLING = SamplingConfig(voxel_size=0.2)


def make_frame(frame_id, seed, num_points=400):
    rng = np.random.default_rng(seed)
    points = rng.uniform([-60, -60, -3], [60, 60, 3], (num_points, 3)).astype(np.float32)
    return Frame(
        frame_id=frame_id,
        sensor="pandar64",
        points=points,
        intensity=np.zeros(num_points, np.float32),
        labels=(points[:, 2] > 0).astype(np.uint8),
    )


class Frames:
    """Frames in memory, one of the label tables."""

    label_map = load_label_map("pandaset")

    def __init__(self, frames):
        self.frames = frames

    @property
    def frame_ids(self):
        return tuple(frame.frame_id for frame in self.frames)

    @property
    def drive_ids(self):
        return tuple(name.rpartition("/")[0] for name in self.frame_ids)

    def __len__(self):
        return len(self.frames)

    def __getitem__(self, index):
        return self.frames[index]


class Lazy(Frames):
    """As many frames as wanted, made when they are read."""

    def __init__(self, count):
        self.names = tuple(f"{i // 10:03d}/{i}" for i in range(count))

    @property
    def frame_ids(self):
        return self.names

    def __len__(self):
        return len(self.names)

    def __getitem__(self, index):
        return make_frame(self.names[index], index, num_points=20_000)


def by_height(frame, sample):
    """Right but for the points on the left, where it says 2."""
    guess = (sample.coords[:, 2] > 0).long()
    guess[sample.coords[:, 1] > 30] = 2
    return guess, torch.ones(len(guess), dtype=torch.bool)


def score(frames):
    return evaluate(by_height, Frames(frames), SAMPLING, PREPARER)


@pytest.fixture
def frames():
    return [make_frame(f"{i // 2:03d}/{i}", i) for i in range(6)]


def test_groups_add_up_to_the_whole(frames):
    result = score(frames)
    assert result.confusion.sum() == 6 * 400
    for confusion in result.confusion_by_group.values():
        assert np.array_equal(confusion.sum(axis=0), result.confusion)


def test_rings_hold_the_points_of_their_distance(frames):
    result = score(frames)
    distance = np.concatenate([np.hypot(f.points[:, 0], f.points[:, 1]) for f in frames])
    counted = result.confusion_by_group["distance"].sum(axis=(1, 2))
    expected = [(distance < 20).sum(), ((distance >= 20) & (distance < 40)).sum()]
    assert counted[:2].tolist() == expected
    near = result.group_scores("distance")["0-20 m"]
    assert near.mean_iou == 1  # what is wrong lies farther away than 30 m


def test_points_of_one_cube_are_neighbours():
    frame = make_frame("a/0", 0, 6)
    points = np.array(
        [[0.1, 0.1, 0.1], [0.9, 0.9, 0.9], [1.1, 0.1, 0.1], [-0.1, 0.1, 0.1], [0.5, 0.5, 0.5]],
        np.float32,
    )
    points = np.concatenate([points, np.full((1, 3), np.nan, np.float32)])
    assert neighbourhood(replace(frame, points=points)).tolist() == [3, 3, 1, 1, 3, 0]
    assert BREAKDOWNS["points_in_1m"].groups(replace(frame, points=points)).max() == 0


def test_the_interval_resamples_drives_and_frames_only_where_there_is_one_drive(frames):
    drives = score(frames)
    assert (drives.unit, len(drives.confusion_by_unit)) == ("drive", 3)
    one = score(frames[:2])
    assert (one.unit, len(one.confusion_by_unit)) == ("frame", 2)
    assert score(frames[:1]).interval is None
    # A recording without drives is one drive, though none of its frames shares a name's beginning.
    alone = score([replace(frame, frame_id=str(i)) for i, frame in enumerate(frames)])
    assert (alone.unit, len(alone.confusion_by_unit)) == ("frame", 6)
    assert drives.interval.low <= drives.scores.mean_iou <= drives.interval.high


def test_the_interval_is_drawn_once_however_often_it_is_read(frames, monkeypatch):
    drawn = []

    def draw(confusions):
        drawn.append(len(confusions))
        return bootstrap_mean_iou(confusions)

    monkeypatch.setattr("lidistill.segment.evaluate.bootstrap_mean_iou", draw)
    result = score(frames)
    first = result.interval
    assert first == result.interval
    result.to_json()
    assert len(drawn) == 1


def test_the_fingerprint_is_of_the_data_not_of_their_order(frames):
    first = score(frames).fingerprint
    assert score(frames[::-1]).fingerprint == first
    labels = frames[3].labels.copy()
    labels[7] = IGNORE
    assert score([*frames[:3], replace(frames[3], labels=labels), *frames[4:]]).fingerprint != first


def test_what_is_written_says_what_it_belongs_to(frames, tmp_path):
    result = score(frames)
    write_evaluation(result, tmp_path / "results.json", seed=3)
    record = json.loads((tmp_path / "results.json").read_text())
    interval = record["mean_iou_interval"]
    assert (interval["unit"], interval["num_units"], interval["num_draws"]) == ("drive", 3, 1000)
    assert record["data_fingerprint"] == result.fingerprint
    assert set(record["groups"]["distance"]) == {"0-20 m", "20-40 m", "40+ m"}
    assert record["seed"] == 3
    # The class that is never there and sometimes guessed counts in one mean, not in the other.
    points = record["all_points"]
    assert points["mean_iou"] == pytest.approx(points["mean_iou_of_truth"] * 2 / 3, abs=1e-3)
    table = markdown_table(result)
    assert f"| mIoU | {points['mean_iou']:.1f} |" in table
    assert "| mIoU, 40+ m away |" in table


def peak_megabytes(count):
    """Peak memory of a fresh process that evaluates frames with three votes each."""
    code = (
        "import importlib.util, resource\n"
        f"spec = importlib.util.spec_from_file_location('own', {__file__!r})\n"
        "own = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(own)\n"
        f"own.evaluate_with_votes({count})\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1]) / 1024


def evaluate_with_votes(count):
    def class_scores(frame, sample):
        guess, valid = by_height(frame, sample)
        return torch.nn.functional.one_hot(guess, 17).float(), valid

    predict = predict_with_tta(class_scores, TtaConfig(num_votes=3), SAMPLING, PREPARER)
    evaluate(predict, Lazy(count), SAMPLING, PREPARER)


@pytest.mark.parametrize("num_votes", [1, 4])
def test_a_frame_with_one_copy_and_the_frame_that_comes_next_are_in_memory(num_votes):
    made = {"frames": [], "samples": []}
    most = {"frames": 0, "samples": 0}

    class Watched(Lazy):
        def __getitem__(self, index):
            frame = make_frame(self.names[index], index)
            made["frames"].append(weakref.ref(frame.points))
            return frame

    def class_scores(_, sample):
        made["samples"].append(weakref.ref(sample.features))
        for kind, references in made.items():
            alive = sum(reference() is not None for reference in references)
            most[kind] = max(most[kind], alive)
        return torch.ones(len(sample), 17), torch.ones(len(sample), dtype=torch.bool)

    predict = predict_with_tta(class_scores, TtaConfig(num_votes=num_votes), SAMPLING, PREPARER)
    evaluate(predict, Watched(12), SAMPLING, PREPARER)
    assert most["frames"] <= 2
    assert most["samples"] == min(num_votes, 2)


@pytest.mark.slow
def test_a_hundred_frames_take_no_more_memory_than_ten():
    assert peak_megabytes(100) - peak_megabytes(10) < 40
