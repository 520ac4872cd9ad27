"""From a frame to the sample that the networks see: voxels, pairs, augmentation, features.

Shape letters: N points of the scan, K points that voxelisation keeps, M points of the sample, V
views.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from lidistill.config import Config, Size
from lidistill.errors import FileFormatError
from lidistill.images.files import read_image, resize_all
from lidistill.records import CameraView, Frame, Sample
from lidistill.samples.add_teacher_inputs import sample_without_pairs, with_networks, with_sizes
from lidistill.samples.augmentation import (
    Augmentation,
    AugmentationConfig,
    candidate_centers,
    sphere_crop,
)
from lidistill.samples.image_augmentation import NO_CHANGE, ImageAugmentationConfig, ImageChange
from lidistill.samples.pairing import PixelPairs, gather_pairs, pair_view, unoccluded, without
from lidistill.samples.point_sample import augment_and_crop
from lidistill.samples.preparer import Preparer
from lidistill.samples.teacher_inputs import SINGLE_IMAGE_TEACHER, TeacherRequirements
from lidistill.samples.voxels import VoxelFrame, finite_points, voxel_subset


class SamplingConfig(Config):
    """How a frame becomes a sample."""

    voxel_size: Annotated[float, Field(gt=0)] = 0.1  # metres
    voxel_frame: VoxelFrame = "lidar"
    cameras: Literal["one", "all"] = "one"  # one: drawn at random for every sample
    points: Literal["paired", "all"] = "paired"  # paired: only those some chosen camera sees
    occluded: Literal["keep", "drop"] = "keep"  # pairs of points behind what their camera sees
    max_points: Annotated[int, Field(ge=1, le=10**7)] = 20_000  # in training
    image_size_hw: Size = (224, 448)
    antialias: bool = False
    augmentation: AugmentationConfig = AugmentationConfig()
    image_augmentation: ImageAugmentationConfig = ImageAugmentationConfig()

    def voxels(
        self, frame: Frame, permutation: NDArray[np.int64] | None = None
    ) -> NDArray[np.int64]:
        """(K,) one point of every voxel; see ``voxel_subset``."""
        size, counted_in = self.voxel_size, self.voxel_frame
        return voxel_subset(frame, voxel_size=size, voxel_frame=counted_in, permutation=permutation)

    def pairs(
        self, points: NDArray[np.floating], view: CameraView, hidden: NDArray[np.bool_] | None
    ) -> PixelPairs:
        """Pixels of the (K, 3) points in one image.

        Left out are (K,) ``hidden`` points, which a corruption added and no image shows, and with
        ``occluded="drop"`` those behind what the camera sees.
        """
        found = without(pair_view(points, view, self.image_size_hw), hidden)
        return found if self.occluded == "keep" else unoccluded(found, points, view)

    def read_images(self, views: Sequence[CameraView], sizes: Sequence[Size]) -> dict[Size, Tensor]:
        """(V, 3, H, W) uint8 images of some views in each size; each is decoded once."""
        images = [read_image(view.image_path, view.size_hw) for view in views]
        return {size: resize_all(images, size, antialias=self.antialias) for size in sizes}


@dataclass(frozen=True, slots=True, kw_only=True)
class Draws:
    """All random numbers of one sample."""

    permutation: NDArray[np.int64]
    """(N,) order of the scan's finite points in which voxels choose theirs."""
    view_order: tuple[int, ...]
    """Order in which the frame's views are tried."""
    centre: float
    """Uniform in [0, 1): selects the point at the centre of the crop of ``max_points``."""
    augmentation: Augmentation
    images: ImageChange = NO_CHANGE

    def camera_choices(self, config: SamplingConfig) -> list[tuple[int, ...]]:
        """Views of the frame to take together, in the order in which that is tried."""
        if config.cameras == "one" or not self.view_order:
            return [(view,) for view in self.view_order]
        return [tuple(sorted(self.view_order))]


def sample_rng(seed: int, epoch: int, frame_index: int) -> np.random.Generator:
    """Generator of one sample: the same numbers whoever makes it, and in whatever order."""
    entropy = np.random.SeedSequence(entropy=seed, spawn_key=(epoch, frame_index))
    return np.random.Generator(np.random.Philox(entropy))


def draw(frame: Frame, config: SamplingConfig, rng: np.random.Generator) -> Draws:
    """Draw what one sample of a frame leaves to chance."""
    return Draws(
        permutation=rng.permutation(len(finite_points(frame))),
        view_order=tuple(int(view) for view in rng.permutation(len(frame.views))),
        centre=float(rng.uniform()),
        augmentation=config.augmentation.draw(rng),
        images=config.image_augmentation.draw(rng),
    )


def distillation_sample(
    frame: Frame,
    config: SamplingConfig,
    preparer: Preparer,
    rng: np.random.Generator,
    *,
    load_images: bool = True,
    wanted: TeacherRequirements = SINGLE_IMAGE_TEACHER,
) -> Sample:
    """Sample with pairs of points and pixels.

    Cameras are tried in a random order; the first that sees a point inside the field of view is
    taken, or every one that does with ``cameras="all"``. Where 3D networks alone teach there are no
    pairs, and every point counts.

    Args:
        frame: Scan with at least one view.
        config: How to sample.
        preparer: Of the backbone: its channels, field of view and inputs.
        rng: All chance comes from here; see ``sample_rng``.
        load_images: Whether to read the images; cached teacher features need none.
        wanted: What the run's teachers want.

    Raises:
        FileFormatError: If no camera sees a point, or an image does not decode.
    """
    draws = draw(frame, config, rng)
    kept = config.voxels(frame, draws.permutation)
    if not wanted.pairs:
        alone = sample_without_pairs(
            frame,
            kept,
            preparer,
            max_points=config.max_points,
            centre=draws.centre,
            augmentation=draws.augmentation,
        )
        return with_networks(alone, frame, draws.augmentation, wanted)
    points = frame.points.take(kept, axis=0)  # faster than brackets
    hidden = None if frame.added is None else frame.added[kept]
    for choice in draws.camera_choices(config):
        views = tuple(frame.views[view] for view in choice)
        pixels = [config.pairs(points, view, hidden) for view in views]
        sample = sample_from_pairs(
            frame, kept, pixels, views, config=config, preparer=preparer, draws=draws
        )
        if sample is not None:
            view_of = {view.image_path: view for view in views}
            used = [view_of[path] for path in sample.image_paths]
            sizes = wanted.image_sizes(config.image_size_hw) if load_images else ()
            images = config.read_images(used, sizes) if sizes else {}
            images = {size: draws.images.recolour(image) for size, image in images.items()}
            sample = replace(
                sample,
                images=images.get(config.image_size_hw),
                mirrored=draws.images.mirrored,
            )
            if not wanted.more:
                return sample
            sample = with_sizes(sample, frame, kept, used, images, wanted)
            return with_networks(sample, frame, draws.augmentation, wanted)
    raise nothing_paired(frame.frame_id, len(points), frame.views)


def nothing_paired(
    frame_id: str, num_voxels: int, views: tuple[CameraView, ...]
) -> FileFormatError:
    """What is wrong with a frame whose cameras see no point."""
    names = ", ".join(view.name for view in views)
    if not names:
        return FileFormatError(
            f"frame {frame_id} has no image, and distillation needs one; add it, leave the frame "
            "out, or set missing=skip and images=required for its data set."
        )
    return FileFormatError(
        f"frame {frame_id}: none of its {num_voxels} voxels lies in an image (cameras: "
        f"{names}) and in the field of view; check its calibration, or leave the frame out."
    )


def sample_from_pairs(
    frame: Frame,
    kept: NDArray[np.int64],
    pixels: list[PixelPairs],
    views: tuple[CameraView, ...],
    *,
    config: SamplingConfig,
    preparer: Preparer,
    draws: Draws,
) -> Sample | None:
    """Sample of a frame whose points are paired already, without its images.

    Args:
        frame: Scan.
        kept: (V,) voxelised points of the frame.
        pixels: Pairs of each view; they index ``kept``.
        views: The views they belong to.
        config: How to sample.
        preparer: Of the backbone.
        draws: What is left to chance.

    Returns:
        None if no pair lies inside the field of view. A view that keeps no pair is left out.
    """
    is_seen = np.zeros(len(kept), dtype=bool)
    for pairs in pixels:
        is_seen[pairs.index] = True
    seen = np.flatnonzero(is_seen)
    if not len(seen):
        return None
    candidates = seen if config.points == "paired" else np.arange(len(kept))
    points = frame.points.take(kept[candidates], axis=0)
    for choice in candidate_centers(draws.centre, len(seen)):
        centre = int(np.searchsorted(candidates, seen[choice]))
        chosen = candidates[sphere_crop(points, centre, config.max_points)]
        sample, inside = augment_and_crop(frame, kept[chosen], draws.augmentation, preparer)
        position = np.full(len(kept), -1)
        position[chosen[inside]] = np.arange(len(sample))
        gathered, used = gather_pairs(position, pixels)
        if used:
            paths = tuple(views[view].image_path for view in used)
            sizes = tuple(views[view].size_hw for view in used)
            return replace(sample, pairs=gathered, image_paths=paths, image_sizes=sizes)
        if len(chosen) == len(candidates):
            break
    return None
