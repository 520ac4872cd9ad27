"""The processes of a run, started by torchrun: who they are, and how they act as one.

One process is the ordinary case: nothing is started, nothing is wrapped, and what follows is the
same code.
"""

import contextlib
import datetime
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Literal, TypeAlias, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.rendezvous import rendezvous
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from lidistill.distributed.all_reduce import rank, sum_over_ranks, world_size
from lidistill.distributed.launcher import launched_world_size
from lidistill.distributed.rendezvous import fresh_part
from lidistill.errors import ConfigError

Sharding: TypeAlias = Literal["none", "full"]
"""``none``: every process holds all weights (DDP); ``full``: each a part of them (FSDP2)."""

_TIMEOUT = datetime.timedelta(minutes=30)
T = TypeVar("T")


def join_group(device: torch.device) -> None:
    """Join the other processes that torchrun started; nothing to do where there is only one.

    Args:
        device: Where this process computes; GPUs talk over NCCL, processors over gloo.
    """
    if launched_world_size() == 1 or dist.is_initialized():
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    store, number, count = next(iter(rendezvous("env://", timeout=_TIMEOUT)))
    dist.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        store=fresh_part(store, number, count, _TIMEOUT),
        rank=number,
        world_size=count,
        timeout=_TIMEOUT,
    )


def leave_group() -> None:
    """Part from the other processes, at the end of a run that went well.

    After an error nothing is parted from, since that could wait for processes that wait for this
    one: it just ends, and the launcher ends the others.
    """
    if dist.is_initialized():
        dist.destroy_process_group()


def is_rank_zero() -> bool:
    """Whether this is the process that writes."""
    return rank() == 0


def on_rank_zero(action: Callable[[], T]) -> T:
    """Let the first process act, and give all of them its result or its error.

    Args:
        action: Returns what can be pickled.
    """
    if world_size() == 1:
        return action()
    message: list[Any] = [None, None]
    if is_rank_zero():
        try:
            message[0] = action()
        except Exception as error:  # noqa: BLE001  raised again below, by every process
            message[1] = error
    dist.broadcast_object_list(message)
    if message[1] is not None:
        raise message[1]
    return cast("T", message[0])


def items_of_rank(num_items: int) -> range:
    """Which of so many items this process does; every item falls to exactly one process."""
    return range(rank(), num_items, world_size())


def sum_counts(counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """Counts of all processes, added up exactly."""
    if world_size() == 1:
        return counts
    return sum_over_ranks(torch.from_numpy(counts).to(_wire_device())).cpu().numpy()


def sum_numbers(numbers: list[float]) -> list[float]:
    """Sums of numbers over all processes, in double precision."""
    if world_size() == 1:
        return numbers
    return sum_over_ranks(
        torch.tensor(numbers, dtype=torch.float64, device=_wire_device())
    ).tolist()


def _wire_device() -> torch.device:
    """Where tensors must lie to be sent to other processes."""
    return torch.device("cuda" if dist.get_backend() == "nccl" else "cpu")


def distribute_module(module: nn.Module, device: torch.device, sharding: Sharding) -> nn.Module:
    """The module whose gradients are the mean over all processes.

    Args:
        module: Already on its device, with the same weights everywhere.
        device: Where this process computes.
        sharding: ``full`` splits weights, gradients and optimiser among the processes.

    Raises:
        ConfigError: If sharding is asked for where there is one process.
    """
    if sharding == "full":
        if world_size() == 1:
            msg = "train.sharding=full needs several processes; start with torchrun, or set none."
            raise ConfigError(msg)
        # A layer's weights are whole only while it computes.
        for layers in [m for m in module.modules() if isinstance(m, nn.ModuleList)]:
            for layer in layers:
                fully_shard(layer)
        fully_shard(module)
        return module
    if world_size() == 1:
        return module
    devices = [device] if device.type == "cuda" else None
    return DistributedDataParallel(module, device_ids=devices)


def gradient_exchange(module: nn.Module, *, exchange: bool) -> AbstractContextManager[None]:
    """Context of a backward pass: gradients go to the other processes in a step's last one."""
    if isinstance(module, FSDPModule):
        module.set_requires_gradient_sync(exchange)
        return contextlib.nullcontext()
    if isinstance(module, DistributedDataParallel) and not exchange:
        return module.no_sync()
    return contextlib.nullcontext()


def unsharded(state: Any) -> Any:
    """A state with its sharded tensors put together; every process must call it."""
    if isinstance(state, DTensor):
        return state.full_tensor()
    if isinstance(state, dict):
        return {key: unsharded(value) for key, value in state.items()}
    return [unsharded(value) for value in state] if isinstance(state, list) else state


def load_optimizer(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Give an optimiser a whole state, of which a sharded one keeps its part."""
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    parts = {
        index: {name: _part(value, parameters[index]) for name, value in values.items()}
        for index, values in state["state"].items()
    }
    optimizer.load_state_dict(state | {"state": parts})


def _part(value: Any, parameter: Tensor) -> Any:
    if isinstance(parameter, DTensor) and isinstance(value, Tensor) and value.dim() > 0:
        return distribute_tensor(value, parameter.device_mesh, parameter.placements)
    return value
