"""Processes that share out work which needs no talk while it is done: each takes what comes next.

They are started by torchrun. Gradients are not exchanged, so there is no process group: a counter
in the launcher's key-value store says what is next, and whoever is free takes it. One process is
the ordinary case, and asks nobody.
"""

import datetime
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeVar

import torch.distributed as dist
from torch.distributed.distributed_c10d import Store
from torch.distributed.rendezvous import rendezvous

from lidistill.distributed.launcher import launched_world_size
from lidistill.distributed.rendezvous import fresh_part

T = TypeVar("T")

_MEETING = datetime.timedelta(minutes=30)
_WORKING = datetime.timedelta(days=30)  # a launcher that has lost a process ends the others


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedWorkQueue:
    """The processes of one start; ``join`` finds them."""

    rank: int = 0
    size: int = 1
    store: Store | None = None
    """What they all see; None where there is one."""

    @classmethod
    def join(cls) -> Self:
        """Meet the other processes that torchrun started; nobody where there is only one.

        Raises:
            TrainingError: If not all have come within half an hour.
        """
        if launched_world_size() == 1 or not dist.is_available():
            return cls()
        store, rank, size = next(iter(rendezvous("env://", timeout=_MEETING)))
        return cls(rank=rank, size=size, store=fresh_part(store, rank, size, _MEETING))

    def wait_for_first(self) -> None:
        """Hold the others here until the first process has come here, too."""
        if self.store is not None and self.rank > 0:
            self.store.wait(["ready"], _WORKING)
        elif self.store is not None:
            self.store.set("ready", "yes")

    def claim(self, items: Sequence[T]) -> Iterator[T]:
        """Take the next item that nobody has taken, again and again, until none is left.

        Args:
            items: The same in every process.
        """
        if self.store is None:
            yield from items
            return
        while (number := self.store.add("next", 1) - 1) < len(items):
            yield items[number]

    def gather(self, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """What all processes have found, given to the first one when the last is ready.

        Args:
            found: Of this process; what JSON can hold.

        Returns:
            In the first process all, by the processes' numbers; in the others their own.
        """
        if self.store is None:
            return found
        self.store.set(f"found/{self.rank}", json.dumps(found))
        if self.rank > 0:
            # The store may live in the first process, and what ends early must not be missed.
            self.store.wait(["gathered"], _WORKING)
            return found
        keys = [f"found/{rank}" for rank in range(self.size)]
        self.store.wait(keys, _WORKING)
        everything = [one for key in keys for one in json.loads(self.store.get(key))]
        self.store.set("gathered", "yes")
        return everything
