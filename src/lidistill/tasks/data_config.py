"""The data part of a recipe: which sets, how they are sampled, how many workers read them."""

from collections.abc import Callable, Iterator
from typing import Annotated, Any, Protocol, Self

import numpy as np
from pydantic import Field, model_validator

from lidistill.config import Config, GridConfig
from lidistill.data import DatasetConfig, FrameDataset
from lidistill.data.loader import StepPlan, step_batches
from lidistill.data.mixture import Concatenation, InMemory
from lidistill.data.order import FrameOrder
from lidistill.data.sampling import SamplingConfig, sample_rng
from lidistill.engine.loop import TrainConfig
from lidistill.errors import DatasetNotFoundError
from lidistill.structures import Frame, Sample, collate

MAY_CHANGE = frozenset(
    {
        "name",
        "output",
        "device",
        "workers",
        "data.workers",
        "data.in_memory",
        "pictures",
        "evaluation",
        "train.checkpoint_every",
        "train.keep_checkpoints",
    }
)
"""Keys of a recipe in which a resumed run may differ: none changes what is learned, but for the
rounding of another device."""

MAY_MOVE = frozenset({"teacher_cache"})
"""Keys whose folder may differ; with a cache the targets are rounded to 16 bits, without not."""


class MakeSample(Protocol):
    """Turns a frame into a sample."""

    def __call__(self, frame: Frame, *, rng: np.random.Generator) -> Sample:
        """The sample of a frame; all chance comes from ``rng``."""
        ...


class SetsConfig(Config):
    """Data sets, one after the other."""

    sets: Annotated[tuple[DatasetConfig, ...], Field(min_length=1)]
    in_memory: bool = False  # keep decoded frames; for a few drives

    def build(self) -> Concatenation:
        """All sets as one.

        Raises:
            DatasetNotFoundError: If they hold no frame at all.
        """
        built: list[FrameDataset] = [config.build() for config in self.sets]
        dataset = Concatenation([InMemory(one) for one in built] if self.in_memory else built)
        if len(dataset) == 0:
            msg = "the data sets of this recipe hold no frame; check data.sets (drives, frames)."
            raise DatasetNotFoundError(msg)
        return dataset


class TrainSetsConfig(SetsConfig):
    """Data sets to train on: one after the other and shuffled, or mixed by weights."""

    weights: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] | None = None
    """Share of each set in what is seen, up to a factor; None: every frame once an epoch."""

    @model_validator(mode="after")
    def _one_weight_a_set(self) -> Self:
        if self.weights is not None and len(self.weights) != len(self.sets):
            msg = f"{len(self.weights)} weights for {len(self.sets)} sets; give one for each"
            raise ValueError(msg)
        return self

    def order(self, dataset: Concatenation, seed: int) -> FrameOrder:
        """Which frame of the built sets comes when.

        Raises:
            DatasetNotFoundError: If a set with a weight holds no frame.
        """
        if self.weights is not None and 0 in dataset.sizes:
            empty = self.sets[dataset.sizes.index(0)]
            msg = f"{empty.kind} at {empty.root} holds no frame, so it cannot have a weight."
            raise DatasetNotFoundError(msg)
        return FrameOrder(sizes=dataset.sizes, weights=self.weights, seed=seed)


class DataConfig(TrainSetsConfig):
    """Data sets, the way from frame to sample, and the workers that walk it."""

    sampling: SamplingConfig = SamplingConfig()
    workers: Annotated[int, Field(ge=0)] = 0  # changes no result


class SampleMaker:
    """Prepares the sample of an epoch and a frame; a function of these and the seed alone.

    Args:
        dataset: Reads the frames.
        make: Turns a frame into a sample, with its own random generator.
        seed: Seed of the run.
    """

    def __init__(self, dataset: FrameDataset, make: MakeSample, seed: int) -> None:
        self._dataset, self._make, self._seed = dataset, make, seed

    def __call__(self, epoch: int, index: int) -> Sample:
        """The sample of frame ``index`` in an epoch."""
        return self._make(self._dataset[index], rng=sample_rng(self._seed, epoch, index))


def step_plan(order: FrameOrder, train: TrainConfig) -> StepPlan:
    """Which frames every optimiser step of a run sees."""
    return StepPlan(
        order=order,
        batch_size=train.batch_size,
        micro_batch=train.micro_batch or train.batch_size,
    )


def sample_batches(
    maker: SampleMaker, plan: StepPlan, *, workers: int
) -> Callable[[int, int], Iterator[list[Any]]]:
    """What ``engine.loop.Training.batches`` wants: the batches between two steps."""

    def batches(start: int, stop: int) -> Iterator[list[Any]]:
        return step_batches(maker, collate, plan, start=start, stop=stop, workers=workers)

    return batches


def input_statistics(config: SetsConfig, grid: GridConfig) -> dict[str, Any]:
    """What a checkpoint says about its inputs."""
    return {
        "sensors": sorted({dataset.sensor for dataset in config.sets}),
        "grid": grid.model_dump(mode="json"),
    }
