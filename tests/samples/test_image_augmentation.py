import numpy as np
import pytest
import torch

from lidistill.samples.image_augmentation import (
    ImageAugmentationConfig,
    ImageChange,
    mirror_some,
)

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(20, 90, (2, 3, 6, 9), dtype=np.uint8))


def by_definition(image, change):
    """One (3, H, W) image, pixel by pixel."""
    grey = np.array([0.299, 0.587, 0.114])
    bright = image.numpy().astype(float) * change.brightness
    middle = np.mean([grey @ bright[:, r, c] for r in range(6) for c in range(9)])
    found = np.empty_like(bright)
    for row in range(6):
        for column in range(9):
            pixel = middle + (bright[:, row, column] - middle) * change.contrast
            found[:, row, column] = grey @ pixel + (pixel - grey @ pixel) * change.saturation
    return found.round().clip(0, 255)


@pytest.mark.parametrize(
    "change",
    [
        ImageChange(brightness=1.4),
        ImageChange(contrast=0.6),
        ImageChange(saturation=1.3),
        ImageChange(brightness=3.0, contrast=1.2, saturation=0.7),
    ],
)
def test_colours_are_changed_as_the_definition_says(change):
    found = change.recolour(IMAGES)
    assert found.dtype == torch.uint8
    expected = np.stack([by_definition(image, change) for image in IMAGES])
    assert np.abs(found.numpy() - expected).max() <= 1  # where a half is rounded
    assert (found.numpy() == expected).mean() > 0.99


def test_nothing_is_done_where_nothing_is_asked_for():
    change = ImageAugmentationConfig().draw(np.random.default_rng(0))
    assert change == ImageChange()
    assert change.recolour(IMAGES) is IMAGES


def test_draws_have_the_share_and_the_range_that_are_asked_for():
    config, rng = (
        ImageAugmentationConfig(mirror_probability=0.3, jitter=0.4),
        np.random.default_rng(0),
    )
    draws = [config.draw(rng) for _ in range(2000)]
    assert 0.26 < np.mean([draw.mirrored for draw in draws]) < 0.34
    for name in ("brightness", "contrast", "saturation"):
        values = np.array([getattr(draw, name) for draw in draws])
        assert 0.6 <= values.min() < 0.61
        assert 1.39 < values.max() <= 1.4
        assert abs(values.mean() - 1) < 0.02


def test_a_pixel_stays_on_its_colour_when_its_image_is_mirrored():
    rng = np.random.default_rng(1)
    view = torch.from_numpy(rng.integers(0, 2, 40))
    uv = torch.from_numpy(rng.integers(0, [9, 6], (40, 2)).astype(np.float32))
    images, moved = mirror_some(IMAGES, view, uv, (False, True))
    assert torch.equal(images[0], IMAGES[0])
    assert torch.equal(images[1, :, :, 0], IMAGES[1, :, :, 8])
    assert torch.equal(moved[view == 0], uv[view == 0])
    colours = [
        im[view, :, at[:, 1].long(), at[:, 0].long()] for im, at in ((IMAGES, uv), (images, moved))
    ]
    assert torch.equal(*colours)
    assert mirror_some(IMAGES, view, uv, ()) == (IMAGES, uv)
