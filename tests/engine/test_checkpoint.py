import json

import pytest
import torch
from torch import nn

from lidistill.engine.checkpoint import (
    has_checkpoint,
    load_checkpoint,
    load_weights,
    save_checkpoint,
)
from lidistill.errors import CheckpointError


def save(run, step, keep=2):
    return save_checkpoint(
        run / "checkpoints",
        step=step,
        weights={"w": torch.full((2,), float(step))},
        training={"optimizer": {"state": {}}, "scaler": {}},
        recipe={"kind": "pretrain"},
        meta={"label_names": ["car"]},
        keep=keep,
    )


def test_what_is_saved_comes_back(tmp_path):
    path = save(tmp_path, 7)
    for place in (path, tmp_path, tmp_path / "checkpoints"):
        checkpoint = load_checkpoint(place)
        assert checkpoint.step == 7
        assert checkpoint.recipe == {"kind": "pretrain"}
        assert checkpoint.meta["label_names"] == ["car"]
        assert checkpoint.meta["versions"]["torch"] == torch.__version__
        assert torch.equal(checkpoint.weights["w"], torch.tensor([7.0, 7.0]))
        assert checkpoint.training_state()["optimizer"] == {"state": {}}


def test_the_newest_ones_are_kept_by_number_not_by_name(tmp_path):
    for step in (9, 10, 100_000_000, 200_000_000):
        save(tmp_path, step)
    assert load_checkpoint(tmp_path).step == 200_000_000
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


def test_a_half_written_checkpoint_is_never_found(tmp_path):
    save(tmp_path, 5)
    (tmp_path / "checkpoints" / ".writing-step-00000006").mkdir()
    assert load_checkpoint(tmp_path).step == 5


def test_nothing_there_is_said(tmp_path):
    assert not has_checkpoint(tmp_path)
    with pytest.raises(CheckpointError, match=r"no checkpoint at .*nowhere \(nothing\)"):
        load_checkpoint(tmp_path / "nowhere")


def test_a_damaged_file_is_named(tmp_path):
    path = save(tmp_path, 1)
    weights = path / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4])
    with pytest.raises(CheckpointError, match="step-00000001 is not a readable checkpoint"):
        load_checkpoint(tmp_path)


def test_a_format_of_the_future_is_refused(tmp_path):
    file = save(tmp_path, 1) / "checkpoint.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"format": 99}))
    with pytest.raises(CheckpointError, match="checkpoint format 99"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("content", ["[]", '"x"', '{"format": 1}', '{"format": 1, "recipe": []}'])
def test_a_record_that_is_none_is_refused(tmp_path, content):
    (save(tmp_path, 1) / "checkpoint.json").write_text(content)
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\x80\x02", b"hello"])
def test_a_training_state_that_is_none_is_refused(tmp_path, content):
    path = save(tmp_path, 1)
    (path / "training.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match="not a readable training state"):
        load_checkpoint(tmp_path).training_state()


def test_weights_of_another_architecture_are_refused_with_the_difference(tmp_path):
    module = nn.Linear(2, 3)
    wrong = {"weight": torch.zeros(4, 2), "scale": torch.zeros(1)}
    with pytest.raises(CheckpointError, match=r"weight is \(4, 2\), expected \(3, 2\).*bias"):
        load_weights(module, wrong, source=tmp_path)


def test_an_inference_checkpoint_cannot_be_resumed(tmp_path):
    path = save(tmp_path, 1)
    (path / "training.pt").unlink()
    with pytest.raises(CheckpointError, match="cannot be resumed"):
        load_checkpoint(tmp_path).training_state()


def test_code_in_a_training_state_does_not_run(tmp_path):
    path = save(tmp_path, 1)
    marker = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (open, (str(marker), "w"))

    torch.save({"optimizer": Evil()}, path / "training.pt")
    with pytest.raises(CheckpointError, match="not a readable training state"):
        load_checkpoint(tmp_path).training_state()
    assert not marker.exists()
