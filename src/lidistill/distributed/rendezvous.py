"""How the processes of a run find each other, also after torchrun has started them anew.

torchrun's key-value store outlives the processes. Those it starts after a failure would read there
where the dead ones listened (https://github.com/pytorch/pytorch/issues/135712) and wait for them
until the time is out. So they first agree on a name that no start before them had, and use only
keys under it. torchrun's own count of restarts is no such name: each node counts for itself.
"""

import datetime
import time
import uuid

from torch.distributed import DistStoreError
from torch.distributed.distributed_c10d import PrefixStore, Store

from lidistill.errors import TrainingError

_PAUSE = 0.02  # seconds between two looks at who has come


def fresh_part(store: Store, rank: int, world_size: int, timeout: datetime.timedelta) -> Store:
    """The part of a store that belongs to this start alone; every process calls it.

    The first process chooses the name. Each of the others says hello with a word of its own, gets
    the name under that word, and confirms it. The first answers every hello, so it does no harm
    if the one it reads first is from a dead process.

    Args:
        store: What the launcher offers; may hold keys of earlier starts.
        rank: Number of this process.
        world_size: Processes of this start.
        timeout: How long to wait for the others.

    Raises:
        TrainingError: If not all have come in that time.
    """
    name = _welcome(store, world_size, timeout) if rank == 0 else _hello(store, rank, timeout)
    return PrefixStore(name, store)


def _welcome(store: Store, world_size: int, timeout: datetime.timedelta) -> str:
    name = uuid.uuid4().hex
    missing, answered = set(range(1, world_size)), set[bytes]()
    deadline = time.monotonic() + timeout.total_seconds()
    while missing:
        for rank in sorted(missing):
            if store.check([f"confirmed/{name}/{rank}"]):
                missing.remove(rank)
            elif store.check([f"hello/{rank}"]):
                word = store.get(f"hello/{rank}")
                if word not in answered:
                    store.set(f"welcome/{word.decode()}", name)
                    answered.add(word)
        if time.monotonic() > deadline:
            msg = (
                f"{len(missing)} of {world_size} processes (first: {min(missing)}) did not come "
                f"within {timeout}; look at their output."
            )
            raise TrainingError(msg)
        if missing:
            time.sleep(_PAUSE)
    return name


def _hello(store: Store, rank: int, timeout: datetime.timedelta) -> str:
    word = uuid.uuid4().hex
    store.set(f"hello/{rank}", word)
    try:
        store.wait([f"welcome/{word}"], timeout)
    except DistStoreError as error:
        msg = f"process {rank} heard nothing from process 0 within {timeout}; look at its output."
        raise TrainingError(msg) from error
    name = store.get(f"welcome/{word}").decode()
    store.set(f"confirmed/{name}/{rank}", "yes")
    return name
