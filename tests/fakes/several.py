"""Runs with two teachers: the tiny run of ``fakes.runs`` and a second, narrower network."""

from fakes.runs import pretrain_values, write_world
from fakes.teachers import write_vit

WIDE, NARROW = 32, 24
"""Channels of the two."""


def write_two(folder):
    """The tiny world and the second teacher."""
    write_world(folder)
    write_vit(folder / "narrow", seed=5, hidden_size=NARROW)
    return folder


def two_teachers(folder, **second):
    """Both by name; the second sees larger images, and its second layer is taken."""
    narrow = {"kind": "vit", "model": str(folder / "narrow"), "layers": [2]}
    wide = {"kind": "vit", "model": str(folder / "vit"), "layers": [-1]}
    return {"wide": wide, "narrow": narrow | {"image_size_hw": [56, 84]} | second}


def several_values(folder, **second):
    """A recipe with both."""
    return pretrain_values(folder) | {"teacher": two_teachers(folder, **second)}
