import numpy as np
import pytest
import torch
from fakes.batches import waffle
from fakes.scan import scan_frame

from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.labelled import scan_sample
from lidistill.segment.test_time_augmentation import TtaConfig, predict_with_tta

PREPARER = waffle(
    GridConfig(fov_min=(-32, -32, -8), fov_max=(32, 32, 8), planes=((16, 16),), axes=(2,))
)
SAMPLING = SamplingConfig(voxel_size=0.5)


class Recorder:
    """Class scores that depend on the height and x of a point, and the samples it was asked for."""

    def __init__(self):
        self.samples = []

    def __call__(self, _, sample):
        self.samples.append(sample)
        x, z = sample.coords[:, 0], sample.coords[:, 2]
        return torch.stack([torch.sigmoid(x), torch.sigmoid(z), x * 0], 1), torch.ones(
            len(sample), dtype=torch.bool
        )


@pytest.fixture
def frame(tmp_path):
    return scan_frame(tmp_path, views=())


@pytest.fixture
def sample(frame):
    return scan_sample(frame, SAMPLING, PREPARER)


def test_one_vote_is_the_scan_as_it_is(frame, sample):
    scores = Recorder()
    predicted, valid = predict_with_tta(scores, TtaConfig(), SAMPLING, PREPARER)(frame, sample)
    assert scores.samples == [sample]
    assert predicted.tolist() == scores(frame, sample)[0].argmax(1).tolist()
    assert valid.all()


def test_votes_are_the_mean_over_turned_copies_of_the_same_points(frame, sample):
    scores = Recorder()
    config = TtaConfig(num_votes=4, seed=3)
    predicted, _ = predict_with_tta(scores, config, SAMPLING, PREPARER)(frame, sample)
    copies = list(scores.samples)
    assert len(copies) == 4
    total = torch.zeros(len(sample), 3)
    for copy in copies:
        row = {int(point): i for i, point in enumerate(copy.source)}
        for i, point in enumerate(sample.source.tolist()):
            if point in row:
                total[i] += scores(frame, copy)[0][row[point]]
    assert predicted.tolist() == total.argmax(1).tolist()
    radius = sample.coords[:, :2].norm(dim=1)
    assert torch.allclose(copies[1].coords[:, 2] / sample.coords[:, 2], torch.tensor(1.0), atol=0.1)
    assert not torch.allclose(copies[1].coords[: len(radius), 0], sample.coords[:, 0], atol=0.5)


def test_votes_depend_on_seed_and_frame_only(frame, sample):
    def angles(seed):
        scores = Recorder()
        predict_with_tta(scores, TtaConfig(num_votes=2, seed=seed), SAMPLING, PREPARER)(
            frame, sample
        )
        return scores.samples[1].coords

    assert torch.equal(angles(1), angles(1))
    assert not torch.equal(angles(1), angles(2))


def labelled(folder, *points):
    """A frame of these points, all of class 0."""
    return scan_frame(
        folder,
        views=(),
        points=np.array(points, np.float32),
        intensity=np.zeros(len(points), np.float32),
        labels=np.zeros(len(points), np.uint8),
    )


def test_a_copy_is_silent_about_points_that_leave_the_field_of_view(tmp_path):
    frame = labelled(tmp_path, [31, 31, 0], [1, 1, 0], [-1, 2, 1], [3, -2, 2])
    sample = scan_sample(frame, SAMPLING, PREPARER)
    scores = Recorder()
    turning = TtaConfig(num_votes=9, flip_probability=0, scale_range=0)
    predicted, _ = predict_with_tta(scores, turning, SAMPLING, PREPARER)(frame, sample)
    assert len(predicted) == 4
    assert min(len(copy) for copy in scores.samples) == 3  # turned by 45 degrees it lies outside


def test_a_copy_that_is_turned_out_of_the_field_of_view_altogether_does_not_vote(tmp_path):
    frame = labelled(tmp_path, [31, 31, 0])
    scores = Recorder()
    turning = TtaConfig(num_votes=9, flip_probability=0, scale_range=0)
    predict = predict_with_tta(scores, turning, SAMPLING, PREPARER)
    predicted, valid = predict(frame, scan_sample(frame, SAMPLING, PREPARER))
    assert len(scores.samples) < 9  # turned by 45 degrees it lies outside
    assert (predicted.tolist(), valid.tolist()) == ([0], [True])
