import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.batches import opened

from lidistill.backbones.waffleiron.inputs import WaffleInputs
from lidistill.loading.collate import collate
from lidistill.records import Batch, CameraView, Frame, Pairs, Sample


def sample(num_points, num_views=1, **changed):
    rng = torch.Generator().manual_seed(num_points)
    fields = {
        "frame_id": f"scan-{num_points}",
        "coords": torch.randn(num_points, 3, generator=rng),
        "features": torch.randn(num_points, 5, generator=rng),
        "inputs": WaffleInputs(
            neighbors=torch.randint(num_points, (num_points, 4), generator=rng),
            cells=torch.randint(9, (num_points, 2), generator=rng),
        ),
        "source": torch.arange(num_points),
        "labels": torch.randint(3, (num_points,), generator=rng),
        "pairs": Pairs(
            point=torch.arange(num_points),
            view=torch.arange(num_points) % num_views,
            uv=torch.rand(num_points, 2, generator=rng),
        ),
        "images": torch.randint(255, (num_views, 3, 4, 6), generator=rng).to(torch.uint8),
        "image_paths": tuple(Path(f"{num_points}-{view}.png") for view in range(num_views)),
    }
    return Sample(**(fields | changed))


def frame(**changed):
    fields = {
        "frame_id": "0",
        "sensor": "nuscenes",
        "points": np.zeros((4, 3), np.float32),
        "intensity": np.zeros(4, np.float32),
    }
    return Frame(**(fields | changed))


def test_packing_shifts_every_index_to_the_scan_it_belongs_to():
    samples = [sample(5, 2), sample(3), sample(7, 3)]
    batch = collate(samples)
    assert batch.offsets.tolist() == [0, 5, 8, 15]
    for number, one in enumerate(samples):
        here = slice(batch.offsets[number], batch.offsets[number + 1])
        for name in ("features", "coords", "labels"):
            assert torch.equal(getattr(batch, name)[here], getattr(one, name))
        assert torch.equal(opened(batch).cells[here], opened(one).cells)
        # A neighbour's features are the same, whether looked up in the scan or in the batch.
        found = batch.features[opened(batch).neighbors[here]]
        assert torch.equal(found, one.features[opened(one).neighbors])


def test_packed_pairs_lead_to_the_same_points_and_images():
    samples = [sample(5, 2), sample(3), sample(7, 3)]
    batch = collate(samples)
    points = torch.cat([one.coords[one.pairs.point] for one in samples])
    images = torch.cat([one.images[one.pairs.view] for one in samples])
    assert torch.equal(batch.coords[batch.pairs.point], points)
    assert torch.equal(batch.images[batch.pairs.view], images)
    paths = [one.image_paths[view] for one in samples for view in one.pairs.view.tolist()]
    assert [batch.image_paths[view] for view in batch.pairs.view.tolist()] == paths


def test_packed_pairs_are_right_without_images_too():
    batch = collate([sample(5, 2, images=None), sample(3, images=None)])
    assert batch.images is None
    assert batch.pairs.view.tolist() == [0, 1, 0, 1, 0, 2, 2, 2]


def test_a_batch_knows_the_scan_of_every_point():
    batch = collate([sample(2), sample(1), sample(3)])
    assert batch.num_scans == 3
    assert batch.lengths.tolist() == [2, 1, 3]
    assert batch.scan_index().tolist() == [0, 0, 1, 2, 2, 2]


def test_one_sample_packs_into_itself():
    one = sample(6, 2)
    batch = collate([one])
    assert torch.equal(opened(batch).neighbors, opened(one).neighbors)
    assert batch.frame_ids == (one.frame_id,)


def test_packing_leaves_the_samples_alone():
    one, two = sample(4), sample(3)
    before = opened(two).neighbors.clone(), two.pairs.point.clone()
    collate([one, two])
    assert torch.equal(opened(two).neighbors, before[0])
    assert torch.equal(two.pairs.point, before[1])


@pytest.mark.parametrize("name", ["labels", "pairs", "images"])
def test_samples_that_only_partly_carry_something_are_refused(name):
    with pytest.raises(ValueError, match=f"only 1 of 2 samples carry {name}"):
        collate([sample(4), sample(3, **{name: None})])


def test_no_samples_are_refused():
    with pytest.raises(ValueError, match="empty"):
        collate([])


def test_moving_a_batch_keeps_its_numbers_and_drops_its_samples():
    batch = collate([sample(4, 2), sample(3)])
    moved = batch.to("cpu")
    for name in ("offsets", "features", "coords", "labels", "images"):
        assert torch.equal(getattr(moved, name), getattr(batch, name))
    for name in ("neighbors", "cells"):
        assert torch.equal(getattr(moved.inputs, name), getattr(batch.inputs, name))
    for name in ("point", "view", "uv"):
        assert torch.equal(getattr(moved.pairs, name), getattr(batch.pairs, name))
    assert (moved.frame_ids, moved.image_paths) == (batch.frame_ids, batch.image_paths)


def test_a_batch_without_extras_moves_too():
    bare = collate([sample(4, labels=None, pairs=None, images=None)])
    moved = bare.to("cpu")
    assert (moved.labels, moved.pairs, moved.images) == (None, None, None)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("points", np.zeros((4, 4), np.float32)),
        ("intensity", np.zeros(3, np.float32)),
        ("labels", np.zeros(5, np.uint8)),
        ("T_world_lidar", np.eye(3)),
    ],
)
def test_a_frame_whose_arrays_disagree_is_refused(name, value):
    with pytest.raises(ValueError, match=name):
        frame(**{name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [("K", np.eye(4)), ("T_cam_lidar", np.eye(3)), ("distortion", np.zeros(4))],
)
def test_a_view_with_a_malformed_calibration_is_refused(name, value):
    fields = {"K": np.eye(3), "T_cam_lidar": np.eye(4)} | {name: value}
    with pytest.raises(ValueError, match=name):
        CameraView(name="front", image_path=Path("a.png"), size_hw=(4, 6), **fields)


@pytest.mark.parametrize("name", ["features", "source", "labels", "coords"])
def test_a_sample_whose_tensors_disagree_is_refused(name):
    short = getattr(sample(5), name)[:-1]
    with pytest.raises(ValueError, match="has shape"):
        sample(5, **{name: short})


def test_a_sample_whose_inputs_are_those_of_other_points_is_refused():
    with pytest.raises(ValueError, match="inputs has shape"):
        sample(5, inputs=sample(4).inputs)


@pytest.mark.parametrize("name", ["neighbors", "cells"])
def test_inputs_whose_tensors_disagree_are_refused(name):
    inputs = sample(5).inputs
    with pytest.raises(ValueError, match="one row for every point"):
        dataclasses.replace(inputs, **{name: getattr(inputs, name)[:-1]})


def test_pairs_whose_tensors_disagree_are_refused():
    with pytest.raises(ValueError, match="uv"):
        Pairs(point=torch.zeros(2), view=torch.zeros(2), uv=torch.zeros(3, 2))


def test_offsets_that_do_not_end_at_the_last_point_are_refused():
    batch = collate([sample(4)])
    with pytest.raises(ValueError, match="expected 4 points"):
        dataclasses.replace(batch, offsets=torch.tensor([0, 3]))
    with pytest.raises(ValueError, match="expected 4 points"):
        Batch(
            offsets=torch.tensor([4]),
            features=batch.features,
            inputs=batch.inputs,
        )


def test_records_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        sample(2).frame_id = "other"
