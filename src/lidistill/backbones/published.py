"""The formats that networks are published in, and what is read from each."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from torch import Tensor

from lidistill.backbones.waffleiron.published import NamedWeights, architecture, from_official


class PublishedFormat(NamedTuple):
    """How files of one format are read."""

    read: Callable[[Mapping[str, object]], NamedWeights]
    """Weights under the names of this package; a CheckpointError where it is another format."""
    settings: Callable[[dict[str, Tensor]], dict[str, Any]]
    """Configuration of the network, as far as its weights tell it."""


PUBLISHED: Final = {"waffleiron": PublishedFormat(from_official, architecture)}
"""The format of each network's authors, by its ``kind`` in ``BACKBONES``."""


def read_published(state: Mapping[str, object]) -> tuple[NamedWeights, dict[str, Any]]:
    """Weights of a published checkpoint, and what they say of the network.

    Args:
        state: What the file holds.

    Raises:
        CheckpointError: If it is of no known format, or not whole.
    """
    # With a second format, what tells them apart belongs here; now the only one says what is wrong.
    (form,) = PUBLISHED.values()
    named = form.read(state)
    return named, form.settings(named.backbone)


__all__ = ["PUBLISHED", "NamedWeights", "PublishedFormat", "read_published"]
