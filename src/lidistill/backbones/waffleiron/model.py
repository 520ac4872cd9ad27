"""WaffleIron: alternating 2D convolutions on projected points and perceptrons on the points.

Shape letters: M points of a packed batch, B scans, O cells in use, C channels, L layers.
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lidistill.backbones.base import Backbone, ExportForm, own_inputs
from lidistill.backbones.waffleiron.config import WaffleIronKeys
from lidistill.backbones.waffleiron.cpu.fused_layer import fused_layer
from lidistill.backbones.waffleiron.depthwise import (
    Activation,
    activate,
    dense_convs,
    occupied_convs,
)
from lidistill.backbones.waffleiron.embedding import Embedding
from lidistill.backbones.waffleiron.fast_paths import (
    fast_products,
    passes_for,
    path_name,
    product_dtype,
)
from lidistill.backbones.waffleiron.flatten_inflate import flatten_points, inflate_cells
from lidistill.backbones.waffleiron.folded import FoldedEmbedding, FoldedLayer, FoldedWaffleIron
from lidistill.backbones.waffleiron.graph import export_form
from lidistill.backbones.waffleiron.inputs import WaffleInputs, build_planes
from lidistill.backbones.waffleiron.layer import (
    LayerForm,
    LayerParameters,
    LayerWeights,
    fold_convs,
)
from lidistill.backbones.waffleiron.plane import Plane
from lidistill.distributed.all_reduce import SyncedBatchNorm, place_among_ranks
from lidistill.records import Batch


class WaffleIronConfig(WaffleIronKeys):
    """See ``WaffleIronKeys``."""

    def build(self) -> "WaffleIron":
        """Network with fresh weights."""
        return WaffleIron(self)


def _norm(config: WaffleIronConfig) -> nn.Module:
    return (nn.LayerNorm if config.norm == "layer" else SyncedBatchNorm)(config.width)


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
        kernels, biases = self.folded()
        cells_OC = flatten_points(self.norm(tokens_MC), plane)
        with torch.autocast(cells_OC.device.type, enabled=False):
            cells_OC = self.convs(cells_OC, kernels, biases, plane, activation=self.activation)
        if keep_B is not None:
            cells_OC = cells_OC * keep_B[plane.scan, None]
        return inflate_cells(cells_OC, plane)

    def folded(self) -> tuple[Tensor, Tensor]:
        """Kernels (2, 9, C) and biases (2, C); the layer scale is part of the second."""
        return fold_convs(*self.convolutions(), self.scale)

    def convolutions(self) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Kernel (C, 1, 3, 3) and bias (C,) of both."""
        first, second = self.conv1, self.conv2
        biases = first.get_parameter("bias"), second.get_parameter("bias")
        return (first.weight, biases[0]), (second.weight, biases[1])


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
        self.fusable = config.spatial == "occupied" and config.norm == "layer"

    def forward(
        self, tokens_MC: Tensor, plane: Plane, keep_2B: Tensor | None, scan_M: Tensor
    ) -> Tensor:
        """(M, C) tokens; the residual stream stays in float32 under autocast."""
        dtype = product_dtype(tokens_MC.device.type)
        passes = passes_for(tokens_MC, dtype) if self.fusable and dtype is not None else None
        if passes is not None and dtype is not None:
            keep = None if keep_2B is None else (keep_2B[0][plane.scan], keep_2B[1][scan_M])
            weights, form = self.weights(), self.form(dtype)
            return fused_layer(tokens_MC, weights, plane, form, keep, passes=passes)
        keep_B = None if keep_2B is None else keep_2B[0]
        keep_M1 = None if keep_2B is None else keep_2B[1][scan_M, None]
        tokens_MC = tokens_MC + self.spatial(tokens_MC, plane, keep_B)
        return tokens_MC + self.channel(tokens_MC, keep_M1)

    def form(self, dtype: torch.dtype) -> LayerForm:
        """What the layer computes, apart from its weights, with its norms folded."""
        norm = self.channel.norm
        eps = norm.eps if isinstance(norm, nn.LayerNorm) else -1.0
        return LayerForm(activation=self.channel.activation, eps=eps, dtype=dtype)

    def weights(self) -> LayerParameters:
        """What the layer has to train; a BatchNorm's part in its evaluation form."""
        spatial, channel = self.spatial, self.channel
        first, second = spatial.convolutions()
        linear1, linear2 = channel.linear1, channel.linear2
        return LayerParameters(
            *_affine(spatial.norm),
            *first,
            *second,
            spatial.scale,
            *_affine(channel.norm),
            *(linear1.weight, linear1.bias, linear2.weight, linear2.bias),
            channel.scale,
        )

    def folded(self) -> LayerWeights:
        """Weights with all that is affine folded in."""
        with torch.autocast(self.channel.scale.device.type, enabled=False):
            return self.weights().folded()


def _affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Gain and shift (C,) of a norm; of a BatchNorm, all there is of it in evaluation."""
    gain: Tensor = norm.get_parameter("weight")
    shift: Tensor = norm.get_parameter("bias")
    if isinstance(norm, nn.BatchNorm1d):
        gain = gain * torch.rsqrt(norm.get_buffer("running_var") + norm.eps)
        shift = shift - gain * norm.get_buffer("running_mean")
    return gain, shift


class WaffleIron(Backbone):
    """See ``WaffleIronConfig``.

    A point with a negative cell ``-1 - c`` reads cell c of its grid without filling it.
    """

    has_16_bits = True

    def __init__(self, config: WaffleIronConfig) -> None:
        super().__init__()
        self.config = config
        self.num_channels = config.width
        self.num_layers = config.depth
        self.channels = config.channels
        relative = [config.channels.index(name) for name in config.relative]
        self.embed = Embedding(len(config.channels), config.width, relative)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.depth))

    def planes(self, batch: Batch) -> list[Plane]:
        """Index tables of every plane of the grid, built once per batch."""
        return build_planes(batch, self.config.grid, self.num_layers, self.config.flatten)

    @torch.no_grad()
    def for_inference(self, dtype: torch.dtype = torch.float32) -> FoldedWaffleIron:
        """A copy for evaluation only, with everything affine folded; later training leaves it.

        Args:
            dtype: Number format of the matrix products; the residual stream stays in float32.
                The outputs differ from those of ``eval()`` by rounding only.
        """
        embed = FoldedEmbedding(self.embed)
        layers = [cast("Layer", layer) for layer in self.layers]
        folded = [FoldedLayer(layer.folded(), layer.form(dtype)) for layer in layers]
        return FoldedWaffleIron(embed, folded, self.config.inputs(), flatten=self.config.flatten)

    def export_form(self, dtype: torch.dtype = torch.float32) -> ExportForm:
        """See ``Backbone.export_form``."""
        return export_form(self.for_inference(), self.config.num_neighbors, dtype)

    def draw_kept(self, num_scans: int, device: torch.device) -> Tensor:
        """(2 L, B) one draw per mix and scan: 1 where its residual is kept, 0 where it is not.

        Every process draws for the scans of all of them, so that their number changes nothing.
        """
        first, total = place_among_ranks(num_scans, device)
        probability = torch.full(
            (2 * self.num_layers, total), 1 - self.config.drop_path, device=device
        )
        return torch.bernoulli(probability)[:, first : first + num_scans]

    def forward(self, batch: Batch) -> Tensor:
        """See ``Backbone.forward``."""
        with fast_products(batch.features.device.type):
            return self._points(batch)

    def _points(self, batch: Batch) -> Tensor:
        """(M, C) features in the formats of the caller's autocast."""
        tokens_MC = self.embed(batch.features, own_inputs(batch, WaffleInputs).neighbors)
        planes, scan_M = self.planes(batch), batch.scan_index()
        keep_L2B: Tensor | None = None
        if self.training and self.config.drop_path > 0:
            kept = self.draw_kept(batch.num_scans, tokens_MC.device)
            keep_L2B = kept.reshape(self.num_layers, 2, -1) / (1 - self.config.drop_path)
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

    def path_taken(self, device: torch.device, *, who: str = "student") -> str:
        """See ``Backbone.path_taken``."""
        dtype = product_dtype(device.type)
        embedding = path_name(device, dtype, self.num_channels)
        layers = embedding
        if not cast("Layer", self.layers[0]).fusable:
            layers = (
                "the definition in PyTorch, since norm=batch and spatial=dense have no fast path"
            )
        return f"{who}'s embedding: {embedding}; its {self.num_layers} layers: {layers}"

    def layer_of(self, parameter_name: str) -> int:
        """See ``Backbone.layer_of``."""
        parts = self.parts_of(parameter_name)
        return 0 if parts[0] == "embed" else int(parts[1]) + 1
