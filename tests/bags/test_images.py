"""Camera images of every encoding: the right values on known pixels."""

import io
from collections import Counter
from itertools import product

import numpy as np
import pytest
from PIL import Image

from lidistill.bags.images import (
    is_deep,
    largest_sample,
    packed_file,
    rgb_or_grey,
    sample_bits,
)
from lidistill.bags.messages import Header, PackedImage, RawImage
from lidistill.bags.mosaic import PATTERNS, demosaic

HEIGHT, WIDTH = 6, 8
RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (HEIGHT, WIDTH, 3)).astype(np.uint8)


def image(encoding, rows, *, height=HEIGHT, width=WIDTH, big=False, step=None):
    rows = np.ascontiguousarray(rows)
    data = rows.reshape(-1).view(np.uint8)
    return RawImage(
        header=Header(stamp_ns=1, frame="cam"),
        height=height,
        width=width,
        encoding=encoding,
        big_endian=big,
        step=data.size // height if step is None else step,
        data=data,
    )


def read(message, bits=8):
    return rgb_or_grey(message, bits=bits, notes=Counter())


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("rgb8", [0, 1, 2]), ("bgr8", [2, 1, 0]), ("rgba8", [0, 1, 2, 0]), ("bgra8", [2, 1, 0, 1])],
)
def test_colours_come_in_their_order(encoding, order):
    np.testing.assert_array_equal(read(image(encoding, RGB[:, :, order])), RGB)
    np.testing.assert_array_equal(read(image(encoding, RGB[:, :, order], step=0)), RGB)


@pytest.mark.parametrize("encoding", ["rgb16", "bgr16", "rgba16", "bgra16"])
@pytest.mark.parametrize("big", [False, True])
def test_colours_of_16_bits_are_scaled_by_what_the_camera_fills(encoding, big):
    order = [0, 1, 2] if encoding.startswith("r") else [2, 1, 0]
    order = [*order, 0] if "a" in encoding else order
    deep = np.rint(RGB[:, :, order].astype(float) * 4095 / 255).astype(">u2" if big else "<u2")
    message = image(encoding, deep, big=big)
    assert is_deep(message)
    assert largest_sample(message) == deep.max()
    np.testing.assert_array_equal(read(message, bits=12), RGB)


@pytest.mark.parametrize(
    ("largest", "bits"), [(0, 8), (255, 8), (256, 10), (4095, 12), (4096, 14), (65535, 16)]
)
def test_bits_are_the_fewest_that_hold_the_largest_sample(largest, bits):
    assert sample_bits(largest) == bits


def test_grey_of_16_bits_becomes_no_plain_white():
    grey = np.linspace(0, 65535, HEIGHT * WIDTH).astype("<u2").reshape(HEIGHT, WIDTH)
    found = read(image("mono16", grey), bits=16)
    np.testing.assert_array_equal(found, np.rint(grey / 257))


def by_definition(mosaic, pattern):
    """Means of the nearest pixels of each colour; beyond the border the mosaic is mirrored."""
    (red_row, red_column), (blue_row, blue_column) = PATTERNS[pattern]
    height, width = mosaic.shape

    def colour(row, column):
        if (row % 2, column % 2) == (red_row, red_column):
            return 0
        return 2 if (row % 2, column % 2) == (blue_row, blue_column) else 1

    found = np.zeros((height, width, 3), dtype=np.int64)
    for row, column, wanted in product(range(height), range(width), range(3)):
        near: dict[int, list[int]] = {}
        for down, right in product((-1, 0, 1), repeat=2):
            if colour(row + down, column + right) == wanted:
                at = (abs(row + down), abs(column + right))
                at = tuple(
                    i if i < n else 2 * (n - 1) - i for i, n in zip(at, mosaic.shape, strict=True)
                )
                near.setdefault(abs(down) + abs(right), []).append(int(mosaic[at]))
        values = near[min(near)]
        found[row, column, wanted] = (sum(values) + len(values) // 2) // len(values)
    return found


@pytest.mark.parametrize("pattern", sorted(PATTERNS))
@pytest.mark.parametrize("shape", [(6, 8), (5, 7), (2, 2)])
@pytest.mark.parametrize("bits", [8, 16])
def test_mosaics_equal_the_definition(pattern, shape, bits):
    mosaic = RNG.integers(0, 1 << bits, shape).astype(f"uint{bits}")
    np.testing.assert_array_equal(demosaic(mosaic, pattern), by_definition(mosaic, pattern))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize(
    ("pattern", "block"),
    [
        ("rggb", [[0, 1], [1, 2]]),
        ("bggr", [[2, 1], [1, 0]]),
        ("gbrg", [[1, 2], [0, 1]]),
        ("grbg", [[1, 0], [2, 1]]),
    ],
)
def test_a_plain_colour_behind_every_pattern_is_found(pattern, block, bits):
    colour = np.array([200, 40, 90])
    tiles = np.tile(np.array(block), (HEIGHT // 2, WIDTH // 2))
    mosaic = (colour[tiles] * (1 if bits == 8 else 257)).astype(f"<u{bits // 8}")
    found = read(image(f"bayer_{pattern}{bits}", mosaic), bits=bits)
    np.testing.assert_array_equal(found, np.broadcast_to(colour, (HEIGHT, WIDTH, 3)))


COLOURS = {  # 8 bits of BT.601, video range: Y, U, V
    (255, 255, 255): (235, 128, 128),
    (0, 0, 0): (16, 128, 128),
    (254, 0, 0): (81, 90, 240),
    (0, 255, 1): (145, 54, 34),
    (0, 0, 255): (41, 240, 110),
}


def planes(chosen):
    """(H, W, 3) of two colours, left and right half."""
    left, right = chosen
    return np.repeat(np.array([[left, right]]), [WIDTH // 2] * 2, axis=1).repeat(HEIGHT, axis=0)


def packed(encoding, yuv):
    y, u, v = np.moveaxis(yuv.astype(np.uint8), 2, 0)
    if encoding in {"nv21", "nv12"}:
        both = [v, u] if encoding == "nv21" else [u, v]
        fine = np.stack([plane[::2, ::2] for plane in both], axis=2)
        return np.concatenate([y, fine.reshape(HEIGHT // 2, WIDTH)])
    if encoding == "nv24":
        return np.concatenate([y, np.stack([u, v], axis=2).reshape(-1, WIDTH)])
    chroma = np.where(np.arange(WIDTH) % 2 == 0, u, v)
    pair = [chroma, y] if encoding in {"yuv422", "uyvy"} else [y, chroma]
    return np.stack(pair, axis=2)


@pytest.mark.parametrize(
    "encoding", ["yuv422", "uyvy", "yuv422_yuy2", "yuyv", "nv21", "nv12", "nv24"]
)
def test_yuv_becomes_the_colours_it_stands_for(encoding):
    names = list(COLOURS)
    for pair in zip(names, names[1:] + names[:1], strict=True):
        found = read(image(encoding, packed(encoding, planes([COLOURS[c] for c in pair]))))
        assert np.abs(found.astype(int) - planes(pair)).max() <= 1


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (image("32FC1", RGB), "the encoding '32FC1', expected one of rgb8"),
        (image("rgb8", RGB[:4]), "96 bytes for an image of 6 rows of 24 bytes"),
        (image("yuv422", RGB[:, :, :2], width=7), "7 columns, expected an even number"),
        (image("rgb8", RGB, width=0), "6 x 0 pixels"),
        (image("rgb8", RGB, width=1 << 31), "6 x 2147483648 pixels"),
    ],
)
def test_images_that_contradict_themselves_are_an_error(message, said):
    with pytest.raises(ValueError, match=said):
        read(message)


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_mosaic_that_was_compressed_gets_its_colours(pattern):
    mosaic = RNG.integers(0, 256, (HEIGHT, WIDTH)).astype(np.uint8)
    stream, notes = io.BytesIO(), Counter()
    Image.fromarray(mosaic).save(stream, "PNG")
    data = np.frombuffer(stream.getvalue(), np.uint8)
    header = Header(stamp_ns=1, frame="cam")
    message = PackedImage(header=header, format=f"bayer_{pattern}8; png compressed ", data=data)
    content, suffix = packed_file(message, notes)
    assert suffix == ".png"
    np.testing.assert_array_equal(
        np.asarray(Image.open(io.BytesIO(content))), demosaic(mosaic, pattern)
    )
    assert list(notes) == [
        f"compressed images of bayer_{pattern}8: colours interpolated (bilinear)"
    ]
    for other in ("mono8; png compressed ", ""):
        message = PackedImage(header=header, format=other, data=data)
        assert packed_file(message, notes) == (stream.getvalue(), ".png")


def test_a_damaged_mosaic_stays_as_it_is():
    stream, notes = io.BytesIO(), Counter()
    Image.fromarray(RNG.integers(0, 256, (64, 64)).astype(np.uint8)).save(stream, "JPEG")
    cut = stream.getvalue()[:900]
    header = Header(stamp_ns=1, frame="cam")
    data = np.frombuffer(cut, np.uint8)
    message = PackedImage(header=header, format="bayer_rggb8; jpeg compressed ", data=data)
    assert packed_file(message, notes) == (cut, ".jpg")
    assert not notes
