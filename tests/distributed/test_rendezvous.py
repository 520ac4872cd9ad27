import datetime
import threading

import pytest
import torch.distributed as dist

from lidistill.distributed.rendezvous import fresh_part
from lidistill.errors import TrainingError

PATIENCE = datetime.timedelta(seconds=30)


def begin(store, rank, found, *, ranks=3):
    """One process of a start: leaves its address, and reads those of all."""

    def run():
        own = fresh_part(store, rank, ranks, PATIENCE)
        own.set(f"address/{rank}", f"{found['start']}.{rank}")
        found[rank] = [own.get(f"address/{other}").decode() for other in range(ranks)]

    thread = threading.Thread(target=run)
    thread.start()
    return thread


def test_a_second_start_finds_nothing_of_the_first_whoever_comes_first():
    store = dist.HashStore()
    for start, order in enumerate([(0, 1, 2), (2, 1, 0), (1, 0, 2)]):
        found = {"start": start}
        for thread in [begin(store, rank, found) for rank in order]:
            thread.join()
        for rank in order:
            assert found[rank] == [f"{start}.{other}" for other in range(3)]


def test_the_hello_of_a_dead_process_keeps_nobody_from_meeting():
    store = dist.HashStore()
    store.set("hello/1", "dead")
    found = {"start": "new"}
    first = begin(store, 0, found, ranks=2)
    store.wait(["welcome/dead"], PATIENCE)  # the first process has been taken in by it
    begin(store, 1, found, ranks=2).join()
    first.join()
    assert found[0] == found[1] == ["new.0", "new.1"]


@pytest.mark.parametrize(("rank", "message"), [(0, "1 of 2 processes"), (1, "heard nothing")])
def test_one_that_does_not_come_is_named_in_the_end(rank, message):
    with pytest.raises(TrainingError, match=message):
        fresh_part(dist.HashStore(), rank, 2, datetime.timedelta(milliseconds=50))
