"""In what a network that teaches computes, of each kind."""

import logging

import pytest
import torch

from lidistill.backbones import BackboneSettings, MinkUNetConfig, WaffleIronConfig
from lidistill.distill.lidar_teacher import LidarTeacherConfig
from lidistill.training.checkpoint import save_checkpoint


@pytest.mark.parametrize(
    ("backbone", "said"),
    [
        (MinkUNetConfig(depth=14, width=2), "fp32"),
        (WaffleIronConfig(width=8, depth=2), "bf16"),
    ],
)
def test_a_teacher_says_the_precision_that_it_computes_in(
    tmp_path, caplog, backbone: BackboneSettings, said
):
    weights = {f"backbone.{name}": w for name, w in backbone.build().state_dict().items()}
    recipe = {"kind": "pretrain", "backbone": backbone.model_dump(mode="json")}
    save_checkpoint(
        tmp_path / "large" / "checkpoints", step=1, weights=weights, training={}, recipe=recipe,
        meta={},
    )  # fmt: skip
    with caplog.at_level(logging.INFO):
        teacher = LidarTeacherConfig(run=tmp_path / "large", precision="bf16").build()
    path = teacher.path_taken(torch.device("cpu"))
    assert path.startswith(f"teacher large ({backbone.kind}): ")
    assert path.endswith(f"(teacher.precision={said})")
    assert teacher.name.endswith(f"precision={said}")
    assert ("MinkUNet has no other form" in caplog.text) == (said == "fp32")
