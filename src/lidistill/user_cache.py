"""Where this package keeps what can be made again."""

import os
from pathlib import Path


def user_cache() -> Path:
    """Folder of a user for what can be made again: indices of data sets, choices of a machine.

    Raises:
        OSError: If there is none: neither ``XDG_CACHE_HOME`` nor a home is set.
    """
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        return (named if named.is_absolute() else Path.home() / ".cache") / "lidistill"
    except RuntimeError as error:
        raise OSError(str(error)) from error
