"""A network of serialised attention: down through coarser cells and back up, as its plan says.

Shape letters: M points, N cells of a level, C channels.
"""

import functools
import itertools
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from lidistill.backbones.base import Backbone, own_inputs
from lidistill.backbones.litept.attention import Arrangement, arranged
from lidistill.backbones.litept.blocks import (
    Block,
    BlockPlan,
    Keep,
    Place,
    Pooling,
    Stem,
    Unpooling,
)
from lidistill.backbones.litept.config import SerializedKeys
from lidistill.backbones.litept.inputs import SerializedInputs
from lidistill.backbones.litept.levels import Level
from lidistill.backbones.litept.orders import ORDERS
from lidistill.backbones.litept.patches import patches
from lidistill.backbones.litept.rotary import rotation
from lidistill.distributed.all_reduce import place_among_ranks
from lidistill.records import Batch


class Stage(nn.Module):
    """The blocks of a level, behind what leads to it."""

    def __init__(self, entry: nn.Module | None, plans: Sequence[BlockPlan]) -> None:
        super().__init__()
        self.entry = entry
        self.blocks = nn.ModuleList(Block(plan) for plan in plans)

    def forward(
        self, x_NC: Tensor, place: Place, keep: Keep, around_NC: Tensor | None = None
    ) -> Tensor:
        """(N, C) features after the blocks; the first one's convolution may read others."""
        for number, block in enumerate(self.blocks):
            x_NC = block(x_NC, place, number, keep, None if number else around_NC)
        return x_NC


class SerializedNetwork(Backbone):
    """LitePT or Point Transformer V3; see ``LitePTConfig`` and ``PTv3Config``.

    A cell takes the channels of its first point, and all of its points get its features.
    """

    why_no_export = (
        "reads orders of cells, patches and kernel maps, each as long as the scan makes it, where "
        "graphs here have one length, the number of points"
    )

    def __init__(self, config: SerializedKeys) -> None:
        super().__init__()
        self.config = config
        self.channels = config.channels
        self.num_channels = config.decoder_widths[0]
        plan = self.plan = config.plan()
        widths, ups = config.widths, config.decoder_widths
        momentum = config.norm_momentum
        self.stem = Stem(len(config.channels), widths[0], momentum)
        downs = [None, *(Pooling(a, b, momentum) for a, b in itertools.pairwise(widths))]
        self.encoder = nn.ModuleList(map(Stage, downs, plan.encoder))
        shapes = zip((*ups[1:], widths[-1]), widths, ups, strict=False)
        self.decoder = nn.ModuleList(
            Stage(Unpooling(*shape, momentum), blocks)
            for shape, blocks in zip(shapes, plan.decoder, strict=True)
        )
        self.num_layers = sum(len(stage.blocks) for stage in self._stages(self.encoder)) + sum(
            max(1, len(stage.blocks)) for stage in self._stages(self.decoder)
        )
        gains = [config.intensity_gain if name == "intensity" else 1.0 for name in self.channels]
        shifts = [config.intensity_shift if name == "intensity" else 0.0 for name in self.channels]
        self.gain: Tensor
        self.shift: Tensor
        self.register_buffer("gain", torch.tensor(gains), persistent=False)
        self.register_buffer("shift", torch.tensor(shifts), persistent=False)

    @property
    def shown_name(self) -> str:
        """See ``Backbone.shown_name``."""
        return type(self.config).__name__.removesuffix("Config")

    @staticmethod
    def _stages(stages: nn.ModuleList) -> list[Stage]:
        return [cast("Stage", stage) for stage in stages]

    def draw_permutations(self, count: int) -> list[list[int]]:
        """For so many levels, a permutation of the orders, by the CPU's generator.

        Every process of a run draws the same.
        """
        return [torch.randperm(len(ORDERS)).tolist() for _ in range(count)]

    def draw_kept(self, rows: int, place: tuple[int, int], rate: float) -> Tensor:
        """(rows,) draws: 1 where a residual is kept, 0 where it is not.

        Every process draws for the rows of all of them, so that their number changes nothing.

        Args:
            rows: Of this process.
            place: Where they begin among those of all, and how many all have.
            rate: How often a row is left out.
        """
        first, total = place
        probability = torch.full((total,), 1 - rate, device=self.gain.device)
        return torch.bernoulli(probability)[first : first + rows]

    def forward(self, batch: Batch) -> Tensor:
        """See ``Backbone.forward``."""
        inputs = own_inputs(batch, SerializedInputs)
        levels, places = inputs.levels, self._places(inputs.levels)
        x_NC = batch.features[inputs.point_of_cell] * self.gain + self.shift
        x_NC = self.stem(x_NC, inputs.stem)
        before: list[Tensor] = []
        for level, place, stage in zip(levels, places, self._stages(self.encoder), strict=True):
            if stage.entry is not None:
                x_NC = stage.entry(x_NC, level.children)
            x_NC = stage(x_NC, place, self._keep(level))
            before.append(x_NC)
        before.pop()
        for number, stage in reversed(list(enumerate(self._stages(self.decoder)))):
            level = levels[number]
            assert stage.entry is not None  # noqa: S101  it leads up
            x_NC, skip_NC = stage.entry(x_NC, before.pop(), level.parent)
            x_NC = stage(x_NC, places[number], self._keep(level), skip_NC)
        return x_NC[inputs.cell_of_point].float()

    def _places(self, levels: Sequence[Level]) -> list[Place]:
        """What the blocks of each level ask for."""
        permutations = iter(self._permutations())
        return [
            Place(
                near=level.near,
                arrangements=self._arrangements(level, next(permutations)),
                angles=self._angles(level, plans[0]),
            )
            if plans[0].heads
            else Place(near=level.near, arrangements=(), angles=None)
            for level, plans in zip(levels, self.plan.encoder, strict=True)
        ]

    def _permutations(self) -> list[list[int]]:
        """For each level with attention, the orders as numbers, in the sequence of its blocks."""
        attending = sum(plans[0].heads > 0 for plans in self.plan.encoder)
        shuffle = self.config.shuffle_orders
        if not (shuffle == "always" or (shuffle == "training" and self.training)):
            return [list(range(len(ORDERS)))] * attending
        drawn = self.draw_permutations(attending)
        # Not serialised for itself, a level inherits the orders as the finer one had them.
        if not self.config.rule().serialized_per_level:
            for number in range(1, len(drawn)):
                drawn[number] = [drawn[number - 1][place] for place in drawn[number]]
        return drawn

    def _arrangements(self, level: Level, permutation: list[int]) -> tuple[Arrangement, ...]:
        cut = patches(level.lengths, self.config.patch_size, level.cells.device)
        return tuple(arranged(level.orders[order], cut) for order in permutation)

    def _angles(self, level: Level, plan: BlockPlan) -> tuple[Tensor, Tensor] | None:
        base = self.plan.rotary_base
        return None if base is None else rotation(level.cells, plan.width // plan.heads, base)

    def _keep(self, level: Level) -> Keep:
        """What gives the blocks of a level (N, 1) factors of a residual's rows."""
        if not self.training or self.config.drop_path == 0:
            return lambda _: None
        rows = len(level)
        return functools.partial(self._factor, rows, place_among_ranks(rows, self.gain.device))

    def _factor(self, rows: int, place: tuple[int, int], rate: float) -> Tensor | None:
        return None if rate == 0 else self.draw_kept(rows, place, rate)[:, None] / (1 - rate)

    def layer_of(self, parameter_name: str) -> int:
        """See ``Backbone.layer_of``; what leads to a level is of the layer of its first block."""
        part, *rest = self.parts_of(parameter_name)
        if part == "stem":
            return 0
        number = int(rest[0])
        block = int(rest[2]) if rest[1] == "blocks" else 0
        encoder = [len(stage.blocks) for stage in self._stages(self.encoder)]
        if part == "encoder":
            return 1 + sum(encoder[:number]) + block
        decoder = [max(1, len(stage.blocks)) for stage in self._stages(self.decoder)]
        return 1 + sum(encoder) + sum(decoder[number + 1 :]) + block
