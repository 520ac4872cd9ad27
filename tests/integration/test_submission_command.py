import pytest
import torch
from fakes.command import run
from fakes.nuscenes import FakeNuScenes
from fakes.semantic_kitti import write_sequence

from lidistill.apps.import_checkpoint import import_checkpoint
from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.published_names import NamedWeights
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.published import to_official
from lidistill.segment.heads import SegmentationHead

GRID = GridConfig(planes=((8, 8), (8, 4), (8, 4)))


@pytest.fixture
def published(tmp_path):
    """A run that tells nuScenes' classes apart, from weights in the authors' form."""
    net = WaffleIronConfig(width=6, depth=2, grid=GRID).build()
    head = SegmentationHead(6, 16)
    state = to_official(NamedWeights(backbone=net.state_dict(), head=head.state_dict()))
    torch.save({"net": state}, tmp_path / "model.pth")
    run = tmp_path / "published"
    import_checkpoint(tmp_path / "model.pth", run, recipe="finetune/scalr/nuscenes")
    return run


def test_the_test_split_is_predicted_and_what_is_not_there_is_said(
    published, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)  # the recipe's cache of the tables lies beside data/nuscenes
    fake = FakeNuScenes(tmp_path / "nuscenes", version="v1.0-test")
    fake.add_scene("scene-0077")
    fake.write_tables()
    root = f"evaluation.sets.0.root={fake.root}"
    out = tmp_path / "out"
    status, text, _ = run(
        capsys, "submission", published, out, root, "evaluation.sets.0.missing=skip"
    )
    assert status == 2
    assert "2 frames, the server's test set has 6,008" in " ".join(text.split())
    assert "1 problems" in text
    assert len(list((out / "lidarseg" / "test").iterdir())) == 2
    objects = ("evaluation.sets.0.missing=skip", "--panoptic")
    status, text, _ = run(capsys, "submission", published, out, root, *objects)
    assert status == 2
    assert "1 problems" in text
    assert len(list((out / "panoptic" / "test").glob("*_panoptic.npz"))) == 2
    status, _, err = run(capsys, "submission", published, out, root)
    assert status == 2
    assert "wanted scenes of split 'test'" in " ".join(err.split())


def test_classes_of_another_benchmark_are_refused(published, tmp_path, capsys):
    write_sequence(tmp_path / "kitti", 11)
    kitti = f"{{kind: semantic_kitti, root: {tmp_path / 'kitti'}, split: test, missing: skip}}"
    out = tmp_path / "out"
    status, _, err = run(capsys, "submission", published, out, f"evaluation.sets=[{kitti}]")
    assert status == 2
    assert "classes" in err
    assert not out.exists()
