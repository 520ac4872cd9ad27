"""Strong lidar features without labels, distilled from vision foundation models."""

__version__ = "0.1.0"
