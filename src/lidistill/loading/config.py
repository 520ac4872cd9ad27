"""The data part of a recipe: which sets, how they are sampled, how many workers read them."""

from collections.abc import Callable, Generator
from typing import Annotated, Any, Final, Generic, Literal, Protocol, Self, TypeAlias, TypeVar

import numpy as np
import torch
from pydantic import Field, model_validator

from lidistill.config import Config, MayChange, Seed, Workers
from lidistill.datasets import DatasetConfig, FrameDataset
from lidistill.distributed.all_reduce import rank, world_size
from lidistill.errors import ConfigError, DatasetNotFoundError
from lidistill.loading.bad_frames import BadFrames
from lidistill.loading.collate import collate
from lidistill.loading.loader import step_batches
from lidistill.loading.mixture import Concatenation, InMemory, Subset
from lidistill.loading.order import FrameOrder, StepPlan
from lidistill.records import Frame
from lidistill.robustness.corrupted_dataset import CorruptedDataset, FrameChange, TrainingCorruption
from lidistill.robustness.miscalibration import Miscalibrated, Miscalibration
from lidistill.samples.distillation import SamplingConfig, sample_rng

CPU: Final = torch.device("cpu")
T_co = TypeVar("T_co", covariant=True)


class MakeSample(Protocol[T_co]):
    """Turns a frame into a sample, or into what becomes one."""

    def __call__(self, frame: Frame, *, rng: np.random.Generator) -> T_co:
        """The sample of a frame; all chance comes from ``rng``."""
        ...


FORMER_KEYS: Final[dict[str, str]] = {
    f"{part}.sets.*.pictures": f"{part}.sets.*.images" for part in ("data", "evaluation")
}
"""Former and present name of what recipes of all kinds say of their data sets."""


class SetsConfig(Config):
    """Data sets, one after the other."""

    sets: Annotated[tuple[DatasetConfig, ...], Field(min_length=1)]
    num_frames: Annotated[int, Field(ge=1)] | None = None  # of each set; None: all
    pick: Literal["even", "random"] = "even"  # which ones: spread over the set, or drawn
    pick_seed: Seed = 0
    in_memory: MayChange[bool] = False  # keep decoded frames; for a few drives

    def build(self) -> Concatenation:
        """All sets as one.

        Raises:
            DatasetNotFoundError: If they hold no frame at all.
            ConfigError: If a set has fewer frames than ``num_frames``.
        """
        self.check_roots()
        built: list[FrameDataset] = [self._picked(config.build()) for config in self.sets]
        dataset = Concatenation([InMemory(one) for one in built] if self.in_memory else built)
        if len(dataset) == 0:
            msg = "the data sets of this recipe hold no frame; check data.sets (drives, frames)."
            raise DatasetNotFoundError(msg)
        return dataset

    def check_roots(self) -> None:
        """See to it that the folder of each set is there; nothing in it is read.

        Raises:
            DatasetNotFoundError: If one is not.
        """
        for number, config in enumerate(self.sets):
            _check_root(number, config)

    def check_num_frames(self) -> None:
        """See to it that each set has the frames that are asked for; no frame is read.

        Raises:
            ConfigError: If one has fewer.
            DatasetNotFoundError: If one is not there.
        """
        for config in self.sets if self.num_frames is not None else ():
            self._picked(config.build())

    def _picked(self, dataset: FrameDataset) -> FrameDataset:
        """The frames of one set that are wanted."""
        wanted, size = self.num_frames, len(dataset)
        if wanted is None:
            return dataset
        if wanted > size:
            msg = f"num_frames={wanted}, but a set holds {size} frames; ask for at most that many."
            raise ConfigError(msg)
        if self.pick == "even":
            # The middle of each of k equal parts: never the ends, one frame is the middle one.
            chosen = (2 * np.arange(wanted) + 1) * size // (2 * wanted)
        else:
            chosen = np.random.default_rng(self.pick_seed).permutation(size)[:wanted]
        return Subset(dataset, np.sort(chosen).tolist())


class ScoredSetsConfig(SetsConfig):
    """Data sets to be scored, as they are, or with all frames corrupted or shifted alike."""

    corruption: FrameChange | None = None
    """For example ``{kind: fog, severity: moderate}``, or ``{kind: shift, shift: height_up}``."""

    def build(self) -> Concatenation:
        """See ``SetsConfig.build``."""
        clean, change = super().build(), self.corruption
        if change is None:
            return clean
        return Concatenation([CorruptedDataset(one, change) for one in clean.datasets])


class TrainSetsConfig(SetsConfig):
    """Data sets to train on: one after the other and shuffled, or mixed by weights."""

    weights: Annotated[tuple[Annotated[float, Field(gt=0)], ...], Field(min_length=1)] | None = None
    """Share of each set in what is seen, up to a factor; None: every frame once an epoch."""
    bad_frames: MayChange[BadFrames] = BadFrames()
    """What to do about frames that cannot be read."""
    corruption: TrainingCorruption | None = None
    """Corruptions as augmentation; None: frames as they are."""

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
    """Data sets to distil on, the way from frame to sample, and the workers that walk it."""

    sampling: SamplingConfig = SamplingConfig()
    workers: MayChange[Workers] = 0  # changes no result
    miscalibration: Miscalibration | None = None
    """Wrong extrinsics, or late cameras, to see what they cost; None: as calibrated."""

    def build(self, *, with_images: bool = True) -> Concatenation:
        """All sets as one; where images are optional, a frame must have one all the same.

        Args:
            with_images: False: nobody looks at images, and frames may be without.

        Raises:
            DatasetNotFoundError: If a frame has none and its set does not say ``missing: skip``.
            ConfigError: If a set is to be read without images.
        """
        seen = self.sets
        if with_images:
            seen = tuple(_with_an_image(number, config) for number, config in enumerate(self.sets))
        exact, errors = (
            SetsConfig.build(self.model_copy(update={"sets": seen})),
            self.miscalibration,
        )
        if errors is None:
            return exact
        return Concatenation([Miscalibrated(one, errors) for one in exact.datasets])


def _check_root(number: int, config: DatasetConfig) -> None:
    """Shipped recipes cannot know where data lie, so an absent root is most often theirs."""
    if not config.root.exists():
        msg = (
            f"there is no folder {config.root} with the data of set {number} ({config.kind}); say "
            f"where they lie: data.sets.{number}.root=FOLDER, and evaluation.sets.{number}.root "
            "where a recipe scores."
        )
        raise DatasetNotFoundError(msg)


def _with_an_image(number: int, config: DatasetConfig) -> DatasetConfig:
    if config.images in {"required", "any"}:
        return config
    if config.images == "none":
        msg = f"data.sets.{number}.images is none, but distillation learns from images."
        raise ConfigError(f"{msg} Say images=required, or any.")
    return config.model_copy(update={"images": "any"})


class TrainingFrames:
    """Frames to learn from, by epoch: the same ones, corrupted anew each time where wanted.

    Args:
        dataset: Reads the frames.
        corruption: What may happen to them.
        seed: Seed of the run.
    """

    def __init__(
        self, dataset: FrameDataset, corruption: TrainingCorruption | None, seed: int
    ) -> None:
        self._dataset, self._corruption, self._seed = dataset, corruption, seed

    def __call__(self, epoch: int, index: int) -> Frame:
        """Frame ``index`` in an epoch."""
        frame = self._dataset[index]
        if self._corruption is None:
            return frame
        owner = self._dataset
        if isinstance(owner, Concatenation):  # whose sets may have different label tables
            owner, _ = owner.place(index)
        return self._corruption.apply(frame, owner.label_map, seed=self._seed, epoch=epoch)


class SampleMaker(Generic[T_co]):
    """Prepares the sample of an epoch and a frame; a function of these and the seed alone.

    Args:
        dataset: Reads the frames.
        make: Turns a frame into a sample, with its own random generator.
        seed: Seed of the run.
        corruption: Of the frames, as augmentation.
    """

    def __init__(
        self,
        dataset: FrameDataset,
        make: MakeSample[T_co],
        seed: int,
        corruption: TrainingCorruption | None = None,
    ) -> None:
        self._frames, self._make, self._seed = TrainingFrames(dataset, corruption, seed), make, seed

    def __call__(self, epoch: int, index: int) -> T_co:
        """The sample of frame ``index`` in an epoch."""
        return self._make(self._frames(epoch, index), rng=sample_rng(self._seed, epoch, index))


def step_plan(order: FrameOrder, batch_size: int, micro_batch: int | None) -> StepPlan:
    """Which frames every optimiser step of a run sees.

    Args:
        order: Which frame comes when.
        batch_size: Frames of a step, in all processes.
        micro_batch: Frames of a pass, in all processes; None: those of a step.
    """
    return StepPlan(
        order=order,
        batch_size=batch_size,
        micro_batch=micro_batch or batch_size,
        rank=rank(),
        world_size=world_size(),
    )


Batches: TypeAlias = Callable[[int, int], Generator[list[Any], None, None]]
"""The batches of this process from one step to another; one list for each step."""


def sample_batches(
    maker: Callable[[int, int], Any],
    plan: StepPlan,
    *,
    workers: int,
    bad_frames: BadFrames,
    join: Callable[[list[Any]], object] = collate,
    device: torch.device = CPU,
) -> Batches:
    """Batches of what worker processes prepare, packed as ``join`` does it, for a device."""
    pin = device.type == "cuda"

    def batches(start: int, stop: int) -> Generator[list[Any], None, None]:
        return step_batches(
            maker,
            join,
            plan,
            start=start,
            stop=stop,
            workers=workers,
            bad_frames=bad_frames,
            pin=pin,
        )

    return batches
