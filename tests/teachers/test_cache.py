import logging
import os
from pathlib import Path

import pytest
import torch

from lidistill.errors import ConfigError, DatasetNotFoundError, FileFormatError
from lidistill.teachers import FeatureCache, TeacherMaps

SIZE = (16, 32)


def some_maps(seed: int = 0, num_views: int = 1) -> TeacherMaps:
    draw = torch.Generator().manual_seed(seed)
    return TeacherMaps(
        levels=(
            torch.randn(num_views, 4, 2, 4, generator=draw),
            torch.randn(num_views, 6, 1, 2, generator=draw),
        ),
        alignment="centers",
        strides=(8.0, 16.0),
        origins=(7.0, 15.0),
    )


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.jpg"
    path.write_bytes(b"some image")
    return path


def entries(cache: FeatureCache) -> list[Path]:
    return sorted(path for path in cache.folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("max_bytes", [0, 10_000])
def test_maps_come_back_in_half_precision(tmp_path: Path, image: Path, max_bytes: int) -> None:
    cache = FeatureCache(tmp_path / "cache", "teacher", SIZE, max_bytes=max_bytes)
    assert cache.find(image) is None
    maps = some_maps()
    cache.put(image, maps)
    assert cache.find(image) is not None
    for _ in range(2):
        found = cache.get(image)
        assert (found.alignment, found.strides, found.origins) == (
            maps.alignment,
            maps.strides,
            maps.origins,
        )
        for a, b in zip(found.levels, maps.levels, strict=True):
            assert torch.equal(a, b.half())
            assert a.is_contiguous(memory_format=torch.channels_last)  # read in a sixth of the time


def test_an_entry_belongs_to_one_teacher_and_one_size(tmp_path: Path, image: Path) -> None:
    folder = tmp_path / "cache"
    FeatureCache(folder, "teacher", SIZE).put(image, some_maps())
    assert FeatureCache(folder, "teacher", SIZE).find(image) is not None
    assert FeatureCache(folder, "other teacher", SIZE).find(image) is None
    assert FeatureCache(folder, "teacher", (32, 32)).find(image) is None


def test_an_entry_follows_the_content_not_the_path(tmp_path: Path, image: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", "teacher", SIZE)
    cache.put(image, some_maps())
    copy = tmp_path / "copy.jpg"
    copy.write_bytes(image.read_bytes())
    assert cache.find(copy) is not None
    image.write_bytes(b"another one ")
    os.utime(image, ns=(0, 0))
    assert cache.find(image) is None


@pytest.mark.parametrize("keep", [0, 9, 0.5, 0.99])
def test_a_truncated_entry_is_not_used(
    tmp_path: Path, image: Path, keep: float, caplog: pytest.LogCaptureFixture
) -> None:
    cache = FeatureCache(tmp_path / "cache", "teacher", SIZE)
    cache.put(image, some_maps())
    (entry,) = entries(cache)
    content = entry.read_bytes()
    entry.write_bytes(content[: int(keep if keep >= 1 else keep * len(content))])
    with caplog.at_level(logging.WARNING):
        assert cache.find(image) is None
    assert "damaged" in caplog.text
    assert entries(cache) == []
    cache.put(image, some_maps())
    assert cache.find(image) is not None


def test_a_flipped_bit_is_noticed(tmp_path: Path, image: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", "teacher", SIZE)
    cache.put(image, some_maps())
    (entry,) = entries(cache)
    content = bytearray(entry.read_bytes())
    content[-5] ^= 1
    entry.write_bytes(content)
    assert cache.find(image) is None


def test_getting_what_is_not_there_is_an_error(tmp_path: Path, image: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", "teacher", SIZE)
    with pytest.raises(FileFormatError, match="fill the cache again"):
        cache.get(image)


def test_a_missing_image_is_an_error(tmp_path: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", "teacher", SIZE)
    with pytest.raises(DatasetNotFoundError, match="no image at"):
        cache.find(tmp_path / "absent.jpg")


def test_several_views_and_values_beyond_half_precision_are_refused(
    tmp_path: Path, image: Path
) -> None:
    cache = FeatureCache(tmp_path / "cache", "teacher", SIZE)
    with pytest.raises(ValueError, match="one view"):
        cache.put(image, some_maps(num_views=2))
    huge = some_maps()
    huge.levels[0][0, 0, 0, 0] = 1e6
    with pytest.raises(ConfigError, match=r"reach 1e\+06, but .* set teacher_cache=null"):
        cache.put(image, huge)
    assert entries(cache) == []


def test_nothing_but_whole_entries_is_left_behind(tmp_path: Path, image: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", "teacher", SIZE)
    for seed in range(3):
        cache.put(image, some_maps(seed))
    assert [path.suffix for path in entries(cache)] == [".safetensors"]
    assert torch.equal(cache.get(image).levels[0], some_maps(2).levels[0].half())


def test_others_may_read_an_entry_as_they_may_any_file(tmp_path: Path, image: Path) -> None:
    cache = FeatureCache(tmp_path / "cache", "teacher", SIZE)
    cache.put(image, some_maps())
    assert entries(cache)[0].stat().st_mode == image.stat().st_mode


def test_memory_keeps_the_latest_maps_only(tmp_path: Path) -> None:
    size_of_one = 2 * (4 * 2 * 4 + 6 * 1 * 2)
    cache = FeatureCache(tmp_path / "cache", "teacher", SIZE, max_bytes=2 * size_of_one)
    images = [tmp_path / f"{i}.jpg" for i in range(3)]
    for i, path in enumerate(images):
        path.write_bytes(bytes([i]))
        cache.put(path, some_maps(i))
        cache.get(path)
    for entry in entries(cache):
        entry.unlink()
    assert [cache.find(path) is not None for path in images] == [False, True, True]
