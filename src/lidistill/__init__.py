"""Strong lidar features without labels, distilled from vision foundation models."""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lidistill.apps.load_features import load

__all__ = ["__version__", "load"]

__version__ = "0.1.0"

# OpenMP's threads spin while they wait. Where another program wants the cores, too, that makes a
# training step several times slower; asleep they cost nothing. Read once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")


def __getattr__(name: str) -> Any:
    """``load``, with the networks behind it imported when it is first asked for."""
    if name == "load":
        importlib.import_module("lidistill.supported").check_system()
        return importlib.import_module("lidistill.apps.load_features").load
    msg = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(msg)
