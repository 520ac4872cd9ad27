"""The card of a model: what it is, where it comes from, how good it is, what it is not for."""

from collections.abc import Sequence
from typing import Final

from lidistill.backbones import Backbone
from lidistill.deploy.licences import data_licence
from lidistill.deploy.model_config import ModelConfig, TeacherHead
from lidistill.deploy.scores import Score
from lidistill.reading.names import listed, shown

CARD: Final = "README.md"
FIGURE: Final = "figure.png"

_LIMITS: Final = (
    "Points are wanted in metres in the sensor's own frame: z up, the origin at the sensor.",
    "Another lidar has other intensities and beams: expect a loss, and measure it on your labels.",
    "Not tested for use in a vehicle. A class that no score names was never measured.",
)


def write_card(
    config: ModelConfig, backbone: Backbone, scores: Sequence[Score], *, name: str, figure: str
) -> str:
    """The text of ``README.md``.

    Args:
        config: Of the model.
        backbone: The network, for its size.
        scores: Evaluations of it.
        name: What to call it.
        figure: What the figure beside the card shows; "" where there is none.
    """
    parts = [
        _front_matter(config),
        f"# {_plain(name)}\n\n{_promise(config)}",
        f"![{figure}]({FIGURE})\n\n*{figure}*" if figure else "",
        _use(config),
        _table("What it is", _facts(config, backbone)),
        _table("Where it comes from", _origin(config)),
        _scores(scores),
        "## Limits\n\n" + "\n".join(f"- {line}" for line in (*_limits(config), *_LIMITS)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _front_matter(config: ModelConfig) -> str:
    tags = ["lidar", "point-cloud", "semantic-segmentation" if config.class_names else "features"]
    lines = ["license: other", "library_name: lidistill", "tags:", *(f"- {tag}" for tag in tags)]
    return "\n".join(["---", *lines, "---"])


def _promise(config: ModelConfig) -> str:
    if config.class_names:
        return (
            f"Tells {len(config.class_names)} classes of lidar points apart: "
            f"{listed(config.class_names, limit=40)}."
        )
    # A teacher of the kind lidistill is a network of this package, which sees points alone.
    of_points = config.teacher is not None and config.teacher.get("kind") == "lidistill"
    source = "another network of points" if of_points else "an image network"
    return f"Gives every point of a lidar scan a feature; distilled from {source}, no labels."


def _use(config: ModelConfig) -> str:
    call = "model.predict(points, intensity)  # (N,) class ids, 255: no class"
    if not config.class_names:
        call = "model.features(points, intensity)  # (N, C)"
    code = [
        "import lidistill",
        "",
        'model = lidistill.load("FOLDER")  # or "hf://owner/name"',
        call,
    ]
    return "## How to use it\n\n" + "\n".join(["```python", *code, "```"])


def _facts(config: ModelConfig, backbone: Backbone) -> list[tuple[str, str]]:
    view = config.backbone.inputs().field_of_view
    count = sum(parameter.numel() for parameter in backbone.parameters())
    facts = [
        ("network", f"{config.backbone.kind}, {backbone.num_layers} layers"),
        ("features", f"{backbone.num_channels} channels"),
        ("parameters of the backbone", f"{count:,}"),
        ("input channels", ", ".join(backbone.channels)),
        ("field of view", str(view)),
        ("voxels", f"{config.voxel_size} m, one point of each"),
        ("lidars", listed(config.sensors)),
    ]
    for one in config.intensity:
        spread = "no part" if one.std is None else f"mean {one.mean:g}, deviation {one.std:g}"
        facts.append((f"intensity of {_plain(one.sensor)}", spread))
    if isinstance(config.head, TeacherHead):
        widths = " + ".join(map(str, config.head.widths))
        facts.append(("head", f"{config.head.layers.kind}, into {widths} teacher channels"))
    return facts


def _origin(config: ModelConfig) -> list[tuple[str, str]]:
    origin = config.provenance
    versions = ", ".join(f"{key} {value}" for key, value in config.versions.items())
    frames = "" if origin.num_frames is None else f", {origin.num_frames} frames"
    teacher = _plain(origin.teacher) or "not recorded in this run"
    return [
        (
            "made by",
            f"`lidistill {origin.run}`, recipe {_plain(origin.recipe)}, step {origin.step}",
        ),
        ("distilled from", teacher),
        ("licence of the teacher", origin.teacher_licence or "not recorded in this run"),
        ("data", "; ".join(data_licence(kind) for kind in origin.data) + frames),
        ("checkpoint, SHA-256", origin.weights[:12] or "not recorded"),
        ("trained with", _plain(versions)),
        ("licence of these weights", "whoever publishes them says it here"),
    ]


def _scores(scores: Sequence[Score]) -> str:
    if not scores:
        return "## Scores\n\nNone were given when the folder was written."
    lines = ["## Scores", "", "| evaluation | frames | mIoU % | 95 % interval | accuracy % |"]
    lines.append("|---|---|---|---|---|")
    for one in scores:
        whole, interval = one.all_points, one.mean_iou_interval
        ends = "–"
        if interval is not None:
            ends = f"{_number(interval.low)} to {_number(interval.high)}"
            ends += f" over {interval.num_units} {_plain(interval.unit)}s"
        found = f"{_number(whole.mean_iou_of_truth)} | {ends} | {_number(whole.overall_accuracy)}"
        lines.append(f"| {_plain(one.name)} | {one.num_frames} | {found} |")
    lines += ["", "mIoU over the classes that occur; the interval is of the papers' mean.", ""]
    names = scores[0].classes
    alike = [one for one in scores if one.classes == names]
    lines += [f"| class, IoU % | {' | '.join(_plain(one.name) for one in alike)} |"]
    lines += [f"|---|{'---|' * len(alike)}"]
    for row, name in enumerate(names):
        found = " | ".join(_number(one.all_points.iou[row]) for one in alike)
        lines.append(f"| {_plain(name)} | {found} |")
    return "\n".join(lines)


def _limits(config: ModelConfig) -> list[str]:
    if "folder" in config.provenance.data or not config.intensity:
        return []
    return [f"Trained on {listed(config.sensors)} alone."]


def _table(title: str, rows: Sequence[tuple[str, str]]) -> str:
    lines = [
        f"## {title}",
        "",
        "| | |",
        "|---|---|",
        *(f"| {key} | {value} |" for key, value in rows),
    ]
    return "\n".join(lines)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _plain(text: str) -> str:
    """Text from a run as one cell of a table: no line break, no column, no markup of links."""
    return shown(text, limit=300)[1:-1].replace("|", "/").replace("[", "(").replace("]", ")")
