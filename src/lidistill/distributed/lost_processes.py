"""Processes of the same run that are gone, which this one cannot go on without."""

import contextlib
import sys
from collections.abc import Iterator

from lidistill.errors import RunStoppedError


def lost_a_process(error: BaseException) -> bool:
    """Whether an error says that another process is gone."""
    dist = sys.modules.get("torch.distributed")  # without it nobody has waited for another
    return (dist is not None and isinstance(error, dist.DistError)) or (
        "gloo/transport" in str(error)
    )


@contextlib.contextmanager
def process_losses() -> Iterator[None]:
    """Say in one line that another process is gone, wherever this one has waited for it.

    Raises:
        RunStoppedError: Instead of what PyTorch raises then.
    """
    try:
        yield
    except RuntimeError as error:
        if not lost_a_process(error):
            raise
        text = " ".join(str(error).split())
        msg = (
            f"another process of this run has ended ({text}); its output says why. The same "
            "command goes on from what is finished."
        )
        raise RunStoppedError(msg) from error
