"""The systems that lidistill runs on."""

import importlib.util
import os
import platform

from lidistill.errors import UnsupportedSystemError


def check_system() -> None:
    """Refuse a system without what files, locks and processes need here.

    Raises:
        UnsupportedSystemError: If this is neither Linux nor macOS, nor like them.
    """
    if importlib.util.find_spec("fcntl") is None or not hasattr(os, "O_NONBLOCK"):
        msg = (
            f"lidistill runs on Linux and macOS, and this is {platform.system() or 'neither'} "
            "without the file locks of those; on Windows use it inside WSL 2 (wsl --install)."
        )
        raise UnsupportedSystemError(msg)
