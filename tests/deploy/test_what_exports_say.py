"""What an export says: the card's first sentence, what failed, which scan was of no use."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from fakes.runs import pretrain_values

from deploy.conftest import make
from lidistill.datasets.sensors import SENSORS
from lidistill.deploy.card import write_card
from lidistill.deploy.licences import teacher_licence
from lidistill.deploy.model_config import ModelConfig
from lidistill.deploy.onnx_check import Comparison, check_agreement
from lidistill.deploy.robot_package import sample_of
from lidistill.errors import CheckpointError, FileFormatError
from lidistill.scan_formats.scan_file import Scan


@pytest.fixture
def config(tmp_path):
    backbone = make(pretrain_values(tmp_path)).backbone.model_dump(mode="json")
    return ModelConfig.model_validate({"backbone": backbone})


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("vit", "distilled from an image network,"),
        ("lidistill", "distilled from another network of"),
    ],
)
def test_a_card_does_not_call_a_network_of_points_a_teacher_of_images(config, kind, words):
    other = config.model_copy(update={"teacher": {"kind": kind}})
    assert words in write_card(other, other.backbone.build(), (), name="m", figure="")


def test_the_licence_behind_a_network_of_points_is_looked_up_on_its_own_card():
    assert "lidar network it learned from" in teacher_licence(
        {"kind": "lidistill", "run": "runs/a"}
    )


@pytest.mark.parametrize(
    ("dtype", "expected", "advice"),
    [
        (torch.float32, "expected at most 1e-04 and at least 99.9%", "without --onnx"),
        (torch.float16, "expected at least 99.5%", "without --half"),
    ],
)
def test_a_graph_that_differs_is_measured_and_advised_by_its_own_format(dtype, expected, advice):
    one = Comparison(num_points=9, difference=0.1, agreement=0.9, network_s=0, graph_s=0)
    with pytest.raises(CheckpointError) as error:
        check_agreement([one], dtype)
    assert expected in str(error.value)
    assert advice in str(error.value)


def test_a_scan_out_of_sight_is_named(config):
    points = np.full((9, 3), 500, np.float32)
    scan = Scan(points=points, intensity=np.ones(9, np.float32), columns={})
    model = SimpleNamespace(config=config)
    with pytest.raises(FileFormatError, match=r"/data/far\.bin: none of its 9 points"):
        sample_of(scan, model, SENSORS["pandar64"], name="/data/far.bin")
