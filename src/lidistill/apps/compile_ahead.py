"""A student's compiled loops, made while another process does something else.

Numba compiles a loop where it is first called, and keeps it on disk. A step on an invented scan
calls those that every step of a run will call.
"""

from pathlib import Path

import numpy as np
import torch

from lidistill.distill.recipe import PretrainRecipe
from lidistill.loading.collate import collate
from lidistill.records import CameraView, Frame
from lidistill.samples.distillation import distillation_sample
from lidistill.samples.labelled import scan_sample
from lidistill.samples.visibility import visible_points
from lidistill.segment.lovasz import lovasz

_POINTS = 2000


def compile_ahead(recipe: PretrainRecipe) -> None:
    """Compile what a distillation, a probe of what it has learned and its page compute with.

    Nothing is left but what numba keeps on disk. To be called in a process of its own, since the
    number of PyTorch's threads is changed.
    """
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    frame = _invented_frame(recipe.data.sets[0].sensor, rng)
    preparer, backbone = recipe.backbone.inputs(), recipe.backbone.build()
    sample = distillation_sample(frame, recipe.data.sampling, preparer, rng, load_images=False)
    backbone.train()(collate([sample])).square().mean().backward()
    whole_scan = collate([scan_sample(frame, recipe.data.sampling, preparer)])
    with torch.no_grad():
        backbone.eval()(whole_scan)
    lovasz(torch.rand(8, 3), torch.arange(8) % 3)
    visible_points(rng.uniform(0, 50, (8, 2)), rng.uniform(1, 9, 8), (50, 50), focal_px=50)


def _invented_frame(sensor: str, rng: np.random.Generator) -> Frame:
    """Points all around, and a camera that looks ahead and sees some of them."""
    T_cam_lidar = np.eye(4)
    T_cam_lidar[:3, :3] = [[0, -1, 0], [0, 0, -1], [1, 0, 0]]
    view = CameraView(
        name="front",
        image_path=Path("front.jpg"),
        size_hw=(100, 200),
        K=np.array([[100.0, 0, 100], [0, 100, 50], [0, 0, 1]]),
        T_cam_lidar=T_cam_lidar,
    )
    return Frame(
        frame_id="invented",
        sensor=sensor,
        points=rng.uniform((-20, -20, -2), (20, 20, 2), size=(_POINTS, 3)).astype(np.float32),
        intensity=rng.uniform(size=_POINTS).astype(np.float32),
        views=(view,),
    )
