"""The kinds of teachers: what a recipe's ``teacher.kind`` may say, and what each is set up by."""

from typing import Annotated, TypeAlias

from pydantic import Field

from lidistill.teachers.pyramid import PyramidTeacherConfig
from lidistill.teachers.vit import VitTeacherConfig

TEACHERS = {"vit": VitTeacherConfig, "efficientnet-lite2": PyramidTeacherConfig}
"""Configuration of each kind of teacher."""
TeacherConfig: TypeAlias = Annotated[
    VitTeacherConfig | PyramidTeacherConfig, Field(discriminator="kind")
]
