"""The formats that networks are published in, and what is read from each."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, NamedTuple

from torch import Tensor

from lidistill.backbones.litept.published import architecture as serialized_architecture
from lidistill.backbones.litept.published import from_pointcept, is_serialized
from lidistill.backbones.minkunet.published import KernelOrder, from_slidr, is_minkunet
from lidistill.backbones.minkunet.published import architecture as minkunet_architecture
from lidistill.backbones.published_names import NamedWeights
from lidistill.backbones.waffleiron.published import architecture, from_official
from lidistill.errors import ConfigError


class PublishedFormat(NamedTuple):
    """How files of one format are read."""

    knows: Callable[[Mapping[str, object]], bool]
    """Whether a file is of this format."""
    read: Callable[[Mapping[str, object]], NamedWeights]
    """Weights under the names of this package; a CheckpointError where something is wrong."""
    settings: Callable[[dict[str, Tensor]], dict[str, Any]]
    """Configuration of the network, as far as its weights tell it."""


PUBLISHED: Final = {
    "minkunet": PublishedFormat(is_minkunet, from_slidr, minkunet_architecture),
    "litept": PublishedFormat(is_serialized, from_pointcept, serialized_architecture),  # and ptv3
    # The last one says what is wrong with a file that no format knows.
    "waffleiron": PublishedFormat(lambda _: True, from_official, architecture),
}
"""The format of each network's authors, by its ``kind`` in ``BACKBONES``."""


def read_published(
    state: Mapping[str, object], *, kernel_order: KernelOrder | None = None
) -> tuple[NamedWeights, dict[str, Any]]:
    """Weights of a published checkpoint, and what they say of the network.

    Args:
        state: What the file holds.
        kernel_order: Of a MinkUNet's kernels; None: by the names of its norms.

    Raises:
        CheckpointError: If it is of no known format, or not whole.
        ConfigError: If an order of kernels is given for a network that has none.
    """
    kind, form = next((kind, form) for kind, form in PUBLISHED.items() if form.knows(state))
    read = form.read
    if kind == "minkunet":
        read = partial(from_slidr, kernel_order=kernel_order)
    elif kernel_order is not None:
        msg = f"a {kind} has no kernels in the order of {kernel_order}; leave --kernel-order out."
        raise ConfigError(msg)
    named = read(state)
    return named, form.settings(named.backbone)


__all__ = ["PUBLISHED", "KernelOrder", "NamedWeights", "PublishedFormat", "read_published"]
