"""Classes that nobody has labelled in a scan: each is a folder of example images.

A distilled network's head answers in the teacher's space, so what is learned there from images
applies to points: teacher features of the examples, a small logistic regression on them, and the
same on the head's output. No label of a lidar point is used.

Where a student cannot know, it answers with the mean of what is possible, so its outputs vary less
than the teacher's, in some channels much less. Each channel is therefore brought to mean 0 and
deviation 1 on both sides: over the examples, and over the points of the scan that is classified.

Shape letters: E examples (image and size), P positions in an image, T teacher channels, K classes.
"""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError
from torch import Tensor, nn

from lidistill.apps.features import FeatureModel
from lidistill.apps.few_shot import Comparable
from lidistill.apps.load_features import open_model
from lidistill.config import reason_of
from lidistill.deploy.model_config import TeacherHead
from lidistill.distill.losses import comparable
from lidistill.errors import CheckpointError, ConfigError, DatasetNotFoundError
from lidistill.images.files import read_image, resize
from lidistill.labels import IGNORE
from lidistill.reading.names import in_order, listed
from lidistill.segment.logistic import choose_strength, fit_logistic
from lidistill.teachers import Teacher, TeacherConfig
from lidistill.training.progress import track

logger = logging.getLogger(__name__)

IMAGES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})
SIDES: Final = (64, 128, 256)
"""Short sides that each example is looked at in, pixels: nobody knows how far away it was."""
_LONGEST: Final = 4  # times the short side
_CELLS: Final = 12  # positions along each side of an image
_BORDER: Final = 0.1  # share at each side that is left out, where padding shows


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """Teacher features of example images."""

    class_names: tuple[str, ...]
    features: Tensor
    """(E, T) mean over the positions of an image, at unit length; centred like the targets."""
    classes: Tensor
    """(E,) int64."""
    groups: tuple[int, ...]
    """(E,) number of the image."""


def with_examples(model: FeatureModel, run: str | Path, folder: Path) -> FeatureModel:
    """The same network under a head that tells classes of example images apart.

    Args:
        model: Of a distillation.
        run: Where it was loaded from; says the teacher.
        folder: A folder for each class, named like it, with images or crops.

    Raises:
        CheckpointError: If the network has no head into its teacher's space, or does not say which
            teacher that is.
        DatasetNotFoundError: If there are not two classes with an image each.
    """
    files = example_files(folder)
    teacher = teacher_behind(model, run)
    examples = read_examples(files, teacher, model)
    num_classes = len(examples.class_names)
    features = Standardised()(examples.features)
    strength = choose_strength(features, examples.classes, examples.groups, num_classes)
    weight_KT, bias_K = fit_logistic(features, examples.classes, num_classes, strength=strength)
    logger.info(
        "%d classes of %d example images, regularised by %g",
        *(num_classes, len(set(examples.groups)), strength),
    )
    return with_directions(model, examples.class_names, weight_KT, bias_K, standardised=True)


def with_directions(
    model: FeatureModel,
    class_names: tuple[str, ...],
    weight_KT: Tensor,
    bias_K: Tensor,
    *,
    standardised: bool,
) -> FeatureModel:
    """The same network under a linear head on the direction of its output in the teacher's space.

    Args:
        model: Of a distillation.
        class_names: Names.
        weight_KT: Weights.
        bias_K: Biases.
        standardised: Whether the weights are for channels of mean 0 and deviation 1 in a scan.
    """
    num_classes, channels = weight_KT.shape
    last = nn.Linear(channels, num_classes)
    last.load_state_dict({"weight": weight_KT.float(), "bias": bias_K.float()})
    assert model.head is not None  # noqa: S101  looked at before a teacher is asked
    between = Standardised() if standardised else _Direction()
    head = nn.Sequential(model.head, Comparable(model.head_widths), between, last)
    head.requires_grad_(requires_grad=False)
    return replace(model, head=head.to(model.device).eval(), class_names=class_names)


def example_files(folder: Path) -> dict[str, list[Path]]:
    """The images of each class, by its folder's name.

    Raises:
        DatasetNotFoundError: If there are not two classes with an image each.
        ConfigError: If there are more than 255.
    """
    if not folder.is_dir():
        msg = f"{folder} is no folder; give one with a folder of example images for each class."
        raise DatasetNotFoundError(msg)
    found = {
        name: sorted(file for file in (folder / name).iterdir() if _is_image(file))
        for name in in_order(path.name for path in folder.iterdir() if path.is_dir())
        if not name.startswith(".")
    }
    empty = [name for name, files in found.items() if not files]
    if empty or len(found) < 2:
        what = f"no image in {listed(empty)}" if empty else f"{len(found)} folders"
        msg = (
            f"{folder}: {what}; expected two or more folders, one for each class, each with "
            f"images ({', '.join(sorted(IMAGES))}). What is none of them needs a class, too."
        )
        raise DatasetNotFoundError(msg)
    if len(found) > IGNORE:
        msg = f"{folder} has {len(found)} classes, expected at most {IGNORE}."
        raise ConfigError(msg)
    return found


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGES and file.is_file() and not file.name.startswith(".")


def read_examples(files: dict[str, list[Path]], teacher: Teacher, model: FeatureModel) -> Examples:
    """What the teacher says of example images, in the form of the student's targets."""
    names = tuple(files)
    pairs = [(number, file) for number, name in enumerate(names) for file in files[name]]
    features, classes, groups = [], [], []
    for group, (number, file) in enumerate(track(pairs, "examples", total=len(pairs))):
        for feature_T in _features(read_image(file), teacher, model):
            features.append(feature_T)
            classes.append(number)
            groups.append(group)
    return Examples(
        class_names=names,
        features=torch.stack(features),
        classes=torch.tensor(classes),
        groups=tuple(groups),
    )


def image_direction(model: FeatureModel, run: str | Path, file: Path) -> NDArray[np.float32]:
    """(T,) what the teacher says of an image, in the form of the student's targets, of length one.

    Args:
        model: Of a distillation.
        run: Where it was loaded from; says the teacher.
        file: The image.

    Raises:
        CheckpointError: See ``with_examples``.
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it cannot be read.
    """
    return direction_of(read_image(file), teacher_behind(model, run), model)


def direction_of(
    image: NDArray[np.uint8], teacher: Teacher, model: FeatureModel
) -> NDArray[np.float32]:
    """(T,) what a teacher says of an image, in the form of a student's targets, of length one.

    Args:
        image: (H, W, 3) RGB.
        teacher: See ``teacher_behind``.
        model: Its student.
    """
    of_sizes = torch.stack(list(_features(image, teacher, model)))
    return np.asarray(F.normalize(of_sizes.mean(0), dim=0).numpy())


@torch.no_grad()
def _features(image: NDArray[np.uint8], teacher: Teacher, model: FeatureModel) -> Iterator[Tensor]:
    """(T,) of one image in each of its sizes."""
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    step = _step(teacher)
    for side in SIDES:
        size_hw = _size(image.shape[0], image.shape[1], side, step)
        maps = teacher.maps(resize(pixels, size_hw, True)[None])
        places = torch.linspace(_BORDER, 1 - _BORDER, _CELLS)
        rows, columns = torch.meshgrid(places, places, indexing="ij")
        uv_P2 = torch.stack([columns.flatten(), rows.flatten()], 1) * torch.tensor(
            [size_hw[1] - 1.0, size_hw[0] - 1.0]
        )
        first = torch.zeros(len(uv_P2), dtype=torch.int64)
        target_PT = teacher.read(maps, first, uv_P2, size_hw).float().cpu()
        if model.teacher_mean is not None:
            target_PT = target_PT - torch.from_numpy(model.teacher_mean).float()
        target_PT = comparable(target_PT, list(model.head_widths))
        yield F.normalize(F.normalize(target_PT, dim=1).mean(0), dim=0)


def _size(height: int, width: int, side: int, step: int) -> tuple[int, int]:
    """Size that a teacher sees, multiples of its step; the shape is kept, up to a limit."""
    factor = side / min(height, width)
    wanted = (min(length * factor, _LONGEST * side) for length in (height, width))
    first, second = (max(1, round(length / step)) * step for length in wanted)
    return first, second


def _step(teacher: Teacher) -> int:
    """What sides of images must be multiples of."""
    for step in (8, 14, 16, 28, 32, 64, 224):
        try:
            teacher.check_size((step, 2 * step))
        except ConfigError:
            continue
        return step
    msg = f"{teacher.label} takes images of one size only, so it cannot look at crops."
    raise ConfigError(msg)


def teacher_behind(model: FeatureModel, run: str | Path) -> Teacher:
    """The teacher of a distillation, with its weights.

    Raises:
        CheckpointError: See ``with_examples``.
        ConfigError: If the run had several, and none was named.
        WeightsNotFoundError: If the teacher's weights are not here.
    """
    model.check_one_head()
    opened = open_model(run, head_name=model.head_name)
    if not isinstance(opened.config.head, TeacherHead) or model.head is None:
        msg = (
            f"{model.checkpoint} has no head into its teacher's space; --examples and --classes "
            "need a run of `lidistill pretrain`."
        )
        raise CheckpointError(msg)
    config: dict[str, Any] | None = opened.config.teacher
    if config is None:
        msg = f"{model.checkpoint} does not say which teacher it had; give its run folder."
        raise CheckpointError(msg)
    if config.get("kind") == "lidistill":
        msg = (
            f"{model.checkpoint} learned from a network that sees points alone, so example images "
            "say nothing to it; give a run with a teacher of images."
        )
        raise CheckpointError(msg)
    try:
        settings: TeacherConfig = TypeAdapter(TeacherConfig).validate_python(config)
    except ValidationError as error:
        msg = (
            f"{model.checkpoint} says what is no teacher of this lidistill: "
            f"{reason_of(error.errors()[0]['msg'])[:200]}."
        )
        raise CheckpointError(msg) from error
    teacher: Teacher = settings.build()
    if teacher.num_channels != sum(model.head_widths):
        msg = (
            f"the teacher gives {teacher.num_channels} channels, the head answers in "
            f"{sum(model.head_widths)}: class tokens that are matched by image have none at a "
            "point; give a distillation with target.class_token=0."
        )
        raise CheckpointError(msg)
    return teacher


class _Direction(nn.Module):
    """Features at unit length."""

    def forward(self, features_PT: Tensor) -> Tensor:
        """(P, T)."""
        return F.normalize(features_PT, dim=1)


class Standardised(nn.Module):
    """Directions of a scan's points with each channel at mean 0 and deviation 1, at unit length."""

    def forward(self, features_PT: Tensor) -> Tensor:
        """(P, T)."""
        unit_PT = F.normalize(features_PT, dim=1)
        deviation_T = unit_PT.std(0, correction=0).clamp(min=1e-6)
        return F.normalize((unit_PT - unit_PT.mean(0)) / deviation_T, dim=1)
