"""WaffleIron: alternating 2D convolutions on projected points and perceptrons on the points.

Shape letters: M points of a packed batch, B scans, O cells in use, C channels, L layers.
"""

from typing import Annotated, Literal, TypeAlias

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lidistill.backbones.base import Backbone
from lidistill.backbones.embedding import Embedding
from lidistill.config import Config, GridConfig
from lidistill.ops.flatten_inflate import (
    Flatten,
    Plane,
    build_plane,
    flatten_points,
    inflate_cells,
)
from lidistill.ops.occupied import Activation, activate, dense_convs, occupied_convs
from lidistill.structures import Batch

NormName: TypeAlias = Literal["layer", "batch"]


class WaffleIronConfig(Config):
    """WaffleIron WI-depth-width.

    References:
        Puy, Boulch, Marlet, "Using a Waffle Iron for Automotive Point Cloud Semantic
        Segmentation", ICCV 2023; ScaLR (CVPR 2024) for the widths 256, 384 and 768.
    """

    kind: Literal["waffleiron"] = "waffleiron"
    in_channels: Annotated[int, Field(ge=1)] = 5
    width: Annotated[int, Field(ge=1)] = 256
    depth: Annotated[int, Field(ge=1)] = 48
    activation: Activation = "relu"  # in the layers; the embedding always has ReLU
    norm: NormName = "layer"
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0  # the same for every layer
    flatten: Flatten = "mean"
    layer_scale_init: Literal["uniform"] | float = "uniform"  # uniform in (-1, 1), or a constant
    spatial: Literal["occupied", "dense"] = "occupied"  # equal results; dense is the slow twin
    checkpointing: bool = False  # recompute each layer in the backward pass to save memory
    grid: GridConfig = GridConfig()

    def build(self) -> "WaffleIron":
        """Network with fresh weights."""
        return WaffleIron(self)


def _norm(config: WaffleIronConfig) -> nn.Module:
    return (nn.LayerNorm if config.norm == "layer" else nn.BatchNorm1d)(config.width)


def _layer_scale(config: WaffleIronConfig) -> nn.Parameter:
    scale = torch.empty(config.width)
    if config.layer_scale_init == "uniform":
        return nn.Parameter(nn.init.uniform_(scale, -1, 1))
    return nn.Parameter(nn.init.constant_(scale, config.layer_scale_init))


class SpatialMix(nn.Module):
    """Residual of one layer's convolutions on its plane."""

    def __init__(self, config: WaffleIronConfig) -> None:
        super().__init__()
        self.norm = _norm(config)
        width = config.width
        self.conv1 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.scale = _layer_scale(config)
        self.activation: Activation = config.activation
        self.convs = occupied_convs if config.spatial == "occupied" else dense_convs

    def forward(self, tokens_MC: Tensor, plane: Plane, keep_B: Tensor | None) -> Tensor:
        """(M, C) residual; ``keep_B`` is the factor of each scan under stochastic depth."""
        # The layer scale acts on each channel alone, so it can act on the last kernel.
        scaled = self.conv2.weight * self.scale[:, None, None, None]
        kernels = torch.stack([self.conv1.weight, scaled]).flatten(2).transpose(1, 2)
        biases = torch.stack(
            [self.conv1.get_parameter("bias"), self.conv2.get_parameter("bias") * self.scale]
        )
        cells_OC = flatten_points(self.norm(tokens_MC), plane)
        with torch.autocast(cells_OC.device.type, enabled=False):
            cells_OC = self.convs(cells_OC, kernels, biases, plane, activation=self.activation)
        if keep_B is not None:
            cells_OC = cells_OC * keep_B[plane.scan, None]
        return inflate_cells(cells_OC, plane)


class ChannelMix(nn.Module):
    """Residual of one layer's perceptron."""

    def __init__(self, config: WaffleIronConfig) -> None:
        super().__init__()
        self.norm = _norm(config)
        self.linear1 = nn.Linear(config.width, config.width)
        self.linear2 = nn.Linear(config.width, config.width)
        self.scale = _layer_scale(config)
        self.activation: Activation = config.activation

    def forward(self, tokens_MC: Tensor, keep_M1: Tensor | None) -> Tensor:
        """(M, C) residual; ``keep_M1`` is the factor of each point under stochastic depth."""
        hidden_MC = activate(self.linear1(self.norm(tokens_MC)), self.activation)
        weight = self.linear2.weight * self.scale[:, None]
        residual_MC = F.linear(hidden_MC, weight, self.linear2.bias * self.scale)
        return residual_MC if keep_M1 is None else residual_MC * keep_M1


class Layer(nn.Module):
    """Spatial mix, then channel mix, both residual."""

    def __init__(self, config: WaffleIronConfig) -> None:
        super().__init__()
        self.spatial = SpatialMix(config)
        self.channel = ChannelMix(config)

    def forward(
        self, tokens_MC: Tensor, plane: Plane, keep_2B: Tensor | None, scan_M: Tensor
    ) -> Tensor:
        """(M, C) tokens; the residual stream stays in float32 under autocast."""
        keep_B = None if keep_2B is None else keep_2B[0]
        keep_M1 = None if keep_2B is None else keep_2B[1][scan_M, None]
        tokens_MC = tokens_MC + self.spatial(tokens_MC, plane, keep_B)
        return tokens_MC + self.channel(tokens_MC, keep_M1)


class WaffleIron(Backbone):
    """See ``WaffleIronConfig``.

    A point with a negative cell ``-1 - c`` reads cell c of its grid without filling it.
    """

    def __init__(self, config: WaffleIronConfig) -> None:
        super().__init__()
        self.config = config
        self.num_channels = config.width
        self.num_layers = config.depth
        self.grid = config.grid
        self.embed = Embedding(config.in_channels, config.width)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.depth))

    def planes(self, batch: Batch) -> list[Plane]:
        """Index tables of every plane of the grid, built once per batch."""
        found, expected = batch.cells.shape[1], len(self.grid.planes)
        if found != expected:
            msg = f"the batch has the cells of {found} grids, this backbone needs {expected}"
            raise ValueError(msg)
        scan = batch.scan_index()
        return [
            build_plane(
                batch.cells[:, i],
                scan,
                num_scans=batch.num_scans,
                size_hw=size,
                flatten=self.config.flatten,
            )
            for i, size in enumerate(self.grid.planes[: self.num_layers])
        ]

    def draw_kept(self, num_scans: int, device: torch.device) -> Tensor:
        """(2 L, B) one draw per mix and scan: 1 where its residual is kept, 0 where it is not."""
        probability = torch.full(
            (2 * self.num_layers, num_scans), 1 - self.config.drop_path, device=device
        )
        return torch.bernoulli(probability)

    def forward(self, batch: Batch) -> Tensor:
        """See ``Backbone.forward``."""
        tokens_MC = self.embed(batch.features, batch.neighbors)
        planes, scan_M = self.planes(batch), batch.scan_index()
        keep_L2B: Tensor | None = None
        if self.training and self.config.drop_path > 0:
            kept = self.draw_kept(batch.num_scans, tokens_MC.device)
            keep_L2B = kept.view(self.num_layers, 2, -1) / (1 - self.config.drop_path)
        recompute = self.config.checkpointing and torch.is_grad_enabled()
        for i, layer in enumerate(self.layers):
            inputs = (
                tokens_MC,
                planes[i % len(planes)],
                None if keep_L2B is None else keep_L2B[i],
                scan_M,
            )
            if recompute:
                # No layer draws random numbers of its own, so no generator has to be restored.
                tokens_MC = checkpoint(
                    layer, *inputs, use_reentrant=False, preserve_rng_state=False
                )
            else:
                tokens_MC = layer(*inputs)
        return tokens_MC

    def layer_of(self, parameter_name: str) -> int:
        """See ``Backbone.layer_of``."""
        try:
            self.get_parameter(parameter_name)
        except AttributeError as error:
            raise KeyError(parameter_name) from error
        parts = parameter_name.split(".")
        return 0 if parts[0] == "embed" else int(parts[1]) + 1
