"""Strong lidar features without labels, distilled from vision foundation models."""

import os

__version__ = "0.1.0"

# OpenMP's threads spin while they wait. Where another program wants the cores, too, that makes a
# training step several times slower; asleep they cost nothing. Read once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
