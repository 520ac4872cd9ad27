"""Strong lidar features without labels, distilled from vision foundation models."""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lidistill.apps.load_features import load
    from lidistill.viewer.notebook import view

__all__ = ["__version__", "load", "view"]

__version__ = "0.1.0"

# OpenMP's threads spin while they wait. Where another program wants the cores, too, that makes a
# training step several times slower; asleep they cost nothing. Read once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


_LAZY = {"load": "lidistill.apps.load_features", "view": "lidistill.viewer.notebook"}


def __getattr__(name: str) -> Any:
    """``load`` and ``view``, with what is behind them imported when they are first asked for."""
    if name in _LAZY:
        importlib.import_module("lidistill.supported").check_system()
        return getattr(importlib.import_module(_LAZY[name]), name)
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
