"""The field of view of a WaffleIron, and the 2D grids that it projects points onto."""

from typing import Final, Self

from pydantic import model_validator

from lidistill.config import Config, Size
from lidistill.samples.preparer import FieldOfView

_MAX_CELLS: Final = 1 << 22  # of one plane; the papers' largest has 65,536
_MAX_PLANES: Final = 16


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

    @property
    def field_of_view(self) -> FieldOfView:
        """The box that points must lie in."""
        return FieldOfView(low=self.fov_min, high=self.fov_max)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if any(low >= high for low, high in zip(self.fov_min, self.fov_max, strict=True)):
            msg = f"fov_min {self.fov_min} must lie below fov_max {self.fov_max} on every axis"
            raise ValueError(msg)
        if len(self.axes) != len(self.planes) or not set(self.axes) <= {0, 1, 2}:
            msg = f"axes {self.axes} must be 0, 1 or 2, one for each plane of {self.planes}"
            raise ValueError(msg)
        if len(self.planes) > _MAX_PLANES or max(h * w for h, w in self.planes) > _MAX_CELLS:
            msg = f"expected at most {_MAX_PLANES} planes of at most {_MAX_CELLS} cells each"
            raise ValueError(msg)
        return self
