"""Frozen 2D networks that give one feature per pixel."""

from typing import Annotated, TypeAlias

from pydantic import Field

from lidistill.teachers.base import (
    ChannelGroup,
    FrozenTeacher,
    Teacher,
    TeacherMaps,
    read_maps,
)
from lidistill.teachers.cache import FeatureCache
from lidistill.teachers.centering import TargetCenter
from lidistill.teachers.pyramid import PyramidTeacherConfig
from lidistill.teachers.vit import VitTeacherConfig

TEACHERS = {"vit": VitTeacherConfig, "efficientnet-lite2": PyramidTeacherConfig}
"""Configuration of each kind of teacher."""
TeacherConfig: TypeAlias = Annotated[
    VitTeacherConfig | PyramidTeacherConfig, Field(discriminator="kind")
]

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
