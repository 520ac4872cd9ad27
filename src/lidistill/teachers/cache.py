"""Teacher maps on disk, so that no image goes through the teacher twice.

Layout::

    folder/
      3f0c.../             teacher and image size
        ab/ab12....safetensors   levels of one image in fp16, by the digest of the image's file
"""

import hashlib
import json
import logging
import os
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from lidistill.atomic_write import replacing
from lidistill.config import Size
from lidistill.errors import ConfigError, DatasetNotFoundError, FileFormatError
from lidistill.teachers.base import TeacherMaps

logger = logging.getLogger(__name__)


class FeatureCache:
    """Maps of single images, keyed by teacher, image size and content of the image's file.

    Entries are written beside and renamed, so a reader never sees half of one; they carry a
    checksum, and one that does not fit it is logged, deleted and reported as absent.

    Args:
        folder: Root of the cache; made if needed. Several teachers can share it.
        teacher_name: ``Teacher.name``.
        size_hw: Height and width of the resized images, pixels.
        max_bytes: Maps to keep in memory as well, least recently read ones leave first.
    """

    def __init__(
        self, folder: Path, teacher_name: str, size_hw: Size, *, max_bytes: int = 0
    ) -> None:
        self._key = f"{teacher_name} size={size_hw[0]}x{size_hw[1]}"
        self.folder = folder / hashlib.sha256(self._key.encode()).hexdigest()[:16]
        self.max_bytes = max_bytes
        self._digests: dict[tuple[Path, int, int], str] = {}
        self._memory: OrderedDict[Path, TeacherMaps] = OrderedDict()
        self._memory_bytes = 0

    def get(self, image_path: Path) -> TeacherMaps:
        """Maps of one view in fp16.

        Raises:
            FileFormatError: If they are not there, or damaged.
        """
        maps = self.find(image_path)
        if maps is None:
            msg = f"no teacher maps of {image_path} in {self.folder}; fill the cache again."
            raise FileFormatError(msg)
        return maps

    def find(self, image_path: Path) -> TeacherMaps | None:
        """Maps of one view in fp16, or None if they are not there or damaged."""
        entry = self._entry(image_path)
        if entry in self._memory:
            self._memory.move_to_end(entry)
            return self._memory[entry]
        maps = self._load(entry)
        if maps is not None:
            self._remember(entry, maps)
        return maps

    def put(self, image_path: Path, maps: TeacherMaps) -> None:
        """Store maps of one view.

        Raises:
            ValueError: If there is not exactly one view.
            ConfigError: If a value does not fit fp16.
        """
        if maps.num_views != 1:
            msg = f"expected maps of one view, found {maps.num_views}"
            raise ValueError(msg)
        levels = [level.detach().to("cpu", torch.float16).contiguous() for level in maps.levels]
        if not all(bool(level.isfinite().all()) for level in levels):
            largest = max(float(level.abs().max()) for level in maps.levels)
            msg = (
                f"the teacher's features of {image_path} reach {largest:g}, but a cache keeps "
                "16-bit numbers, which end at 65,504; set teacher_cache=null."
            )
            raise ConfigError(msg)
        about = {
            "key": self._key,
            "alignment": maps.alignment,
            "strides": maps.strides,
            "origins": maps.origins,
            "checksum": _checksum(levels),
        }
        entry = self._entry(image_path)
        entry.parent.mkdir(parents=True, exist_ok=True)
        tensors = {f"level{i}": level for i, level in enumerate(levels)}
        with replacing(entry) as side:
            save_file(tensors, side, metadata={"about": json.dumps(about)})
        self._forget(entry)

    def _entry(self, image_path: Path) -> Path:
        try:
            stat = image_path.stat()
        except OSError as error:
            msg = f"no image at {image_path} ({error.strerror}); check the data folder."
            raise DatasetNotFoundError(msg) from error
        version = (image_path, stat.st_size, stat.st_mtime_ns)
        if version not in self._digests:
            self._digests[version] = hashlib.sha256(image_path.read_bytes()).hexdigest()
        digest = self._digests[version]
        return self.folder / digest[:2] / f"{digest}.safetensors"

    def _load(self, entry: Path) -> TeacherMaps | None:
        if not entry.is_file():
            return None
        try:
            maps = self._parse(entry)
        except (SafetensorError, KeyError, TypeError, ValueError, OSError) as error:
            logger.warning("damaged cache entry %s (%s); it will be computed again", entry, error)
            entry.unlink(missing_ok=True)
            return None
        return maps

    def _parse(self, entry: Path) -> TeacherMaps:
        with safe_open(os.fspath(entry), framework="pt") as content:
            about = json.loads((content.metadata() or {})["about"])
            levels = [content.get_tensor(f"level{i}") for i in range(len(about["strides"]))]
        if about["key"] != self._key or about["checksum"] != _checksum(levels):
            msg = "its checksum does not fit"
            raise ValueError(msg)
        return TeacherMaps(  # cell by cell, as they are read, and as networks give them
            levels=tuple(one.contiguous(memory_format=torch.channels_last) for one in levels),
            alignment=about["alignment"],
            strides=tuple(about["strides"]),
            origins=tuple(about["origins"]),
        )

    def _remember(self, entry: Path, maps: TeacherMaps) -> None:
        size = _num_bytes(maps)
        if size > self.max_bytes:
            return
        self._memory[entry] = maps
        self._memory_bytes += size
        while self._memory_bytes > self.max_bytes:
            _, oldest = self._memory.popitem(last=False)
            self._memory_bytes -= _num_bytes(oldest)

    def _forget(self, entry: Path) -> None:
        old = self._memory.pop(entry, None)
        if old is not None:
            self._memory_bytes -= _num_bytes(old)


def _num_bytes(maps: TeacherMaps) -> int:
    return sum(level.numel() * level.element_size() for level in maps.levels)


def _checksum(levels: Sequence[Tensor]) -> int:
    checksum = 0
    for level in levels:
        checksum = zlib.crc32(level.numpy().data, checksum)
    return checksum
