"""Mirrored and recoloured images on their way to a teacher: in a batch, in a cache, on a device."""

from dataclasses import replace

import pytest
import torch
from fakes.runs import pretrain_values, write_world
from fakes.several import several_values, write_two
from torch import nn

from lidistill.distill.batch_teachers import features_at_pairs
from lidistill.distill.run import build_run, pretrain, training_batches
from lidistill.errors import ConfigError, FileFormatError
from lidistill.recipes import apply_overrides
from lidistill.teachers import ChannelGroup
from lidistill.teachers.base import FrozenTeacher, TeacherMaps
from lidistill.training.run_files import read_log

MIRROR = "data.sampling.image_augmentation.mirror_probability=0.5"
JITTER = "data.sampling.image_augmentation.jitter=0.4"


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return write_two(tmp_path_factory.mktemp("mirrored"))


class PixelTeacher(FrozenTeacher):
    """Features are the colours of the pixel."""

    name = label = "pixels"
    groups = (ChannelGroup(num_channels=3),)

    def __init__(self):
        network = nn.Linear(1, 1)
        colours = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0)}
        super().__init__(network, **colours, precision="fp32", batch_size=2, normalize=False)

    def check_size(self, size_hw):
        pass

    def forward_levels(self, pixels):
        return (pixels,)

    def _place(self, levels):
        return TeacherMaps(levels=levels, alignment="centers", strides=(1.0,), origins=(0.0,))


def recipe(folder, *overrides, values=several_values):
    return apply_overrides(values(folder), overrides, source="tiny")


def batches_of(run, steps=4):
    return [batch for group in training_batches(run)(0, steps) for batch in group]


@pytest.mark.parametrize("samples", ["workers", "device"])
def test_a_mirrored_image_shows_a_point_the_same_colour(world, samples):
    run = build_run(recipe(world, MIRROR, f"samples={samples}", "data.sampling.cameras=all"))
    batches = batches_of(run)
    flags = [flag for batch in batches for flag in batch.mirrored]
    assert {True, False} == set(flags)
    for batch in batches:
        assert len(batch.mirrored) == len(batch.images)
        found = features_at_pairs(PixelTeacher(), batch)
        column, row = batch.pairs.uv.long().unbind(1)
        expected = batch.images[batch.pairs.view, :, row, column] / 255
        torch.testing.assert_close(found, expected)


def test_samples_on_the_device_are_mirrored_and_recoloured_alike(world):
    runs = [build_run(recipe(world, MIRROR, JITTER, f"samples={s}")) for s in ("workers", "device")]
    for one, other in zip(*map(batches_of, runs), strict=True):
        assert one.mirrored == other.mirrored
        assert torch.equal(one.images, other.images)


def test_a_cache_keeps_both_variants_of_each_teacher_and_what_it_gives_is_theirs(world, tmp_path):
    cache = f"teacher_cache={tmp_path / 'cache'}"
    plain, cached = build_run(recipe(world, MIRROR)), build_run(recipe(world, MIRROR, cache))
    for one, other in zip(batches_of(plain), batches_of(cached), strict=True):
        assert other.images is None
        assert one.mirrored == other.mirrored
        for name, batch_teacher in plain.batch_teachers.items():
            expected = batch_teacher(one).features
            found = cached.batch_teachers[name](other).features
            torch.testing.assert_close(found, expected, rtol=2e-3, atol=2e-3)
    assert len(list((tmp_path / "cache").iterdir())) == 4


def test_a_cache_takes_no_image_of_another_size_than_its_calibration_says(world, tmp_path):
    run = build_run(recipe(world, f"teacher_cache={tmp_path / 'cache'}"))
    batch = next(iter(batches_of(run)))
    assert len(batch.image_sizes) == len(batch.image_paths)
    height, width = batch.image_sizes[0]
    other = replace(batch, image_sizes=((height // 2, width), *batch.image_sizes[1:]))
    for batch_teacher in run.batch_teachers.values():
        with pytest.raises(FileFormatError, match="as its calibration says"):
            batch_teacher(other)
    assert not any(tmp_path.glob("cache/*/*.npz"))


def test_cached_maps_say_the_same_read_at_once_as_on_a_gpu_and_one_by_one(world, tmp_path):
    run = build_run(recipe(world, MIRROR, f"teacher_cache={tmp_path / 'cache'}"))
    for batch in batches_of(run):
        seen = zip(batch.image_paths, batch.mirrored, batch.image_sizes, strict=True)
        views = list(enumerate(seen))
        for name in ("wide", "narrow"):
            reader = run.batch_teachers[name].reader
            for images in (dict(views), dict(views[:1]), dict(views[1:]), {}):
                both = (reader._one_by_one, reader._at_once)
                found, expected = (f(images, batch.pairs.view, batch.pairs.uv) for f in both)
                torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
                assert bool(found.any()) == bool(images)


def test_a_teacher_sees_another_image_where_it_is_mirrored(world):
    run = build_run(recipe(world, MIRROR))
    mirrored = next(batch for batch in batches_of(run) if all(batch.mirrored))
    batch_teacher = run.batch_teachers["wide"]
    straight = batch_teacher(replace(mirrored, mirrored=())).features
    assert not torch.allclose(batch_teacher(mirrored).features, straight, atol=1e-3)


def test_other_colours_and_a_cache_exclude_each_other(world, tmp_path):
    with pytest.raises(ConfigError, match=r"jitter=0\.4 gives an image other colours"):
        recipe(world, JITTER, f"teacher_cache={tmp_path}")


def test_both_off_is_the_run_as_it_was_and_both_on_trains(tmp_path):
    write_world(tmp_path)
    off = ("data.sampling.image_augmentation.mirror_probability=0", "teacher_cache=null")
    losses = []
    for number, changes in enumerate(((), off, (MIRROR, JITTER))):
        output = f"output={tmp_path / str(number)}"
        run = recipe(tmp_path, output, *changes, values=pretrain_values)
        pretrain(run)
        losses.append([line["loss"] for line in read_log(run.output / "log.jsonl")])
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]
