"""The rays of a simulated camera, by its definition."""

import numpy as np


def pixel_rays(camera):
    """(H * W, 3) unit directions through the pixels' middles, camera frame, row by row."""
    height, width = camera.size_hw
    u, v = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    x = (u - camera.K[0, 2]) / camera.K[0, 0]
    y = (v - camera.K[1, 2]) / camera.K[1, 1]
    rays = np.stack([x, y, np.ones_like(x)], axis=-1).reshape(-1, 3)
    return rays / np.linalg.norm(rays, axis=1, keepdims=True)
