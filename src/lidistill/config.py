"""What recipes are made of: the strict base model, and the grids that data and backbones share."""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Side: TypeAlias = Annotated[int, Field(ge=1, le=1 << 14)]
Size: TypeAlias = tuple[Side, Side]
"""Height and width of images and planes; the largest of the recipes has 896 pixels."""
Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]
"""Arithmetic of training: of the matrix products, that is; weights stay in 32 bits."""
FrozenPrecision: TypeAlias = Literal["fp32", "bf16"]
"""Arithmetic of a network that does not train, where fp16 would overflow without being noticed."""
Workers: TypeAlias = Annotated[int, Field(ge=0, le=256)]
"""Processes that read data; beyond a few a core they only take memory, some 0.3 GB each."""
MAX_CELLS = 1 << 22
"""Cells of one plane of a grid; the papers' largest has 65,536."""
Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]


_MAX_PLANES = 16


class Config(BaseModel):
    """Base of every configuration: frozen, an unknown key or no number is an error."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )


@dataclass(frozen=True, slots=True)
class OnResume:
    """What a run that goes on may do about a field; one without this must be as it was."""

    rule: Literal["may change", "may move"]
    """Change, since it changes nothing that is learned but for the rounding of another device; or
    name another folder, but neither appear nor vanish."""


T = TypeVar("T")
MayChange: TypeAlias = Annotated[T, OnResume("may change")]
MayMove: TypeAlias = Annotated[T, OnResume("may move")]


def resume_rule(config: Config, key: str) -> str | None:
    """The rule of the outermost field on the way to a dotted key that has one."""
    node: object = config
    for part in key.split("."):
        if isinstance(node, Config) and part in type(node).model_fields:
            notes = type(node).model_fields[part].metadata
            if rules := [note.rule for note in notes if isinstance(note, OnResume)]:
                return rules[0]
            node = getattr(node, part)
        elif isinstance(node, tuple) and part.isdigit() and int(part) < len(node):
            node = node[int(part)]
        else:
            return None
    return None


def reason_of(message: str) -> str:
    """What pydantic says about a value, in the words of this project's errors."""
    return message.removeprefix("Value error, ").replace("Input should be", "expected")


def with_defaults(model: type[Config], values: dict[str, Any]) -> dict[str, Any]:
    """Values as an older version wrote them, with the defaults of keys that came later.

    Where they no longer make a configuration they come back as they are.
    """
    try:
        return model.model_validate(values).model_dump(mode="json")
    except ValidationError:
        return values


class GridConfig(Config):
    """Field of view in the lidar frame and the 2D grids that a WaffleIron projects onto.

    Layer ``l`` projects along axis ``axes[l % 3]`` onto ``planes[l % 3]``; the plane is spanned by
    the two remaining axes in increasing order.

    References:
        ScaLR (CVPR 2024), supplementary: +-64 m, +-64 m, +-8 m in cells of 0.5 m.
    """

    fov_min: tuple[float, float, float] = (-64.0, -64.0, -8.0)  # metres
    fov_max: tuple[float, float, float] = (64.0, 64.0, 8.0)  # metres
    axes: tuple[int, ...] = (2, 1, 0)  # axis projected out
    planes: tuple[Size, ...] = ((256, 256), (256, 32), (256, 32))  # cells per plane

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(low >= high for low, high in zip(self.fov_min, self.fov_max, strict=True)):
            msg = f"fov_min {self.fov_min} must lie below fov_max {self.fov_max} on every axis"
            raise ValueError(msg)
        if len(self.axes) != len(self.planes) or not set(self.axes) <= {0, 1, 2}:
            msg = f"axes {self.axes} must be 0, 1 or 2, one for each plane of {self.planes}"
            raise ValueError(msg)
        if len(self.planes) > _MAX_PLANES or max(h * w for h, w in self.planes) > MAX_CELLS:
            msg = f"expected at most {_MAX_PLANES} planes of at most {MAX_CELLS} cells each"
            raise ValueError(msg)
        return self
