"""Keys of a WaffleIron in recipes: those of today, and those that older versions wrote."""

from abc import ABC
from typing import Annotated, Any, Final, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from lidistill.backbones.base import BackboneSettings, NetworkCost
from lidistill.backbones.waffleiron.depthwise import Activation
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.inputs import WafflePreparer
from lidistill.backbones.waffleiron.plane import Flatten
from lidistill.backbones.waffleiron.plane_tables import PlaneForm
from lidistill.reading.names import shown
from lidistill.samples.preparer import CHANNELS, Channel

_MAX_WEIGHTS = 1 << 31
"""Weights of the perceptrons; those of WI-48-768 have 57 million."""

NormName: TypeAlias = Literal["layer", "batch"]


FORMER_KEYS: Final[dict[str, dict[str, str]]] = {
    "pretrain": {"data.sampling.num_neighbors": "backbone.num_neighbors"},
    "probe": {"sampling.num_neighbors": "network.num_neighbors", "grid": "network.grid"},
    "finetune": {
        "sampling.num_neighbors": "network.num_neighbors",
        "grid": "network.grid",
        "drop_path": "network.drop_path",
    },
}
"""Former and present name of each key, by the kind of recipe; once this was the only network."""

_NOT_LEGACY: Final = {"num_neighbors": 16}


class WaffleIronKeys(BackboneSettings, ABC):
    """All that a WaffleIron WI-depth-width can be asked for; ``WaffleIronConfig`` builds it.

    References:
        Puy, Boulch, Marlet, "Using a Waffle Iron for Automotive Point Cloud Semantic
        Segmentation", ICCV 2023; ScaLR (CVPR 2024) for the widths 256, 384 and 768.
    """

    kind: Literal["waffleiron"] = "waffleiron"
    channels: Annotated[tuple[Channel, ...], Field(min_length=1)] = CHANNELS
    """Input channels: any of ``intensity``, ``x``, ``y``, ``z``, ``radius``, ``height`` and
    ``intensity_rank``, in any order."""
    relative: tuple[Channel, ...] = ()
    """Channels of which the network sees only how a point's neighbours differ from it."""
    num_neighbors: Annotated[int, Field(ge=1, le=1024)] = 16  # K
    width: Annotated[int, Field(ge=1, le=8192)] = 256
    depth: Annotated[int, Field(ge=1, le=512)] = 48
    activation: Activation = "relu"  # in the layers; the embedding always has ReLU
    norm: NormName = "layer"
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0  # the same for every layer
    flatten: Flatten = "mean"
    layer_scale_init: Literal["uniform"] | float = "uniform"  # uniform in (-1, 1), or a constant
    spatial: Literal["occupied", "dense"] = "occupied"  # equal results; dense is the slow twin
    checkpointing: bool = False  # recompute each layer in the backward pass to save memory
    grid: GridConfig = GridConfig()

    @model_validator(mode="before")
    @classmethod
    def _named_channels(cls, values: Any) -> Any:
        """Older versions counted the channels, and there was one choice of them."""
        if not isinstance(values, dict) or "in_channels" not in values:
            return values
        if values["in_channels"] != len(CHANNELS):
            msg = (
                f"in_channels={shown(values['in_channels'])}: name the channels instead, "
                f"channels: [{', '.join(CHANNELS)}] or some of them"
            )
            raise ValueError(msg)
        rest = {key: value for key, value in values.items() if key != "in_channels"}
        return {"channels": CHANNELS} | rest

    @model_validator(mode="after")
    def _fits_a_machine(self) -> Self:
        if len(set(self.channels)) != len(self.channels):
            msg = f"channels {', '.join(self.channels)}: name each once"
            raise ValueError(msg)
        if not set(self.relative) <= set(self.channels):
            named, known = (", ".join(names) for names in (self.relative, self.channels))
            msg = f"relative {named}: name only channels, {known}"
            raise ValueError(msg)
        products = 2 * self.depth * self.width**2
        if products > _MAX_WEIGHTS:
            msg = (
                f"a network of depth {self.depth} and width {self.width} has {products:,} weights; "
                f"expected at most {_MAX_WEIGHTS:,}"
            )
            raise ValueError(msg)
        return self

    def inputs(self) -> WafflePreparer:
        """See ``BackboneSettings.inputs``."""
        sizes = self.grid.planes[: self.depth]
        return WafflePreparer(
            channels=self.channels,
            grid=self.grid,
            num_neighbors=self.num_neighbors,
            form=PlaneForm(sizes=sizes, flatten=self.flatten),
        )

    def cost(self, num_points: int) -> NetworkCost:
        """See ``BackboneSettings.cost``; a layer fills all channels of its plane, in float32."""
        integers = 1 + self.num_neighbors + len(self.grid.planes)
        widest = max(height * width for height, width in self.grid.planes)
        row = 4 * len(self.channels) + 8 * integers
        return NetworkCost(inputs=row * num_points, working=4 * widest * self.width)

    def shallow(self) -> tuple[Self, Self, float]:
        """See ``BackboneSettings.shallow``; each plane has its turn once, or twice."""
        planes = len(self.grid.planes)
        first, second = (self.model_copy(update={"depth": n * planes}) for n in (1, 2))
        return first, second, (self.depth - planes) / planes


def is_legacy_default(key: str, value: Any) -> bool:
    """Whether a change to a network stands in a run's recipe only as an older version's default."""
    return key in _NOT_LEGACY and _NOT_LEGACY[key] == value
