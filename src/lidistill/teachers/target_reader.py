"""The teacher's features of single images, and what a cache keeps of them.

Shape letters: P pairs, T teacher channels.
"""

from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from lidistill.images.files import read_image, resize
from lidistill.records import Batch
from lidistill.samples.distillation import SamplingConfig
from lidistill.samples.image_augmentation import mirrored_pixels
from lidistill.samples.teacher_inputs import teacher_inputs
from lidistill.teachers import FeatureCache, Teacher, TeacherMaps
from lidistill.teachers.settings import ImageTeacherConfig
from lidistill.tensor_records import to_device_pinned

_Images: TypeAlias = Mapping[int, tuple[Path, bool, tuple[int, int] | None]]
"""By the number of the view: the image, whether it is mirrored, its size by the calibration."""
"""Images that the teacher is asked about by their view, and whether it sees them mirrored."""
_CACHE_BYTES = 1 << 30  # of teacher features kept in memory beside the cache on disk


class TargetReader:
    """Teacher features at pixels of images on disk, from the network or from a cache.

    Args:
        teacher: The frozen network.
        sampling: How images are resized before the teacher sees them.
        cache_folder: Where its features are kept; None: nowhere, each is computed anew.
        settings: Of the teacher: its own size of images and cameras, where it has them.

    Raises:
        ConfigError: If the teacher cannot take images of that size.
    """

    def __init__(
        self,
        teacher: Teacher,
        sampling: SamplingConfig,
        cache_folder: Path | None,
        *,
        settings: ImageTeacherConfig,
    ) -> None:
        self._size_hw = settings.image_size_hw or sampling.image_size_hw
        self._antialias, self._cameras = sampling.antialias, settings.cameras
        self._is_further = self._size_hw != sampling.image_size_hw
        teacher.check_size(self._size_hw)
        self._teacher = teacher
        self._caches: dict[bool, FeatureCache] = {}
        if cache_folder is not None:
            key = f"{teacher.name}, antialias={self._antialias}"
            for mirrored, of_key in ((False, key), (True, f"{key}, mirrored")):
                self._caches[mirrored] = FeatureCache(
                    cache_folder, of_key, self._size_hw, max_bytes=_CACHE_BYTES
                )

    @property
    def teacher(self) -> Teacher:
        """The frozen network."""
        return self._teacher

    @property
    def size_hw(self) -> tuple[int, int]:
        """Size of the images that the teacher sees, pixels."""
        return self._size_hw

    def sees(self, camera: str) -> bool:
        """Whether the teacher is asked about images of a camera."""
        return not self._cameras or camera in self._cameras

    def __call__(self, batch: Batch) -> Tensor:
        """(P, T) float32 features at the batch's pairs, of its images.

        Rows of images that the teacher is not asked about are zero.
        """
        pairs = batch.pairs
        assert pairs is not None  # noqa: S101  distillation samples always carry pairs
        uv_P2 = teacher_inputs(batch).resized[self._size_hw].uv if self._is_further else pairs.uv
        images = {
            view: (path, any(batch.mirrored) and batch.mirrored[view], size_hw)
            for view, (path, size_hw) in enumerate(
                zip_longest(batch.image_paths, batch.image_sizes)
            )
            if not self._cameras or self.sees(teacher_inputs(batch).cameras[view])
        }
        read = self._one_by_one if uv_P2.device.type == "cpu" else self._at_once
        with torch.no_grad():
            return read(images, pairs.view, uv_P2)

    def _one_by_one(self, images: _Images, view_P: Tensor, uv_P2: Tensor) -> Tensor:
        """Maps are read where they lie, which a CPU does faster than copying them together."""
        target_PT = uv_P2.new_zeros(len(uv_P2), self._teacher.num_channels)
        for view, (path, turned, size_hw) in images.items():
            here = torch.nonzero(view_P == view).squeeze(1)
            target_PT[here] = self.at_pixels(path, uv_P2[here], mirrored=turned, size_hw=size_hw)
        return target_PT

    def _at_once(self, images: _Images, view_P: Tensor, uv_P2: Tensor) -> Tensor:
        """The same values from all maps on a GPU, which need not be asked whose the pairs are."""
        if not images:
            return uv_P2.new_zeros(len(uv_P2), self._teacher.num_channels)
        device, beyond = uv_P2.device, max(images) + 1
        maps = [
            self._maps(path, mirrored=turned, size_hw=size_hw).to(device)
            for path, turned, size_hw in images.values()
        ]
        # Of each view: where its maps are among these, from 1, and whether they are mirrored.
        place_V, turned_V = torch.zeros(2, beyond + 1, dtype=torch.int64)
        for place, (view, (_, turned, _)) in enumerate(images.items(), start=1):
            place_V[view], turned_V[view] = place, int(turned)
        known_P = view_P.clamp(max=beyond)
        place_P, turned_P = (
            table[known_P] for table in to_device_pinned((place_V, turned_V), device)
        )
        mirrored_P2 = mirrored_pixels(uv_P2, self._size_hw[1])
        pixels_P2 = torch.where(turned_P[:, None] > 0, mirrored_P2, uv_P2)
        number_P = (place_P - 1).clamp(min=0)
        read_PT = self._teacher.read(TeacherMaps.join(maps), number_P, pixels_P2, self._size_hw)
        return torch.where(place_P[:, None] > 0, read_PT.float(), 0.0)

    def at_pixels(
        self,
        path: Path,
        uv_P2: Tensor,
        *,
        mirrored: bool = False,
        size_hw: tuple[int, int] | None = None,
    ) -> Tensor:
        """(P, T) float32 features of one image at (P, 2) pixels of its resized form.

        Args:
            path: The image.
            uv_P2: Pixels of the image as it is.
            mirrored: Whether the teacher sees it with left and right exchanged.
            size_hw: Height and width that its calibration speaks of; None takes any.

        Raises:
            FileFormatError: If it has another size, or cannot be read.
        """
        with torch.no_grad():
            first = torch.zeros(len(uv_P2), dtype=torch.int64, device=uv_P2.device)
            maps = self._maps(path, mirrored=mirrored, size_hw=size_hw).to(uv_P2.device)
            place_P2 = mirrored_pixels(uv_P2, self._size_hw[1]) if mirrored else uv_P2
            return self._teacher.read(maps, first, place_P2, self._size_hw).float()

    def _maps(self, path: Path, *, mirrored: bool, size_hw: tuple[int, int] | None) -> TeacherMaps:
        cache = self._caches.get(mirrored)
        cached = None if cache is None else cache.find(path)
        if cached is not None:
            return cached
        image = resize(
            torch.from_numpy(read_image(path, size_hw)).permute(2, 0, 1),
            self._size_hw,
            self._antialias,
        )
        maps = self._teacher.maps((image.flip(-1) if mirrored else image)[None])
        if cache is None:
            return maps
        cache.put(path, maps)
        return cache.get(path)
