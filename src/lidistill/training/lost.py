"""Helpers that are gone: data workers and other processes that this one cannot go on without."""

import contextlib
from collections.abc import Iterator

import torch.distributed as dist

from lidistill.errors import CheckpointError, RunStoppedError


def lost_a_worker(error: BaseException) -> bool:
    """Whether an error comes from a data worker's death, at once or while it was handled.

    PyTorch raises it from a signal handler, so it can come out of any line of the main thread,
    and what is cleaned up on its way may fail in turn.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, RuntimeError) and "DataLoader worker (pid" in str(seen):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def lost_a_process(error: BaseException) -> bool:
    """Whether an error says that another process is gone."""
    return isinstance(error, dist.DistError) or "gloo/transport" in str(error)


@contextlib.contextmanager
def losses_of_helpers() -> Iterator[None]:
    """Say in one line that a process this one needs is gone; PyTorch raises that from anywhere."""
    try:
        yield
    except (RuntimeError, OSError, CheckpointError) as error:
        text = " ".join(str(error).split())
        if lost_a_worker(error):
            msg = (
                f"a data worker was killed ({text}), often because memory ran out; the same "
                "command goes on from the last checkpoint, with fewer workers if need be."
            )
        elif lost_a_process(error):
            msg = (
                f"another process of this run has ended ({text}); its output says why. The same "
                "command goes on from the last checkpoint."
            )
        else:
            raise
        raise RunStoppedError(msg) from error
