"""What further teachers want: images of other sizes, points for other networks, no camera."""

import dataclasses

import numpy as np
import pytest
import torch
from fakes.batches import opened, waffle
from fakes.scan import scan_frame

from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.errors import FileFormatError
from lidistill.images import files
from lidistill.loading.collate import collate
from lidistill.samples import distillation
from lidistill.samples.distillation import distillation_sample, sample_rng
from lidistill.samples.on_device import build_sample, raw_sample
from lidistill.samples.teacher_inputs import TeacherRequirements, teacher_inputs
from samples.test_device_sample import CPU, PLAIN, PREPARER, assert_same, both

LARGE = (32, 64)
NARROW = GridConfig(fov_min=(-9.0, -9.0, -3.0), fov_max=(9.0, 9.0, 3.0), planes=((16, 16),) * 3)
ALL = PLAIN.model_copy(update={"cameras": "all", "points": "all", "max_points": 500})
TWO_SIZES = TeacherRequirements(sizes=(LARGE,))


def sample_of(frame, config=ALL, seed=3, **options):
    return distillation_sample(frame, config, PREPARER, sample_rng(seed, 1, 2), **options)


def test_a_further_size_is_what_a_run_of_that_size_alone_has(tmp_path):
    frame = scan_frame(tmp_path)
    found = sample_of(frame, wanted=TWO_SIZES)
    alone = sample_of(frame, ALL.model_copy(update={"image_size_hw": LARGE}))
    further = teacher_inputs(found).resized[LARGE]
    assert torch.equal(further.uv, alone.pairs.uv)
    assert torch.equal(further.images, alone.images)
    plain = sample_of(frame)
    assert torch.equal(found.pairs.uv, plain.pairs.uv)
    assert torch.equal(found.images, plain.images)


def test_an_image_is_decoded_once_for_all_sizes(tmp_path, monkeypatch):
    frame, read = scan_frame(tmp_path), []

    def counted(path, size_hw=None):
        read.append(path)
        return files.read_image(path, size_hw)

    monkeypatch.setattr(distillation, "read_image", counted)
    sample = sample_of(frame, wanted=TeacherRequirements(sizes=(LARGE, (16, 16))))
    assert sorted(read) == sorted(sample.image_paths)
    read.clear()
    sample = sample_of(frame, wanted=TWO_SIZES, load_images=False)
    assert (read, sample.images, teacher_inputs(sample).resized[LARGE].images) == ([], None, None)


def test_without_a_teacher_of_the_samplings_size_its_images_are_not_made(tmp_path):
    sample = sample_of(
        scan_frame(tmp_path), wanted=TeacherRequirements(own_size=False, sizes=(LARGE,))
    )
    assert sample.images is None
    assert teacher_inputs(sample).resized[LARGE].images.shape[2:] == LARGE


def test_another_network_takes_the_same_points_in_its_own_way(tmp_path):
    frame = scan_frame(tmp_path)
    theirs = waffle(NARROW, num_neighbors=4)
    sample = sample_of(frame, wanted=TeacherRequirements(networks={"large": theirs}))
    points = teacher_inputs(sample).networks["large"]
    assert 0 < len(points.point) < len(sample)
    coords = sample.coords[points.point]
    assert bool((coords.abs() < torch.tensor([9.0, 9.0, 3.0])).all())
    outside = np.setdiff1d(np.arange(len(sample)), points.point.numpy())
    beyond = sample.coords[outside].abs() > torch.tensor([8.999, 8.999, 2.999])
    assert bool(beyond.any(1).all())
    torch.testing.assert_close(points.features, sample.features[points.point])
    assert opened(points).neighbors.shape == (len(points.point), 5)


def test_points_of_another_network_are_packed_like_those_of_the_sample(tmp_path):
    frame = scan_frame(tmp_path)
    wanted = TeacherRequirements(networks={"large": waffle(NARROW)}, sizes=(LARGE,), cameras=True)
    samples = [sample_of(frame, seed=seed, wanted=wanted) for seed in (0, 1)]
    batch = collate(samples).to(CPU)
    points = teacher_inputs(batch).networks["large"]
    assert points.offsets.tolist()[-1] == len(points.point) == len(points.batch().features)
    second = slice(int(points.offsets[1]), None)
    expected = teacher_inputs(samples[1]).networks["large"]
    assert torch.equal(points.point[second], expected.point + len(samples[0]))
    first = int(points.offsets[1])
    assert torch.equal(opened(points).neighbors[second], opened(expected).neighbors + first)
    resized = teacher_inputs(batch).resized[LARGE]
    assert len(resized.uv) == len(batch.pairs)
    assert len(resized.images) == len(batch.image_paths) == len(teacher_inputs(batch).cameras)
    assert [path.stem for path in batch.image_paths] == list(teacher_inputs(batch).cameras)


def test_networks_alone_need_neither_cameras_nor_pairs(tmp_path):
    frame = dataclasses.replace(scan_frame(tmp_path), views=())
    config = ALL.model_copy(update={"points": "paired"})  # which asks for what no camera can see
    wanted = TeacherRequirements(pairs=False, networks={"": PREPARER})
    sample = sample_of(frame, config, wanted=wanted)
    assert (sample.pairs, sample.images, len(sample)) == (None, None, 500)
    far = dataclasses.replace(frame, points=frame.points + 500)
    with pytest.raises(
        FileFormatError, match=r"frame drive/07: none of its .* in the field of view"
    ):
        sample_of(far, config, wanted=wanted)


@pytest.mark.parametrize("pairs", [True, False])
def test_the_device_gives_teachers_the_same(tmp_path, pairs):
    wanted = TeacherRequirements(
        pairs=pairs, sizes=(LARGE,) if pairs else (), networks={"large": waffle(NARROW)}
    )
    expected, found = both(scan_frame(tmp_path), ALL, wanted=wanted)
    ours, theirs = teacher_inputs(expected), teacher_inputs(found)
    assert ours.cameras == theirs.cameras
    a, b = ours.networks["large"], theirs.networks["large"]
    assert torch.equal(a.point, b.point)
    torch.testing.assert_close(a.features, b.features, rtol=1e-6, atol=1e-6)
    assert torch.equal(opened(a).neighbors, opened(b).neighbors)
    if pairs:
        assert torch.equal(ours.resized[LARGE].uv, theirs.resized[LARGE].uv)
        assert torch.equal(ours.resized[LARGE].images, theirs.resized[LARGE].images)
        bare = [dataclasses.replace(one, for_teachers=None) for one in (expected, found)]
        assert_same(*bare)
    else:
        assert torch.equal(expected.source, found.source)
        far = dataclasses.replace(scan_frame(tmp_path), views=())
        far = dataclasses.replace(far, points=far.points + 500)
        raw = raw_sample(far, ALL, PREPARER, sample_rng(0, 0, 0), wanted=wanted)
        with pytest.raises(FileFormatError, match="none of its"):
            build_sample(raw, ALL, PREPARER, CPU, wanted=wanted)
