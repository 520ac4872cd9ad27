"""Figures of what a student has learned, beside its teacher: colours of features, correlations.

Shape letters: N points of a frame, P of them in an image.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from lidistill.apps.frame_features import FeatureReader, FrameFeatures, example_point, nearest_point
from lidistill.datasets import FrameDataset
from lidistill.distill.run import DistillationRun
from lidistill.distill.teacher_config import UNNAMED_TEACHER
from lidistill.errors import unknown_name
from lidistill.figures.colors import label_colors, scale_colors
from lidistill.figures.features import (
    PcaBasis,
    correlation,
    fit_pca,
    pca_colors,
    similarity_colors,
)
from lidistill.figures.overlay import draw_points, legend
from lidistill.figures.sheet import Panel, mark_cross, sheet, write_png
from lidistill.geometry import transform_points
from lidistill.images.files import read_image, resize
from lidistill.loading.mixture import Concatenation
from lidistill.records import CameraView
from lidistill.samples.pairing import pair_view
from lidistill.training.progress import track

_THIRD, _HALF = 640, 965
"""Width of a panel with two others, or one other, beside it, pixels."""
_DARK = 18
_LINE = 20
"""Height of a line of the legend, pixels."""
_UNSEEN = np.array([60, 62, 68], dtype=np.uint8)
"""Colour of points that no camera sees, where only the teacher's are shown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Colored:
    """A frame in the colours of the teacher's principal components."""

    frame: FrameFeatures
    headline: str
    teacher: NDArray[np.uint8]
    """(N, 3)."""
    student: NDArray[np.uint8]
    """(N, 3)."""


def write_feature_figures(
    run: DistillationRun,
    checkpoint: Path,
    output: Path,
    *,
    frames: Sequence[str] = (),
    point: tuple[float, float, float] | None = None,
    teacher: str = UNNAMED_TEACHER,
) -> list[Path]:
    """Draw the features of some frames: on the images, from above, and as correlation maps.

    Colours are the principal components of the teacher's features in the first of the frames.
    Student and teacher share them, so like colours mean like features.

    Args:
        run: What the run is made of.
        checkpoint: Its run folder, or one of its checkpoints.
        output: Folder for the PNG files.
        frames: Frame ids; the first and the middle frame of the data where empty.
        point: Point of the correlation map, metres in the lidar frame; on a car where None.
        teacher: Whose features stand beside the student's, and whose head leads there.

    Returns:
        The files.

    Raises:
        UnknownNameError: If a frame is not in the run's data.
        CheckpointError: If the checkpoint does not fit the recipe.
    """
    chosen = locate_frames(run.dataset, tuple(frames))
    read = FeatureReader(run, checkpoint, teacher=teacher)
    basis: PcaBasis | None = None
    written = []
    for dataset, index in track(chosen, "figures", total=len(chosen)):
        frame = read(dataset[index])
        basis = fit_pca(frame.teacher[frame.seen]) if basis is None else basis
        names = dataset.label_map.class_names
        car = names.index("car") if "car" in names else None
        target = example_point(frame, car) if point is None else nearest_point(frame, point)
        colored = _Colored(
            frame=frame,
            headline=_headline(frame),
            teacher=pca_colors(frame.teacher, basis=basis),
            student=pca_colors(frame.student, basis=basis),
        )
        sheets = {
            "front": _on_images(colored, frame.views[:1]),
            "above": _from_above(colored, names),
            "correlation": _correlation_map(frame, target),
        }
        if len(frame.views) > 1:
            sheets["cameras"] = _on_images(colored, frame.views)
            sheets["correlation-cameras"] = _correlation_on_images(frame, target)
        stem = frame.frame_id.replace("/", "-").replace("\\", "-")
        written += [write_png(page, output / f"{stem}-{kind}.png") for kind, page in sheets.items()]
    return written


def locate_frames(dataset: Concatenation, names: tuple[str, ...]) -> list[tuple[FrameDataset, int]]:
    """Data set and index of the frames, each in its own set because label tables may differ.

    Raises:
        UnknownNameError: If there is no frame of a name.
    """
    if not names:
        return [dataset.place(index) for index in sorted({0, len(dataset) // 2})]
    ids = list(dataset.frame_ids)
    unknown = [name for name in names if name not in ids]
    if unknown:
        raise unknown_name("frame", unknown[0], ids)
    return [dataset.place(ids.index(name)) for name in names]


def _on_images(colored: _Colored, views: tuple[CameraView, ...]) -> NDArray[np.uint8]:
    """Image, teacher and student side by side, one row for each view."""
    frame = colored.frame
    rows = []
    for view in views:
        image = _image(view)
        drawn = [_draw(frame, view, image, colors) for colors in (colored.teacher, colored.student)]
        rows.append(
            [
                Panel(image=image, title=f"image of {view.name}"),
                Panel(image=drawn[0], title=f"teacher at the points: {frame.teacher_label}"),
                Panel(image=drawn[1], title="student at the points, from lidar alone"),
            ]
        )
    return sheet(rows, title=colored.headline)


def _from_above(colored: _Colored, names: tuple[str, ...]) -> NDArray[np.uint8]:
    """Student and teacher over the backbone's own features and the labels."""
    frame = colored.frame
    teacher = np.where(frame.seen[:, None], colored.teacher, _UNSEEN)

    def panel(colors: NDArray[np.uint8], title: str) -> Panel:
        return Panel(image=_above(frame, colors, _HALF), title=title)

    above = [
        panel(colored.student, "student, the whole scan"),
        panel(teacher, f"teacher where a camera sees: {frame.teacher_label}"),
    ]
    below = [panel(pca_colors(frame.backbone), "backbone, in colours of its own")]
    if frame.labels is None:
        if frame.intensity is not None:
            brightest = max(float(np.percentile(frame.intensity, 98)), 1e-6)
            shades = scale_colors(frame.intensity, 0.0, brightest, name="inferno")
            below.append(panel(shades, "intensity (this frame has no labels)"))
    else:
        palette = label_colors(names)
        below.append(panel(palette[frame.labels], "labels (never seen in distillation)"))
        present = [i for i in np.unique(frame.labels).tolist() if i < len(names)]
        entries = [(names[i], palette[i]) for i in present]
        below.append(
            Panel(image=legend(entries, height=_LINE * (len(entries) + 1)), title="classes")
        )
    return sheet([above, below], title=colored.headline)


def _correlation_map(frame: FrameFeatures, target: int) -> NDArray[np.uint8]:
    """Similarity of all points to one: on an image that shows it, and from above."""
    pixels = [_pixel(frame, view, target) for view in frame.views]
    number = next((i for i, uv in enumerate(pixels) if uv is not None), 0)
    view, uv = frame.views[number], pixels[number]
    image = _image(view)
    kinds = {"student": frame.student, "backbone": frame.backbone, "teacher": frame.teacher}
    rows: list[list[Panel]] = [[], []]
    for name, features in kinds.items():
        colors, legend = _similar(frame, features, target, only_seen=name == "teacher")
        drawn = _draw(frame, view, image, colors)
        rows[0].append(Panel(image=_mark(drawn, uv), title=f"{name}, {view.name}: {legend}"))
        column, row = _pixels_above(frame, _THIRD)[target]
        above = mark_cross(_above(frame, colors, _THIRD), (float(column), float(row)))
        rows[1].append(Panel(image=above, title=f"{name}, from above"))
    x, y, z = frame.points[target]
    where = f"cosine similarity to the point at the cross ({x:.1f}, {y:.1f}, {z:.1f}) m"
    return sheet(rows, title=f"{frame.frame_id}: {where}")


def _correlation_on_images(frame: FrameFeatures, target: int) -> NDArray[np.uint8]:
    """Similarity of all points to one on every image, for student, backbone and teacher."""
    kinds = {"student": frame.student, "backbone": frame.backbone, "teacher": frame.teacher}
    similar = {
        name: _similar(frame, features, target, only_seen=name == "teacher")
        for name, features in kinds.items()
    }
    rows = []
    for view in frame.views:
        image, uv = _image(view), _pixel(frame, view, target)
        rows.append(
            [
                Panel(
                    image=_mark(_draw(frame, view, image, colors), uv),
                    title=f"{name}, {view.name}: {legend}",
                )
                for name, (colors, legend) in similar.items()
            ]
        )
    return sheet(rows, title=f"{frame.frame_id}: cosine similarity to the point at the cross")


def _headline(frame: FrameFeatures) -> str:
    cosine = frame.cosine_to_teacher()
    return f"{frame.frame_id}: mean cosine of student and teacher {cosine:.2f} at the seen points"


def _similar(
    frame: FrameFeatures, features: NDArray[np.float32], target: int, *, only_seen: bool
) -> tuple[NDArray[np.uint8], str]:
    """(N, 3) colours of the similarity to a point, and which numbers are blue and red."""
    counted = frame.seen if only_seen else np.ones_like(frame.seen)
    if not counted[target]:
        return np.tile(_UNSEEN, (len(features), 1)), "no camera sees the point"
    cosine = correlation(features, target)
    low = min(float(np.percentile(cosine[counted], 2)), 0.99)
    colors = np.where(counted[:, None], similarity_colors(cosine, low=low), _UNSEEN)
    return colors, f"blue {low:.2f}, red 1"


def _image(view: CameraView) -> NDArray[np.uint8]:
    """(H, W, 3) image of a view at the width of a panel."""
    image = torch.from_numpy(read_image(view.image_path)).permute(2, 0, 1)
    resized = resize(image, _panel_size(view), antialias=True)
    return resized.permute(1, 2, 0).contiguous().numpy()


def _panel_size(view: CameraView) -> tuple[int, int]:
    height, width = view.size_hw
    return max(1, round(height * _THIRD / width)), _THIRD


def _draw(
    frame: FrameFeatures, view: CameraView, image: NDArray[np.uint8], colors: NDArray[np.uint8]
) -> NDArray[np.uint8]:
    """Points in their colours on a dim, grey copy of an image; near ones cover far ones."""
    grey = image.mean(axis=2, keepdims=True) * 0.35
    dim = np.repeat(grey.astype(np.uint8), 3, axis=2)
    pairs = pair_view(frame.points, view, _panel_size(view))
    depth = transform_points(view.T_cam_lidar, frame.points[pairs.index])[:, 2]
    return draw_points(dim, pairs.uv, colors[pairs.index], radius=1.5, depth=depth)


def _pixel(frame: FrameFeatures, view: CameraView, target: int) -> tuple[float, float] | None:
    """Column and row of a point in the panel of a view, or None if the view does not see it."""
    pairs = pair_view(frame.points, view, _panel_size(view))
    place = np.flatnonzero(pairs.index == target)
    return None if not len(place) else (float(pairs.uv[place[0], 0]), float(pairs.uv[place[0], 1]))


def _mark(image: NDArray[np.uint8], uv: tuple[float, float] | None) -> NDArray[np.uint8]:
    return image if uv is None else mark_cross(image, uv)


def _above(frame: FrameFeatures, colors: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """The scan from above, where the first camera looks to the top; higher points win."""
    canvas = np.full((size_px, size_px, 3), _DARK, dtype=np.uint8)
    height = frame.points[:, 2]
    return draw_points(canvas, _pixels_above(frame, size_px), colors, radius=1.0, depth=-height)


def _pixels_above(frame: FrameFeatures, size_px: int) -> NDArray[np.float64]:
    """(N, 2) column and row in a view from above that holds most points, but not the last."""
    reach = np.abs(frame.points[:, :2]).max(axis=1)
    extent = float(np.clip(np.percentile(reach, 96), 15.0, 50.0))
    return (extent - frame.facing_up()[:, 1::-1]) * (size_px / (2 * extent))
