import dataclasses

import numpy as np
import pytest
import torch
from fakes.batches import waffle
from fakes.scan import scan_frame

from lidistill.distill.device_samples import DeviceSamples
from lidistill.errors import FileFormatError
from lidistill.loading.bad_frames import BadFrames
from lidistill.loading.config import DataConfig, sample_batches
from lidistill.loading.order import FrameOrder, StepPlan
from lidistill.samples.augmentation import AugmentationConfig
from lidistill.samples.distillation import SamplingConfig, distillation_sample, sample_rng

PREPARER = waffle()
PLAIN = SamplingConfig(image_size_hw=(24, 48), augmentation=AugmentationConfig(kind="none"))
PLAN = StepPlan(order=FrameOrder(sizes=(4,), seed=0), batch_size=2, micro_batch=1)


@pytest.fixture
def frames(tmp_path):
    """Four frames; no camera of the third sees a point."""
    seeing = scan_frame(tmp_path)
    blind = tuple(dataclasses.replace(view, near_depth=90.0) for view in seeing.views)
    named = [dataclasses.replace(seeing, frame_id=f"drive/{number:02d}") for number in range(4)]
    named[2] = dataclasses.replace(named[2], views=blind)
    return named


def on_device(frames, **bad_frames):
    sets = [{"kind": "pandaset", "root": "nowhere"}]
    data = DataConfig(sets=sets, sampling=PLAIN, bad_frames=BadFrames(**bad_frames))
    samples = DeviceSamples(
        dataset=frames,
        data=data,
        preparer=PREPARER,
        seed=0,
        load_images=False,
        device=torch.device("cpu"),
    )
    return [batch for group in samples.batches(PLAN)(0, 4) for batch in group]


def by_workers(frames):
    def make(epoch, index):
        rng = sample_rng(0, epoch, index)
        return distillation_sample(frames[index], PLAIN, PREPARER, rng, load_images=False)

    batches = sample_batches(make, PLAN, workers=0, bad_frames=BadFrames(policy="skip"))
    return [batch for group in batches(0, 4) for batch in group]


def test_a_frame_without_a_pair_is_replaced_by_the_one_a_worker_would_take(frames, caplog):
    found = on_device(frames, policy="skip")
    assert caplog.text.count("bad frame 1 of at most 100 is left out") == 1
    expected = by_workers(frames)
    assert [batch.frame_ids for batch in found] == [batch.frame_ids for batch in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.coords, other.coords)


def test_a_frame_without_a_pair_ends_a_run_that_stops_at_bad_frames(frames):
    with pytest.raises(FileFormatError, match="frame drive/02: none of its"):
        on_device(frames)


def test_too_many_frames_without_a_pair_end_a_run_that_skips_them(frames):
    for number in (0, 1):
        frames[number] = dataclasses.replace(frames[number], views=frames[2].views)
    with pytest.raises(FileFormatError, match=r"more than data\.bad_frames\.limit=2"):
        on_device(frames, policy="skip", limit=2)
