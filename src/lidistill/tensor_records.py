"""Records of tensors on their way to another device, with all that is inside them."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import TypeVar, cast

import torch
from torch import Tensor

T = TypeVar("T")


def map_tensors(record: T, change: Callable[[Tensor], Tensor]) -> T:
    """The same record with each of its tensors changed; fields that come later come along.

    Args:
        record: A tensor, or a dataclass, tuple, list or mapping of such; all else stays as it is.
        change: What becomes of a tensor.
    """
    return cast("T", _changed(record, change))


def _changed(value: object, change: Callable[[Tensor], Tensor]) -> object:
    if isinstance(value, Tensor):
        return change(value)
    if is_dataclass(value) and not isinstance(value, type):
        own = [field.name for field in fields(value) if field.init]
        return replace(value, **{name: _changed(getattr(value, name), change) for name in own})
    if isinstance(value, Mapping):
        return {key: _changed(one, change) for key, one in value.items()}
    if type(value) in {tuple, list}:
        parts = (_changed(one, change) for one in cast("tuple[object, ...]", value))
        return tuple(parts) if isinstance(value, tuple) else list(parts)
    return value


def to_device(record: T, device: torch.device | str, *, non_blocking: bool = False) -> T:
    """Copy of a record on another device.

    Args:
        record: See ``map_tensors``.
        device: Where to.
        non_blocking: Whether Python goes on before the copies are done, where they start from
            pinned memory. What the device computes afterwards still sees them whole; a copy to the
            CPU may be read only once the device has caught up.
    """
    return map_tensors(record, lambda tensor: tensor.to(device, non_blocking=non_blocking))


def pin_memory(record: T) -> T:
    """Copy of a record in memory that a GPU can fetch from by itself."""
    return map_tensors(record, Tensor.pin_memory)


def to_device_pinned(record: T, device: torch.device | str) -> T:
    """Copy on another device, for which Python does not wait; the record is left alone.

    Tensors in ordinary memory are pinned first where they go to a GPU: a copy from there would wait
    until the GPU has done all that it was asked before.
    """
    target = torch.device(device)

    def send(tensor: Tensor) -> Tensor:
        if target.type == "cuda" and tensor.device.type == "cpu":
            tensor = tensor.pin_memory()  # itself, where it is pinned already
        return tensor.to(target, non_blocking=True)

    return map_tensors(record, send)
