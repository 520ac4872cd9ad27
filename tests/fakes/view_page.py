"""Pages for the browser tests: the viewer's data format, written from the page's side.

The features are made up so that what is right is known: points of one class share a direction.
"""

import base64
import gzip
import io
import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

import lidistill

DIMS = 64
BUNDLE = Path(lidistill.__file__).parent / "viewer" / "page" / "index.html"
PLACE = '<script id="lidistill-data"></script>'
COLORS = ["#3a86ff", "#ff006e", "#8338ec", "#fb5607", "#2a9d8f", "#b5651d"]


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A frame as a view holds it."""

    xyz: NDArray[np.float32]
    """(N, 3) metres."""
    columns: Mapping[str, NDArray[np.generic]]
    labels: NDArray[np.uint8]
    images: Sequence[NDArray[np.uint8]] = ()
    uv: Sequence[NDArray[np.float64]] = ()
    """(N, 2) pixels, not-a-number outside the image."""
    visible: Sequence[NDArray[np.uint8]] = ()
    name: str = "0"
    drive: str = "drive"


@dataclass(frozen=True, kw_only=True)
class View:
    """Everything a page shows."""

    scans: Sequence[Scan]
    class_names: Sequence[str]
    title: str = "a view"
    models: Sequence[str] = ("made up",)
    findings: Sequence[Mapping[str, Any]] = ()
    noise: float = 0.5
    extra: Mapping[str, Any] = field(default_factory=dict)


def container(arrays: Mapping[str, NDArray[np.generic]], **meta: Mapping[str, Any]) -> bytes:
    """Arrays with their description before them."""
    header: dict[str, dict[str, Any]] = {}
    body = io.BytesIO()
    for name, array in arrays.items():
        body.write(b"\0" * (-body.tell() % 8))
        header[name] = {
            "dtype": str(array.dtype), "shape": list(array.shape), "offset": body.tell(),
        } | dict(meta.get(name, {}))  # fmt: skip
        body.write(np.ascontiguousarray(array).tobytes())
    text = json.dumps({"arrays": header}).encode()
    padding = b"\0" * (-(12 + len(text)) % 8)
    return b"LDVIEW01" + struct.pack("<I", len(text)) + text + padding + body.getvalue()


def class_directions(num_classes: int, seed: int) -> NDArray[np.float64]:
    """(C, 64) unit vectors at right angles."""
    generator = np.random.default_rng(seed)
    return np.linalg.qr(generator.normal(size=(DIMS, DIMS)))[0][:num_classes]


def unit_int8(features: NDArray[np.float64]) -> NDArray[np.int8]:
    """Rows of length one as the page wants them."""
    length = np.linalg.norm(features, axis=-1, keepdims=True)
    return np.rint(127 * features / np.maximum(length, 1e-9)).astype(np.int8)


def payloads(view: View) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """Binary answers and images by name, the manifest among the first."""
    data = {"manifest": json.dumps(manifest(view)).encode()}
    images = {}
    for i, scan in enumerate(view.scans):
        data[f"frame/{i}"] = _frame(scan)
        for v, image in enumerate(scan.images):
            stream = io.BytesIO()
            Image.fromarray(image).save(stream, "PNG")
            images[f"image/{i}/{v}"] = stream.getvalue()
        for m in range(len(view.models)):
            data |= _features(view, m, i)
            data[f"predictions/{m}/{i}"] = _predictions(scan, m)
    for m in range(len(view.models)):
        basis = base64.b64encode(np.eye(DIMS, dtype="<f4").tobytes()).decode()
        head = {"lidistill_head": 1, "space": "backbone", "dims": DIMS, "basis": basis}
        data[f"head/{m}/backbone"] = json.dumps(head).encode()
    return data, images


def manifest(view: View) -> dict[str, Any]:
    """What the page reads first."""
    directions = class_directions(3, 0)
    pca = {
        "mean": [0.0] * DIMS, "axes": directions.tolist(), "low": [0.0] * 3, "high": [1.0] * 3,
    }  # fmt: skip
    spaces = [
        {"name": name, "title": title, "dims": DIMS, "of_points": name != "teacher",
         "pca_rgb": pca, "pca_rgb_without_position": pca if name == "backbone" else None}
        for name, title in (("backbone", "features"), ("head", "head"), ("teacher", "teacher"))
    ]  # fmt: skip
    numbers = {"kind": "number", "unit": None, "low": 0.0, "high": 1.0}
    columns = {name: numbers for scan in view.scans for name in scan.columns}
    columns |= {name: {"kind": "class"} for name in ("class", "prediction")}
    columns |= {"cluster": {"kind": "id"}, "confidence": numbers, "error": numbers}
    columns["height"] = {"kind": "number", "unit": "m", "low": -1.5, "high": 1.0}
    predictions = ["prediction", "error", "confidence", "cluster"]
    return {
        "format": 1, "title": view.title, "lidistill": "test", "made": "2025-01-01T00:00:00Z",
        "frames": [_about(i, scan) for i, scan in enumerate(view.scans)],
        "columns": columns,
        "classes": [
            {"name": name, "color": COLORS[i % len(COLORS)]}
            for i, name in enumerate(view.class_names)
        ],
        "models": [
            {"name": name, "spaces": spaces, "predictions": predictions} for name in view.models
        ],
        "findings": list(view.findings) or None,
        "capabilities": {"save_labels": False, "save_head": False},
    } | dict(view.extra)  # fmt: skip


def write_folder(folder: Path, view: View) -> Path:
    """A page with its data beside it; gives the page."""
    data, images = payloads(view)
    packed = {name: gzip.compress(raw, 1) for name, raw in data.items()} | images
    for name, raw in packed.items():
        path = folder / "data" / f"{name}.js"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'lidistill_data("{name}","{base64.b64encode(raw).decode()}");', "utf-8")
    page = folder / "index.html"
    page.write_text(_placed('lidistill_source="folder";'), "utf-8")
    return page


def write_file(path: Path, view: View) -> Path:
    """A page that holds its data."""
    data, images = payloads(view)
    packed = {name: gzip.compress(raw, 1) for name, raw in data.items()} | images
    elements = "".join(
        f'<script type="application/octet-stream" data-name="{name}">'
        f"{base64.b64encode(raw).decode()}</script>\n"
        for name, raw in packed.items()
    )
    head, _, tail = _placed('lidistill_source="inline";').rpartition("</body>")
    path.write_text(f"{head}{elements}</body>{tail}", "utf-8")
    return path


def _placed(script: str) -> str:
    page = BUNDLE.read_text("utf-8")
    assert page.count(PLACE) == 1
    return page.replace(PLACE, f'<script id="lidistill-data">{script}</script>')


def _about(index: int, scan: Scan) -> dict[str, Any]:
    images = [
        {"view": f"camera {v}", "width": image.shape[1], "height": image.shape[0],
         "media_type": "image/png"}
        for v, image in enumerate(scan.images)
    ]  # fmt: skip
    return {
        "index": index, "id": scan.name, "drive": scan.drive, "timestamp_s": 0.5 * index,
        "num_points": len(scan.xyz), "num_rows": len(scan.xyz),
        "columns": [*scan.columns, "class"], "images": images,
    }  # fmt: skip


def _frame(scan: Scan) -> bytes:
    scale = 0.005
    arrays: dict[str, NDArray[np.generic]] = {"xyz": np.rint(scan.xyz / scale).astype(np.int16)}
    meta: dict[str, dict[str, Any]] = {"xyz": {"scale": scale}}
    for name, values in scan.columns.items():
        arrays[name] = np.rint(254 * np.clip(values, 0, 1)).astype(np.uint8)
        meta[name] = {"scale": 1 / 254, "zero": 0.0}
    arrays["class"] = scan.labels
    for v, uv in enumerate(scan.uv):
        outside = np.isnan(uv).any(axis=1)
        quarters = np.rint(4 * np.where(outside[:, None], 0, uv)).astype(np.int16)
        quarters[outside] = -32768
        arrays[f"uv{v}"], arrays[f"visible{v}"] = quarters, scan.visible[v]
    return container(arrays, **meta)


def point_features(view: View, model: int, scan: Scan) -> NDArray[np.int8]:
    """(N, 64) what the page is given: the direction of each point's class, with noise."""
    directions = class_directions(len(view.class_names), model)
    generator = np.random.default_rng(len(scan.xyz) + model)
    noise = generator.normal(size=(len(scan.xyz), DIMS)) * view.noise / np.sqrt(DIMS)
    known = np.where(scan.labels == 255, 0, scan.labels)
    features = unit_int8(directions[known] + noise)
    features[scan.labels == 255] = 0
    return features


def _features(view: View, model: int, index: int) -> dict[str, bytes]:
    scan = view.scans[index]
    points = point_features(view, model, scan)
    rows, of_point = np.unique(points, axis=0, return_inverse=True)
    backbone = container(
        {
            "f": np.ascontiguousarray(rows.T).reshape(rows.shape),
            "of_point": of_point.astype(np.int32),
        },
        f={"layout": "columns"},
    )
    grids = {f"grid{v}": _grid(scan, v, points) for v in range(len(scan.images))}
    return {
        f"features/{model}/backbone/{index}": backbone,
        f"features/{model}/head/{index}": container({"f": points}),
        f"features/{model}/teacher/{index}": container(grids),
    }


def _grid(scan: Scan, view: int, points: NDArray[np.int8]) -> NDArray[np.int8]:
    """Mean feature of the visible points in each patch of 8 pixels."""
    height, width = scan.images[view].shape[0] // 8, scan.images[view].shape[1] // 8
    total = np.zeros((height, width, DIMS))
    seen = np.flatnonzero(scan.visible[view] == 1)
    cell = np.floor(scan.uv[view][seen] / 8).astype(int)
    inside = (cell[:, 0] < width) & (cell[:, 1] < height)
    np.add.at(total, (cell[inside, 1], cell[inside, 0]), points[seen[inside]])
    return unit_int8(total)


def _predictions(scan: Scan, model: int) -> bytes:
    generator = np.random.default_rng(model)
    wrong = generator.random(len(scan.xyz)) < 0.1
    prediction = np.where(wrong & (scan.labels != 255), (scan.labels + 1) % 2, scan.labels)
    error = np.where(scan.labels == 255, 255, prediction != scan.labels)
    confidence = np.rint(254 * generator.random(len(scan.xyz)))
    return container(
        {
            "prediction": prediction.astype(np.uint8),
            "error": error.astype(np.uint8),
            "confidence": confidence.astype(np.uint8),
            "cluster": (scan.labels % 5).astype(np.uint8),
        },
        confidence={"scale": 1 / 254},
    )
