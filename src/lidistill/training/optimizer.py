"""The optimiser, as configuration: one rate for all, or rates that fall with the depth."""

from typing import Annotated, Any, Protocol, TypeAlias, runtime_checkable

import torch
from pydantic import Field
from torch import nn

from lidistill.config import Config

_Beta: TypeAlias = Annotated[float, Field(ge=0, lt=1)]


@runtime_checkable
class Layered(Protocol):
    """A module that knows how deep each of its parameters lies."""

    @property
    def num_layers(self) -> int:
        """Layers of the network, without its embedding and without a head."""
        ...

    def layer_of(self, parameter_name: str) -> int:
        """Depth of a parameter: embedding 0, layer l at l + 1, head ``num_layers + 1``."""
        ...


class OptimizerConfig(Config):
    """AdamW; one weight decay for every parameter, as in the papers, unless the layers decay."""

    lr: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.03
    layer_decay: Annotated[float, Field(gt=0, le=1)] | None = None
    """Factor of the learning rate from each layer to the one below; see ``layer_groups``."""
    betas: tuple[_Beta, _Beta] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    clip_norm: Annotated[float, Field(gt=0)] | None = None  # of the whole gradient

    def build(self, module: nn.Module) -> torch.optim.AdamW:
        """AdamW over the parameters of a module that require a gradient."""
        parameters: Any = [p for p in module.parameters() if p.requires_grad]
        if self.layer_decay is not None:
            assert isinstance(module, Layered)  # noqa: S101  a distillation's recipe refuses it
            parameters = layer_groups(module, self.layer_decay, self.weight_decay)
        return torch.optim.AdamW(
            parameters,
            lr=self.lr,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
            fused=True,
        )


def layer_groups(
    module: nn.Module, layer_decay: float, weight_decay: float
) -> list[dict[str, Any]]:
    """Parameter groups whose learning rate falls from the head down to the embedding.

    Args:
        module: A ``Layered`` module.
        layer_decay: Factor from each layer to the one below.
        weight_decay: Of all parameters but biases and those of normalisations, which have none.

    Returns:
        Groups in the order of depth. ``lr_scale``, which the loop multiplies the scheduled rate
        by, is ``layer_decay ** (num_layers + 1 - depth)``: 1 for a head.

    References:
        Clark et al., "ELECTRA", ICLR 2020, section 3; ScaLR (CVPR 2024), fine-tuning.
    """
    assert isinstance(module, Layered)  # noqa: S101  see build
    groups: dict[tuple[int, bool], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        if parameter.requires_grad:
            key = (module.layer_of(name), _decays(name, parameter))
            groups.setdefault(key, []).append(parameter)
    return [
        {
            "params": groups[depth, decays],
            "lr_scale": layer_decay ** (module.num_layers + 1 - depth),
            "weight_decay": weight_decay if decays else 0.0,
        }
        for depth, decays in sorted(groups)
    ]


def _decays(name: str, parameter: nn.Parameter) -> bool:
    """Vectors do not decay: biases and normalisations. A layer scale is a kernel of size 1."""
    return parameter.ndim > 1 or name.rsplit(".", 1)[-1] == "scale"
