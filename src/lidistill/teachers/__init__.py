"""Frozen 2D networks that give one feature per pixel.

What is behind these names is imported when it is first asked for: the list of teachers
(``table``) is there without the seconds that PyTorch takes.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lidistill.teachers.base import (
        ChannelGroup,
        FrozenTeacher,
        Teacher,
        TeacherMaps,
        read_maps,
    )
    from lidistill.teachers.cache import FeatureCache
    from lidistill.teachers.centering import TargetCenter
    from lidistill.teachers.kinds import TEACHERS, TeacherConfig
    from lidistill.teachers.pyramid import PyramidTeacherConfig
    from lidistill.teachers.vit import VitTeacherConfig

__all__ = [
    "TEACHERS",
    "ChannelGroup",
    "FeatureCache",
    "FrozenTeacher",
    "PyramidTeacherConfig",
    "TargetCenter",
    "Teacher",
    "TeacherConfig",
    "TeacherMaps",
    "VitTeacherConfig",
    "read_maps",
]

_LAZY = {
    "TEACHERS": "kinds",
    "ChannelGroup": "base",
    "FeatureCache": "cache",
    "FrozenTeacher": "base",
    "PyramidTeacherConfig": "pyramid",
    "TargetCenter": "centering",
    "Teacher": "base",
    "TeacherConfig": "kinds",
    "TeacherMaps": "base",
    "VitTeacherConfig": "vit",
    "read_maps": "base",
}
"""In which module of this package each name is."""


def __getattr__(name: str) -> Any:
    """A name of ``__all__``, imported now."""
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
