"""The kinds of teachers: what a recipe's ``teacher.kind`` may say, and what each is set up by."""

from typing import Annotated, TypeAlias

from pydantic import Field

from lidistill.teachers.convnext import ConvNextTeacherConfig
from lidistill.teachers.pyramid import PyramidTeacherConfig
from lidistill.teachers.sam import SamTeacherConfig
from lidistill.teachers.vit import VitTeacherConfig

TEACHERS = {
    "vit": VitTeacherConfig,
    "convnext": ConvNextTeacherConfig,
    "sam": SamTeacherConfig,
    "efficientnet-lite0": PyramidTeacherConfig,
    "efficientnet-lite2": PyramidTeacherConfig,
}
"""Configuration of each kind of teacher."""
TeacherConfig: TypeAlias = Annotated[
    VitTeacherConfig | ConvNextTeacherConfig | SamTeacherConfig | PyramidTeacherConfig,
    Field(discriminator="kind"),
]
