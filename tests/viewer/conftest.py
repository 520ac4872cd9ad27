import logging

import pytest
from fakes.page import write_page
from fakes.runs import pretrain_values, probe_values, write_world

import lidistill
from lidistill.distill.run import pretrain
from lidistill.recipes import apply_overrides
from lidistill.segment.report import train_and_score
from lidistill.training.checkpoint import load_checkpoint
from lidistill.viewer.build import Network, build_content
from lidistill.viewer.sources import source_of_run
from lidistill.viewer.teacher_images import teacher_of


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    """A drive of four frames with labels and a camera, a distillation and a probe of it."""
    folder = tmp_path_factory.mktemp("viewer")
    write_world(folder)
    pretrain(apply_overrides(pretrain_values(folder), ("train.steps=2",), source="tiny"))
    train_and_score(apply_overrides(probe_values(folder), ("train.steps=20",), source="tiny"))
    return folder


@pytest.fixture(autouse=True)
def same_logging():
    """Commands log to streams that are closed when their test is over."""
    root = logging.getLogger()
    before = root.handlers[:]
    yield
    root.handlers = before


@pytest.fixture(autouse=True)
def page(tmp_path_factory, monkeypatch):
    """What stands in for the built page."""
    file = write_page(tmp_path_factory.mktemp("page"))
    monkeypatch.setattr("lidistill.viewer.page.BUILT", file)
    return file


@pytest.fixture(scope="session")
def content(world):
    """Both networks on all frames."""
    distilled = load_checkpoint(world / "pretrain")
    dataset = source_of_run(distilled).dataset
    networks = [
        Network(
            name="distilled",
            model=lidistill.load(world / "pretrain", "cpu"),
            teacher=teacher_of(distilled, "cpu"),
        ),
        Network(name="probe", model=lidistill.load(world / "probe-backbone", "cpu")),
    ]
    return build_content(
        dataset, range(len(dataset)), networks, title="<b>tiny</b>", image_width=40
    )
