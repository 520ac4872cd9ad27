"""The whole training step on a GPU: a vision transformer as the teacher, the student, AdamW.

``gpu_check.py`` runs it; the sizes are those of a ``Plan``.

Shape letters: M points of a batch, C channels of the student, T of the teacher.
"""

import importlib
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from student import matmul_flops, reference
from torch import Tensor, nn

from lidistill.backbones import WaffleIron, WaffleIronConfig
from lidistill.config import Precision
from lidistill.distill.heads import LinearHeadConfig, Matching
from lidistill.distill.losses import distillation_distances
from lidistill.distill.objective import TeacherObjective, TeacherOutput, at_pairs
from lidistill.distill.step import Distiller
from lidistill.distill.teacher_config import UNNAMED_TEACHER
from lidistill.geometry import rigid
from lidistill.loading.collate import collate
from lidistill.records import Batch, CameraView, Frame, Pairs, Sample
from lidistill.teachers import Teacher
from lidistill.teachers.precision import for_run
from lidistill.teachers.vit import VitTeacherConfig
from lidistill.training.precision import autocast, make_scaler

GRID = WaffleIronConfig().grid
PREPARER = WaffleIronConfig().inputs()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Sizes of everything that is measured."""

    scans: int = 8
    points: int = 7500
    """Of each scan; all have one pixel."""
    raw_points: int = 60_000
    """Of a scan before it is thinned out."""
    widths: tuple[int, ...] = (256, 768)
    depth: int = 48
    image_hw: tuple[int, int] = (224, 448)
    teacher: tuple[int, int, int] = (1024, 24, 16)
    """Width, depth and heads; those of a ViT-L."""
    repeats: int = 10


DRY = Plan(
    scans=2,
    points=40,
    raw_points=400,
    widths=(24,),
    depth=2,
    image_hw=(28, 56),
    teacher=(32, 2, 2),
    repeats=1,
)
"""Small enough for Triton's interpreter."""


def drawn_frame(num_points: int, seed: int, stored_hw: tuple[int, int] = (900, 1600)) -> Frame:
    """Points on a street-like surface, and a camera that looks along x and has no image."""
    rng = np.random.default_rng(seed)
    distance = 3 + 50 * rng.random(num_points) ** 2
    angle = rng.uniform(-np.pi, np.pi, num_points)
    height = np.where(rng.random(num_points) < 0.5, -1.7, rng.uniform(-1.7, 3, num_points))
    points = np.stack([distance * np.cos(angle), distance * np.sin(angle), height], axis=1)
    axes = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]])
    camera = CameraView(
        name="front",
        image_path=Path("drawn.jpg"),
        size_hw=stored_hw,
        K=np.array([[900.0, 0, stored_hw[1] / 2], [0, 900, stored_hw[0] / 2], [0, 0, 1]]),
        T_cam_lidar=rigid(axes, [0.0, 0.0, 0.0]),
    )
    return Frame(
        frame_id=f"drawn-{seed}",
        sensor="nuscenes",
        points=points.astype(np.float32),
        intensity=rng.uniform(0, 40, num_points).astype(np.float32),
        views=(camera,),
    )


def drawn_sample(plan: Plan, seed: int) -> Sample:
    """Points in a sector of +-40 degrees, as one camera sees them, each with a random pixel."""
    rng = np.random.default_rng(seed)
    coords = drawn_frame(plan.points, seed).points
    turn = rng.uniform(-0.7, 0.7, plan.points) - np.arctan2(coords[:, 1], coords[:, 0])
    cos, sin = np.cos(turn), np.sin(turn)
    x, y, z = coords.T
    coords = np.stack([x * cos - y * sin, x * sin + y * cos, z], axis=1).astype(np.float32)
    radius = np.linalg.norm(coords, axis=1, keepdims=True)
    channels = np.hstack([rng.normal(size=(plan.points, 1)), coords, radius]).astype(np.float32)
    everything = torch.arange(plan.points)
    uv = rng.integers(0, plan.image_hw[::-1], (plan.points, 2)).astype(np.float32)
    return Sample(
        frame_id=f"drawn-{seed}",
        coords=torch.from_numpy(coords),
        features=torch.from_numpy(channels),
        inputs=PREPARER.prepare(coords, channels),
        source=everything,
        pairs=Pairs(point=everything, view=torch.zeros_like(everything), uv=torch.from_numpy(uv)),
        images=torch.from_numpy(rng.integers(0, 256, (1, 3, *plan.image_hw), dtype=np.uint8)),
        image_paths=(Path(f"drawn-{seed}.jpg"),),
    )


def measure(function: Callable[[], object], device: torch.device, repeats: int) -> dict[str, float]:
    """Milliseconds after three passes that do not count, each waited for."""
    times = []
    for _ in range(3 + repeats):
        _wait(device)
        started = time.perf_counter()
        function()
        _wait(device)
        times.append(1000 * (time.perf_counter() - started))
    kept = sorted(times[3:])
    return {"median_ms": median(kept), "fastest_ms": kept[0], "slowest_ms": kept[-1]}


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def random_teacher(plan: Plan, device: torch.device, precision: Precision) -> Teacher:
    """A DINOv2 of random weights as the papers' recipes run it; its speed is the real one's."""
    transformers = importlib.import_module("transformers")
    width, depth, heads = plan.teacher
    config = transformers.Dinov2Config(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        image_size=518,
        patch_size=14,
    )
    with tempfile.TemporaryDirectory() as folder:
        transformers.Dinov2Model(config).save_pretrained(folder)
        settings = for_run(VitTeacherConfig(model=folder, precision="auto"), device, precision)
        return settings.build(device)


class ReferenceDistiller(nn.Module):
    """The authors' student under the same head and loss.

    Args:
        folder: Checkout of github.com/valeoai/WaffleIron.
        ours: Distiller whose weights it takes.
        batch: Equally long scans, on the device.
    """

    def __init__(self, folder: Path, ours: Distiller, batch: Batch) -> None:
        super().__init__()
        backbone = ours.backbone
        assert isinstance(backbone, WaffleIron)  # noqa: S101
        contender = reference(folder, backbone, batch)
        self._objective = ours.objectives[UNNAMED_TEACHER]
        self.net, self.head = contender.net, self._objective.head
        self._features = contender.features

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """See ``Distiller.forward``."""
        pairs = batch.pairs
        assert pairs is not None  # noqa: S101
        student = self.head(self._features()[pairs.point])
        target = self._objective.target(batch, update_statistics=False).points
        return {"loss": distillation_distances(student, target).mean()}


def step_time(
    module: nn.Module,
    batch: Batch,
    device: torch.device,
    repeats: int,
    precision: Precision = "bf16",
) -> dict[str, float]:
    """Milliseconds and peak memory of a step, with loss scaling where that is fp16."""
    optimizer = torch.optim.AdamW(module.parameters(), fused=True)
    scaler = make_scaler(device, precision)

    def step() -> None:
        with autocast(device, precision):
            loss = module(batch)["loss"]
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)

    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    found = measure(step, device, repeats)
    if device.type == "cuda":
        found["peak_gib"] = torch.cuda.max_memory_allocated(device) / 2**30
    return found


def steps(
    plan: Plan, device: torch.device, matmul_rate: float, folder: Path | None
) -> dict[str, object]:
    """Student alone, with its teacher, and the reference's student, for every width.

    In bf16, as ScaLR+ trains, and in fp16 with loss scaling, as ScaLR does; the teacher in what
    ``teacher.precision: auto`` of both recipes takes beside either.
    """
    batch = collate([drawn_sample(plan, seed) for seed in range(plan.scans)]).to(device)
    teacher = random_teacher(plan, device, "bf16")
    pairs, images = batch.pairs, batch.images
    assert pairs is not None  # noqa: S101
    assert images is not None  # noqa: S101

    def ask(batch: Batch) -> TeacherOutput:
        maps = teacher.maps(images)
        return at_pairs(batch, teacher.read(maps, pairs.view, pairs.uv, plan.image_hw))

    target = ask(batch).features
    found: dict[str, object] = {}
    for width in plan.widths:
        torch.manual_seed(0)
        config = WaffleIronConfig(width=width, depth=plan.depth)
        head = LinearHeadConfig().build(width, teacher.num_channels)
        matching = Matching(groups=teacher.groups)
        objective = TeacherObjective(matching=matching, head=head, teacher=ask)
        module = Distiller(config.build(), {UNNAMED_TEACHER: objective}).to(device)
        asked = step_time(module, batch, device, plan.repeats)
        asked_half = step_time(module, batch, device, plan.repeats, "fp16")
        objective.teacher = partial(at_pairs, features_PT=target)
        case = {"student": step_time(module, batch, device, plan.repeats)}
        case["student_and_teacher"] = asked
        case["student_and_teacher_fp16"] = asked_half
        for part in case.values():
            part["samples_per_s"] = 1000 * plan.scans / part["median_ms"]
        flops = matmul_flops(len(batch.features), config, "step")
        rate = 1000 * flops / case["student"]["median_ms"]
        case["student"]["share_of_matmul_rate"] = rate / matmul_rate
        if folder is not None:
            other = ReferenceDistiller(folder, module, batch).to(device)
            theirs = step_time(other, batch, device, plan.repeats)
            ratio = {key: theirs[key] / case["student"][key] for key in theirs}
            case |= {"reference": theirs, "reference_over_student": ratio}
        found[f"WI-{plan.depth}-{width}"] = case
    return found
