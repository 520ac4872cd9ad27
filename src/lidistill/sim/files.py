"""What the writers of all formats share: files that are whole or absent, and quaternions."""

import io
import json
from pathlib import Path
from typing import TypeAlias

import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image

from lidistill.atomic_write import SIDE, replacing

Float64: TypeAlias = NDArray[np.float64]
ImageArray: TypeAlias = NDArray[np.uint8]


def write(path: Path, content: bytes) -> None:
    """Write a file beside its place and move it there, so that a cut one is never seen."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as side:
        side.write_bytes(content)


def remove_cut_files(root: Path) -> None:
    """Delete what cut runs left beside the places of their files."""
    for side in root.rglob(f"{SIDE}*"):
        side.unlink()


def write_json(path: Path, content: object) -> None:
    """Write a JSON file."""
    write(path, json.dumps(content, indent=1).encode())


def write_jpeg(path: Path, image: ImageArray) -> None:
    """Write an (H, W, 3) image as JPEG."""
    write(path, simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality=92))


def write_png(path: Path, image: ImageArray) -> None:
    """Write an (H, W, 3) image as PNG, quickly rather than small."""
    encoded = io.BytesIO()
    Image.fromarray(image).save(encoded, format="PNG", compress_level=1)
    write(path, encoded.getvalue())


def quaternion(rotation: Float64) -> Float64:
    """(4,) quaternion (w, x, y, z), w >= 0, of a (3, 3) rotation.

    References:
        I. Y. Bar-Itzhack, "New method for extracting the quaternion from a rotation matrix", 2000.
    """
    r = rotation
    symmetric = np.array(
        [
            [r[0, 0] - r[1, 1] - r[2, 2], r[1, 0] + r[0, 1], r[2, 0] + r[0, 2], r[2, 1] - r[1, 2]],
            [r[1, 0] + r[0, 1], r[1, 1] - r[0, 0] - r[2, 2], r[2, 1] + r[1, 2], r[0, 2] - r[2, 0]],
            [r[2, 0] + r[0, 2], r[2, 1] + r[1, 2], r[2, 2] - r[0, 0] - r[1, 1], r[1, 0] - r[0, 1]],
            [r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1], np.trace(r)],
        ]
    )
    x, y, z, w = np.linalg.eigh(symmetric)[1][:, -1]
    return np.array([w, x, y, z]) * (1.0 if w >= 0 else -1.0)
