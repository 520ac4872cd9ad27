from fakes.runs import pretrain_values, probe_values, write_world

from lidistill.apps.pretrain import run_pretrain
from lidistill.loading.config import SetsConfig
from lidistill.recipes import apply_overrides
from lidistill.segment.report import train_and_score
from lidistill.teachers import VitTeacherConfig


def counted(monkeypatch, *kinds):
    """Names of the configurations that something was built of, in a list that grows."""
    built = []
    for kind in kinds:

        def build(self, *args, _build=kind.build, _name=kind.__name__):
            built.append(_name)
            return _build(self, *args)

        monkeypatch.setattr(kind, "build", build)
    return built


def test_a_run_builds_its_data_and_its_teacher_once(tmp_path, monkeypatch):
    write_world(tmp_path)
    values = pretrain_values(tmp_path)
    built = counted(monkeypatch, SetsConfig, VitTeacherConfig)
    changes = ("train.steps=1", "figures.enabled=true")
    result = run_pretrain(apply_overrides(values, changes, source="tiny"))
    assert len(result.figures) > 1
    assert built == ["SetsConfig", "VitTeacherConfig"]
    built.clear()
    train_and_score(apply_overrides(probe_values(tmp_path), ("train.steps=1",), source="tiny"))
    assert built == ["SetsConfig"] * 2  # to learn from, and to be scored on
