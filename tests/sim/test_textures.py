import numpy as np
import pytest

from lidistill.sim.materials import MATERIALS, material_table, pattern_numbers
from lidistill.sim.texture_noise import SIZE, noise_tile
from lidistill.sim.textures import PATTERNS, texels


def levels():
    """(P, S, S, 3) patterns at each size, as ``texels`` describes its layout."""
    rest, size = texels(), SIZE
    while size >= 1:
        num = len(PATTERNS) * size * size
        yield rest[:num].reshape(len(PATTERNS), size, size, 3).astype(float) / 128
        rest, size = rest[num:], size // 2
    assert len(rest) == 0


def test_noise_is_centred_and_has_unit_spread():
    assert noise_tile().mean() == pytest.approx(0, abs=1e-4)
    assert noise_tile().std() == pytest.approx(1, abs=1e-3)


def test_patterns_keep_a_surfaces_colour_on_average_at_every_size():
    for level in levels():
        np.testing.assert_allclose(level.mean(axis=(1, 2)), 1, atol=0.03)


def test_patterns_lose_contrast_where_a_texel_covers_more_of_them():
    contrast = np.stack([level.std(axis=(1, 2, 3)) for level in levels()])
    assert (contrast[0] > 0.004).all()
    assert (np.diff(contrast, axis=0) <= 0.01).all()


def test_patterns_repeat_without_a_seam():
    rough = dict(zip(PATTERNS, next(levels()), strict=True))
    for name in ("asphalt", "grass", "leaf", "stucco", "soil"):
        inside = np.abs(np.diff(rough[name], axis=1)).mean()
        seam = np.abs(rough[name][:, 0] - rough[name][:, -1]).mean()
        assert seam < 2 * inside


def test_every_material_has_a_pattern_and_numbers():
    assert [list(PATTERNS)[i] for i in pattern_numbers()] == [m.pattern for m in MATERIALS.values()]
    table = material_table()
    assert table["span"].tolist() == pytest.approx([m.span for m in MATERIALS.values()])
    assert "pattern" not in table
