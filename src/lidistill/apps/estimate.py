"""How much memory and time a distillation will take, found out in seconds from its recipe.

Two shallow networks of the recipe's width take a step each on made-up scans. What a layer costs is
the difference of the two, and everything else is what is left; both grow with depth and points.

Shape letters: M points of a batch, T teacher channels.
"""

import functools
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from lidistill.backbones import BackboneSettings
from lidistill.backbones.base import NetworkCost
from lidistill.distill.lidar_teacher import LidarTeacherConfig
from lidistill.distill.objective import at_pairs
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distill.step import Distiller, build_distiller
from lidistill.distill.teacher_config import OneTeacherConfig
from lidistill.errors import WeightsNotFoundError
from lidistill.records import Batch, Pairs
from lidistill.samples.augmentation import crop_mask, with_radius
from lidistill.samples.channels import SPATIAL, stack_channels
from lidistill.samples.preparer import Preparer
from lidistill.teachers import ChannelGroup
from lidistill.teachers.convnext import ConvNextTeacherConfig
from lidistill.teachers.sam import SamTeacherConfig
from lidistill.teachers.table import known_teacher
from lidistill.teachers.vit import VitTeacherConfig
from lidistill.training.precision import autocast, pick_device
from lidistill.training.progress import track

Groups: TypeAlias = Mapping[str, tuple[ChannelGroup, ...]]
_POINTS = 4096  # of the made-up scan, at most
_REPEATS = 3
_ADAM = 4  # weight, gradient and two moments, all of float32


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What one process needs for a recipe, in bytes and seconds."""

    parameters: int
    model_bytes: int
    """Weights, gradients and both moments of AdamW."""
    activation_bytes: int
    """What the forward pass of the largest micro-batch keeps for the backward pass."""
    working_bytes: int
    """What a layer fills for every scan of a pass and drops again."""
    batch_bytes: int
    """One batch on the device, images included where no cache replaces them."""
    teacher_bytes: int
    """Weights of all teachers."""
    steps_per_epoch: int
    step_seconds: float
    """One optimiser step of the student on the device that was measured; neither teacher nor
    data."""
    device: str

    @property
    def total_bytes(self) -> int:
        """Everything at the moment when most is there, without the libraries themselves."""
        network = self.model_bytes + self.activation_bytes + self.working_bytes
        return network + self.batch_bytes + self.teacher_bytes

    @property
    def epoch_seconds(self) -> float:
        """Training through all frames once, where data and teacher keep up."""
        return self.steps_per_epoch * self.step_seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a step of the student costs on one scan."""

    saved: float
    """Bytes kept for the backward pass."""
    seconds: float


def estimate(
    recipe: PretrainRecipe, *, ranks: int = 1, frames: int | None = None, device: str | None = None
) -> Estimate:
    """Predict memory and time of a distillation for one of its processes.

    Args:
        recipe: The run.
        ranks: Processes that share it.
        frames: Frames of an epoch; None counts those on disk.
        device: Where to measure the time; the recipe's device where None.

    Raises:
        DatasetNotFoundError: If the frames are to be counted and are not there.
        WeightsNotFoundError: If the teacher's weights are not there, and its size is not known.
    """
    where = pick_device(recipe.device if device is None else device)
    teachers = {name: _teacher(config) for name, config in recipe.teachers.items()}
    groups = {name: found for name, (found, _) in teachers.items()}
    num_frames = len(recipe.build_data()) if frames is None else frames
    whole = predict_student(recipe, groups, where)
    share = -(-recipe.train.batch_size // ranks)  # frames of a step
    passes = -(-recipe.train.batch_size // (recipe.train.micro_batch or recipe.train.batch_size))
    scans = -(-share // passes)
    with torch.device("meta"):
        student = build_distiller(recipe, groups)
    parameters = sum(p.numel() for p in student.parameters())
    cost = recipe.backbone.cost(recipe.data.sampling.max_points)
    parts = ranks if recipe.train.sharding == "full" else 1
    return Estimate(
        parameters=parameters,
        model_bytes=_ADAM * 4 * parameters // parts,
        activation_bytes=round(whole.saved * scans),
        working_bytes=scans * cost.working,
        batch_bytes=scans * _batch_bytes(recipe, cost),
        teacher_bytes=sum(size for _, size in teachers.values()),
        steps_per_epoch=max(1, num_frames // recipe.train.batch_size),
        step_seconds=whole.seconds * share,
        device=str(where),
    )


def predict_student(recipe: PretrainRecipe, groups: Groups, device: torch.device) -> Cost:
    """Cost of a step on one scan of ``max_points``, from two shallow networks on fewer points.

    Args:
        recipe: Width, depth, precision and sampling.
        groups: What the channels of each teacher are.
        device: Where to measure.
    """
    first_config, second_config, further = recipe.backbone.shallow()
    configs = (first_config, second_config)
    points = min(_POINTS, recipe.data.sampling.max_points)
    first, second = (
        _measure(recipe, config, points, groups, device)
        for config in track(configs, "measuring", total=len(configs))
    )
    scale = recipe.data.sampling.max_points / points
    return Cost(
        saved=scale * (first.saved + further * (second.saved - first.saved)),
        seconds=scale * (first.seconds + further * (second.seconds - first.seconds)),
    )


def _measure(
    recipe: PretrainRecipe,
    config: BackboneSettings,
    points: int,
    groups: Groups,
    device: torch.device,
) -> Cost:
    """Cost of a step of a network of the recipe's width on one made-up scan."""
    shallow = recipe.model_copy(update={"backbone": config})
    student = build_distiller(shallow, groups).to(device).train()
    channels = {name: sum(g.num_channels for g in found) for name, found in groups.items()}
    item = made_up(config.inputs(), points, channels, device)
    step = functools.partial(backward, student, item, recipe, device)
    saved = _saved_bytes(student, step)
    seconds = []
    for _ in range(_REPEATS):
        _wait_for(device)
        began = time.perf_counter()
        step()
        _wait_for(device)
        seconds.append(time.perf_counter() - began)
    return Cost(saved=saved, seconds=statistics.median(seconds))


@dataclass(frozen=True, slots=True, kw_only=True)
class MadeUp:
    """A batch that nobody recorded, and features of teachers that nobody asked."""

    batch: Batch
    targets: dict[str, Tensor]
    """(M, T) float32 of each teacher, one row a pair."""


def forward(student: Distiller, item: MadeUp) -> dict[str, Tensor]:
    """What a student returns for a batch, with the given features for those of its teachers."""
    for name, target_MT in item.targets.items():
        student.objectives[name].teacher = functools.partial(at_pairs, features_PT=target_MT)
    return student(item.batch)


def backward(
    student: Distiller, item: MadeUp, recipe: PretrainRecipe, device: torch.device
) -> None:
    """Forward and backward pass of one item; the gradients are added to those that are there."""
    with autocast(device, recipe.train.precision):
        loss = forward(student, item)["loss"]
    loss.backward()


def _saved_bytes(student: Distiller, step: Callable[[], None]) -> int:
    """Bytes of all that a step keeps between forward and backward pass, each storage once."""
    own = {p.untyped_storage().data_ptr() for p in student.parameters()}
    found: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        step()
    return sum(found.values())


def made_up(
    preparer: Preparer, points: int, channels: Mapping[str, int], device: torch.device
) -> MadeUp:
    """A scan of flat ground and walls around the sensor, every point seen by a camera.

    Args:
        preparer: Of the backbone.
        points: How many, at most.
        channels: T of each teacher.
        device: Where it all is.
    """
    rng = np.random.default_rng(0)
    view = preparer.field_of_view
    reach = min(-max(view.low[:2]), *view.high[:2])
    distance = reach * rng.power(0.7, 4 * points) * 0.95
    angle = rng.uniform(0, 2 * np.pi, 4 * points)
    height = np.where(rng.uniform(size=4 * points) < 0.6, -1.7, rng.uniform(-1.7, 2, 4 * points))
    coords = np.stack([distance * np.cos(angle), distance * np.sin(angle), height], axis=1)
    coords = coords[crop_mask(coords, view)][:points]
    count = len(coords)
    drawn = {c: rng.uniform(size=count) for c in preparer.channels if c not in SPATIAL}
    features = torch.from_numpy(stack_channels(preparer.channels, drawn, with_radius(coords)))
    every = torch.arange(count)
    batch = Batch(
        offsets=torch.tensor([0, count]),
        features=features,
        inputs=preparer.prepare_on_device(torch.from_numpy(coords), features),
        pairs=Pairs(point=every, view=torch.zeros_like(every), uv=torch.zeros(count, 2)),
    )
    targets = {
        name: torch.from_numpy(rng.normal(size=(count, number)).astype(np.float32)).to(device)
        for name, number in channels.items()
    }
    return MadeUp(batch=batch.to(device), targets=targets)


def _batch_bytes(recipe: PretrainRecipe, cost: NetworkCost) -> int:
    """One frame's sample: the network's inputs, coordinates, pairs, images."""
    sampling = recipe.data.sampling
    row = 12 + 24  # of a point: x, y, z as float32; its pair, two int64 and two float32
    views = 1 if sampling.cameras == "one" else 6  # as many as nuScenes and PandaSet have
    sizes = {
        config.image_size_hw or sampling.image_size_hw
        for config in recipe.teachers.values()
        if not isinstance(config, LidarTeacherConfig) and recipe.teacher_cache is None
    }
    images = sum(3 * height * width * views for height, width in sizes)
    return cost.inputs + row * sampling.max_points + images


def _teacher(config: OneTeacherConfig) -> tuple[tuple[ChannelGroup, ...], int]:
    """What the teacher's channels are, and the bytes of its weights; published sizes will do."""
    try:
        teacher = config.build()
    except WeightsNotFoundError:
        known = known_teacher(getattr(config, "model", config.kind))
        if known is None:
            raise
        if isinstance(config, ConvNextTeacherConfig):
            groups = config.groups(known.channels)
        elif isinstance(config, VitTeacherConfig):
            groups = config.groups(known.channels[0], known.family.class_tokens)
        elif isinstance(config, SamTeacherConfig) and not config.layers:
            groups = config.groups(known.channels[0])
        else:
            raise
        return groups, 4 * known.parameters
    modules = [v for v in vars(teacher).values() if isinstance(v, torch.nn.Module)]
    modules += [teacher] if isinstance(teacher, torch.nn.Module) else []
    # A teacher may name parts of its network beside the whole.
    weights = {id(p): p for module in modules for p in module.parameters()}.values()
    return teacher.groups, sum(p.numel() * p.element_size() for p in weights)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
