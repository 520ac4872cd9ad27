"""A WaffleIron for evaluation only: everything affine is folded, and no gradients are kept.

Shape letters: M points of a packed batch, K neighbours, F input channels, C channels.
"""

from dataclasses import replace

import torch
from torch import Tensor, nn

from lidistill.backbones.base import Backbone, own_inputs
from lidistill.backbones.waffleiron.cpu.fused_layer import layer_in_place
from lidistill.backbones.waffleiron.depthwise import occupied_convs
from lidistill.backbones.waffleiron.edge_max import edge_max
from lidistill.backbones.waffleiron.embedding import Embedding
from lidistill.backbones.waffleiron.fast_paths import passes_for, path_name, product_format
from lidistill.backbones.waffleiron.inputs import WaffleInputs, WafflePreparer, build_planes
from lidistill.backbones.waffleiron.layer import LayerForm, LayerWeights, plain_layer
from lidistill.backbones.waffleiron.plane import Flatten, Plane
from lidistill.records import Batch
from lidistill.row_padding import with_padded_rows


class FoldedEmbedding(nn.Module):
    """Three matrices instead of three BatchNorms and four linear layers.

    The point branch has no activation before the merge, so both are one small matrix.

    Args:
        embed: In whatever mode; its running statistics count.
    """

    def __init__(self, embed: Embedding) -> None:
        super().__init__()
        scale_F, shift_F, affine_CF, bias_C = embed.evaluation_affine()
        left_CC, right_CC = embed.merge.weight.double().chunk(2, dim=1)
        point_CF = left_CC @ embed.point_weight().double()
        constant_C = point_CF @ shift_F + left_CC @ embed.point.bias.double()
        matrices = {
            "point": point_CF * scale_F,
            "point_bias": constant_C + embed.merge.bias.double(),
            "difference": affine_CF,
            "difference_bias": bias_C,
            "neighbor": embed.neighbor.weight,
            "merge": right_CC,
        }
        for name, matrix in matrices.items():
            self.register_buffer(name, matrix.to(embed.merge.weight.dtype, copy=True))

    def forward(self, features_MF: Tensor, neighbors_MK1: Tensor, dtype: torch.dtype) -> Tensor:
        """(M, C) embedding; see ``Embedding.forward``."""
        get, device = self.get_buffer, features_MF.device.type
        dtype = product_format(device, dtype)
        point_MC = torch.addmm(get("point_bias"), features_MF, get("point").t())
        edges_KMF = features_MF[neighbors_MK1[:, 1:].t()] - features_MF
        with torch.autocast(device, dtype=dtype, enabled=dtype != features_MF.dtype):
            affine = get("difference"), get("difference_bias")
            near_MC = edge_max(edges_KMF, *affine, get("neighbor"))
        merge_CC = get("merge").to(dtype)
        return point_MC.add_(with_padded_rows(lambda near: near @ merge_CC.t(), near_MC.to(dtype)))


class FoldedLayer(nn.Module):
    """Spatial mix and channel mix of one layer.

    Args:
        weights: Folded weights.
        form: Activation, norms and number format.
    """

    def __init__(self, weights: LayerWeights, form: LayerForm) -> None:
        super().__init__()
        self.form = form
        matrices = ("first", "second")
        for name, tensor in weights._asdict().items():
            dtype = form.dtype if name in matrices else tensor.dtype
            stored = torch.empty_like(tensor, dtype=dtype, memory_format=torch.contiguous_format)
            self.register_buffer(name, stored.copy_(tensor.detach()))

    def forward(
        self, tokens_MC: Tensor, plane: Plane, flat_OC: Tensor | None, following: Plane | None
    ) -> tuple[Tensor, Tensor | None]:
        """Points (M, C), and what ``layer_in_place`` hands on; it overwrites the given points."""
        weights = LayerWeights(*(self.get_buffer(name) for name in LayerWeights._fields))
        dtype = product_format(tokens_MC.device.type, self.form.dtype)
        passes, form = passes_for(tokens_MC, dtype), replace(self.form, dtype=dtype)
        if passes is not None:
            flat_OC = layer_in_place(
                tokens_MC,
                weights,
                plane,
                form,
                flat=flat_OC,
                following=following,
                passes=passes,
            )
            return tokens_MC, flat_OC
        low = form.dtype != tokens_MC.dtype
        with torch.autocast(tokens_MC.device.type, dtype=form.dtype, enabled=low):
            return plain_layer(tokens_MC, weights, plane, form, convs=occupied_convs), None


class FoldedWaffleIron(Backbone):
    """What ``WaffleIron.for_inference`` returns.

    Args:
        embed: First stage.
        layers: All others.
        preparer: Makes its inputs.
        flatten: How points become cells.
    """

    def __init__(
        self,
        embed: FoldedEmbedding,
        layers: list[FoldedLayer],
        preparer: WafflePreparer,
        *,
        flatten: Flatten,
    ) -> None:
        super().__init__()
        self.embed = embed
        self.layers = nn.ModuleList(layers)
        self.grid = preparer.grid
        self.channels = preparer.channels
        self.flatten = flatten
        self.num_layers = len(layers)
        self.num_channels = len(embed.get_buffer("merge"))
        self.dtype = layers[0].form.dtype
        self.eval()

    @torch.no_grad()
    def forward(self, batch: Batch) -> Tensor:
        """See ``Backbone.forward``; without gradients."""
        with torch.autocast(batch.features.device.type, enabled=False):
            tokens_MC = self.embed(
                batch.features, own_inputs(batch, WaffleInputs).neighbors, self.dtype
            )
            planes = build_planes(batch, self.grid, self.num_layers, self.flatten)
            flat_OC: Tensor | None = None
            for i, layer in enumerate(self.layers):
                last = i + 1 == self.num_layers
                following = None if last else planes[(i + 1) % len(planes)]
                tokens_MC, flat_OC = layer(tokens_MC, planes[i % len(planes)], flat_OC, following)
        return tokens_MC

    def path_taken(self, device: torch.device, *, who: str = "student") -> str:
        """See ``Backbone.path_taken``; the caller's autocast plays no part here."""
        dtype = product_format(device.type, self.dtype)
        return f"{who}: {path_name(device, dtype, self.num_channels)}, with its norms folded"

    def layer_of(self, parameter_name: str) -> int:
        """See ``Backbone.layer_of``; there is nothing to train here."""
        raise KeyError(parameter_name)
