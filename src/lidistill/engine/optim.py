"""The optimiser, as configuration."""

from typing import Annotated, TypeAlias

import torch
from pydantic import Field
from torch import nn

from lidistill.config import Config

_Beta: TypeAlias = Annotated[float, Field(ge=0, lt=1)]


class OptimizerConfig(Config):
    """AdamW; one weight decay for every parameter, as in the papers."""

    lr: Annotated[float, Field(gt=0)] = 2e-3
    weight_decay: Annotated[float, Field(ge=0)] = 0.03
    betas: tuple[_Beta, _Beta] = (0.9, 0.999)
    eps: Annotated[float, Field(gt=0)] = 1e-8
    clip_norm: Annotated[float, Field(gt=0)] | None = None  # of the whole gradient

    def build(self, module: nn.Module) -> torch.optim.AdamW:
        """AdamW over the parameters of a module that require a gradient."""
        parameters = [p for p in module.parameters() if p.requires_grad]
        return torch.optim.AdamW(
            parameters,
            lr=self.lr,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay,
            fused=True,
        )
