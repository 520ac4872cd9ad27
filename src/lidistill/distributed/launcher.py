"""What torchrun says about this process, before it has joined the others; needs no PyTorch."""

import os


def launched_rank() -> int:
    """Number that torchrun gave this process, before and after it has joined the others."""
    return int(os.environ.get("RANK", "0"))


def launched_world_size() -> int:
    """How many processes torchrun started."""
    return int(os.environ.get("WORLD_SIZE", "1"))
