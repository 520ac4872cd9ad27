"""Batches of a distillation whose samples are computed on the GPU from what workers read."""

from collections.abc import Generator
from dataclasses import dataclass

import torch

from lidistill.datasets import FrameDataset
from lidistill.distributed.all_reduce import gather_items
from lidistill.loading.bad_frames import BadFrame, BadFrameCount, first_made
from lidistill.loading.collate import collate
from lidistill.loading.config import Batches, DataConfig, TrainingFrames, sample_batches
from lidistill.loading.order import Key, StepPlan
from lidistill.records import Batch, Sample
from lidistill.samples.distillation import sample_rng
from lidistill.samples.on_device import build_sample, raw_sample
from lidistill.samples.preparer import Preparer
from lidistill.samples.raw import RawSample
from lidistill.samples.teacher_inputs import SINGLE_IMAGE_TEACHER, TeacherRequirements


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceSamples:
    """Reads frames in worker processes and makes samples of them on a device.

    A frame may turn out to be bad only there, when no camera sees a point of it; what takes its
    place is what a worker process would have put there.
    """

    dataset: FrameDataset
    data: DataConfig
    preparer: Preparer
    seed: int
    load_images: bool
    wanted: TeacherRequirements = SINGLE_IMAGE_TEACHER
    device: torch.device

    def read(self, epoch: int, index: int) -> tuple[Key, RawSample]:
        """What is read and drawn of a frame, with its key."""
        raw = raw_sample(
            TrainingFrames(self.dataset, self.data.corruption, self.seed)(epoch, index),
            self.data.sampling,
            self.preparer,
            sample_rng(self.seed, epoch, index),
            load_images=self.load_images,
            wanted=self.wanted,
        )
        return (epoch, index), raw

    def batches(self, plan: StepPlan) -> Batches:
        """The batches of the steps of a plan, on the device."""
        bad_frames = self.data.bad_frames
        read = sample_batches(
            self.read, plan, workers=self.data.workers, bad_frames=bad_frames, join=list
        )

        def on_device(start: int, stop: int) -> Generator[list[Batch], None, None]:
            count = BadFrameCount(bad_frames)  # of the frames that workers could read
            for group in read(start, stop):
                skipped: list[BadFrame] = []
                passes = [[self._build(one, plan, skipped) for one in part] for part in group]
                if bad_frames.policy == "skip":
                    count.add(gather_items(skipped))
                yield [collate(samples).to(self.device) for samples in passes]

        return on_device

    def _build(
        self, read: tuple[Key, RawSample], plan: StepPlan, skipped: list[BadFrame]
    ) -> Sample:
        key, first = read

        def make(epoch: int, index: int) -> Sample:
            raw = first if (epoch, index) == key else self.read(epoch, index)[1]
            return build_sample(
                raw, self.data.sampling, self.preparer, self.device, wanted=self.wanted
            )

        sample, left_out = first_made(make, plan.order, key, self.data.bad_frames)
        skipped += left_out
        return sample
