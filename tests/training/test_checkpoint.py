import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from faults.bounded import bounded, write_sparse
from torch import nn

from lidistill.errors import CheckpointError, TrainingError
from lidistill.training.checkpoint import (
    clean_stale,
    has_checkpoint,
    load_checkpoint,
    prune,
    save_checkpoint,
)
from lidistill.training.checkpoint_record import record_sum
from lidistill.training.fitting import build_fitting, load_weights
from lidistill.training.training_state import check_optimizer


def save(run, step, keep=2, weights=None, **changed):
    path = save_checkpoint(
        run / "checkpoints",
        step=step,
        weights=weights or {"w": torch.full((2,), float(step))},
        training={"optimizer": {"state": {}}, "scaler": {}},
        recipe={"kind": "pretrain"},
        meta={"label_names": ["car"]},
        **changed,
    )
    prune(run / "checkpoints", keep=keep, best=True)
    return path


def unsign(path):
    """A checkpoint of the first format, which had no checksums that could hide what is tried."""
    file = path / "checkpoint.json"
    record = json.loads(file.read_text()) | {"format": 1}
    del record["sha256"], record["measure"]
    file.write_text(json.dumps(record))


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
    unsign(path)
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
    unsign(path)
    with pytest.raises(CheckpointError, match="not a readable training state"):
        load_checkpoint(tmp_path).training_state()
    assert not marker.exists()


@pytest.mark.parametrize("name", ["weights.safetensors", "training.pt", "checkpoint.json"])
def test_one_flipped_bit_is_noticed(tmp_path, name):
    path = save(tmp_path, 1)
    data = bytearray((path / name).read_bytes())
    data[-len(data) // 4] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(CheckpointError, match=r"step-00000001.*not a readable"):
        load_checkpoint(tmp_path).training_state()


def test_the_first_format_had_no_checksums_and_is_still_read(tmp_path):
    unsign(save(tmp_path, 3))
    assert load_checkpoint(tmp_path).step == 3


def test_an_entry_of_the_future_is_refused_by_its_name(tmp_path):
    file = save(tmp_path, 1) / "checkpoint.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"tokeniser": "x"}))
    with pytest.raises(CheckpointError, match="unknown entry 'tokeniser'"):
        load_checkpoint(tmp_path)


def test_the_best_one_is_kept_beside_the_newest(tmp_path):
    for step, loss in enumerate([3.0, 1.0, 2.0, 4.0, float("nan")], start=1):
        save(tmp_path, step, measure={"loss": loss})
    kept = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert kept == ["best", "step-00000002", "step-00000004", "step-00000005"]
    assert load_checkpoint(tmp_path / "checkpoints" / "best").step == 2
    assert load_checkpoint(tmp_path).step == 5


def test_of_scores_the_highest_is_the_best(tmp_path):
    for step, score in enumerate([0.3, 0.9, 0.5, 0.1], start=1):
        save(tmp_path, step, keep=1, measure={"mean_iou": score})
    assert load_checkpoint(tmp_path / "checkpoints" / "best").step == 2


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("place", ["weights", "training"])
def test_what_is_not_finite_is_never_written(tmp_path, value, place):
    bad = torch.tensor([0.0, value])
    changed = {"weights": {"w": bad}} if place == "weights" else {}
    state = {"optimizer": {"state": {0: {"exp_avg": bad if place == "training" else bad[:1]}}}}
    with pytest.raises(TrainingError, match="is not finite after step 4"):
        save_checkpoint(
            tmp_path,
            step=4,
            weights=changed.get("weights", {"w": torch.ones(1)}),
            training=state,
            recipe={},
            meta={},
        )
    assert not list(tmp_path.iterdir())


def test_what_a_killed_run_left_is_cleared(tmp_path):
    path = save(tmp_path, 5)
    folder = path.parent
    shutil.copytree(path, folder / ".writing-step-00000006")
    shutil.copytree(path, folder / ".replaced-step-00000005")
    (tmp_path / ".writing-log.jsonl").write_text("x")
    (folder / ".writing-best").symlink_to(path.name)
    clean_stale(tmp_path)
    assert [p.name for p in folder.iterdir()] == ["step-00000005"]
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoints"]
    assert load_checkpoint(tmp_path).step == 5


def test_others_may_read_every_file_as_they_may_any_other(tmp_path):
    (tmp_path / "plain").touch()
    modes = {file.stat().st_mode for file in save(tmp_path, 5).iterdir()}
    assert modes == {(tmp_path / "plain").stat().st_mode}


def test_a_kill_between_the_old_one_and_its_replacement_loses_neither(tmp_path, monkeypatch):
    path = save(tmp_path, 5)
    real = Path.replace

    def killed(self, target):
        if self.name.startswith(".writing-step"):
            raise KeyboardInterrupt
        return real(self, target)

    monkeypatch.setattr(Path, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        save(tmp_path, 5)
    monkeypatch.undo()
    assert not path.exists()
    clean_stale(tmp_path)
    assert [p.name for p in path.parent.iterdir()] == ["step-00000005"]
    assert load_checkpoint(tmp_path).step == 5


def test_a_failed_write_leaves_the_old_checkpoint_and_says_so(tmp_path, monkeypatch):
    save(tmp_path, 1)

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(CheckpointError, match=r"No space left.*step-00000001 is still there"):
        save(tmp_path, 2)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]
    assert load_checkpoint(tmp_path).step == 1


def test_everything_is_on_the_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    done = []
    real = os.fsync

    def noted(descriptor):
        done.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    path = save(tmp_path, 7)
    side = path.with_name(f".writing-{path.name}")
    files = {str(side / p.name) for p in path.iterdir()}
    assert done.pop(0) == str(tmp_path)  # which has the new folder of checkpoints
    assert set(done[: len(files)]) == files
    assert done[len(files) :] == [str(side), str(path.parent)]


def test_a_kill_while_an_old_one_is_removed_leaves_no_half_of_it_to_be_found(tmp_path, monkeypatch):
    for step in (1, 2):
        save(tmp_path, step)

    class Killed(Exception):
        pass

    def killed(folder, ignore_errors):
        (folder / "training.pt").unlink()
        raise Killed

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(Killed):
        prune(tmp_path / "checkpoints", keep=1, best=False)
    monkeypatch.undo()
    assert sorted(p.name for p in (tmp_path / "checkpoints").glob("step-*")) == ["step-00000002"]
    clean_stale(tmp_path)
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000002"]


def resign(path, change):
    """Change a record as somebody would who knows how its checksums are made."""
    file = path / "checkpoint.json"
    record = json.loads(file.read_text())
    change(record)
    record["sha256"]["checkpoint.json"] = record_sum(record)
    file.write_text(json.dumps(record))


def deep(number):
    value = 1
    for _ in range(number):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda r: r.update(step=-1), "no valid 'step'"),
        (lambda r: r.update(step=True), "no valid 'step': Input should be a valid integer"),
        (lambda r: r["meta"].update(sensors=[]), "no valid 'meta.sensors'"),
        (lambda r: r["meta"].update(sensors=5), "no valid 'meta.sensors': Input should be a"),
        (lambda r: r["meta"].update(intensity=[{"sensor": "x"}]), "no valid 'meta.intensity.0"),
        (lambda r: r["meta"].update(label_names=[1]), "no valid 'meta.label_names.0'"),
        (lambda r: r["meta"].update(networks=[1]), "no valid 'meta.networks'"),
        (lambda r: r.update(measure={"a": 1, "b": 2}), "no valid 'measure'"),
        (lambda r: r["recipe"].update(x=deep(60)), "nested deeper than 40 levels"),
        (lambda r: r["recipe"].update(x="a" * 5_000_000), "expected at most 4194304"),
    ],
)
def test_a_record_with_other_kinds_of_values_is_refused(tmp_path, change, reason):
    resign(save(tmp_path, 1), change)
    with pytest.raises(CheckpointError, match=f"not a readable checkpoint .*{reason}") as caught:
        load_checkpoint(tmp_path)
    assert len(str(caught.value)) < 500


def test_what_a_record_does_not_say_is_named(tmp_path):
    resign(save(tmp_path, 1), lambda record: record.update(meta={}))
    meta = load_checkpoint(tmp_path).meta
    assert meta.get("sensors") is None
    with pytest.raises(CheckpointError, match=r"step-00000001 does not say its 'sensors'"):
        meta["sensors"]


@pytest.mark.parametrize("name", ["weights.safetensors", "training.pt", "checkpoint.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "sparse"])
def test_files_without_an_end_cost_nothing(tmp_path, name, kind):
    path = save(tmp_path, 1)
    (path / name).unlink()
    make: dict[str, Callable[[Path], object]] = {
        "pipe": os.mkfifo,
        "device": lambda file: file.symlink_to("/dev/zero"),
        "sparse": write_sparse,
    }
    make[kind](path / name)
    answer = bounded(lambda: load_checkpoint(tmp_path).training_state())
    assert answer.startswith("CheckpointError: ")
    assert len(answer) < 500


def table_of(tensors):
    """A safetensors file that announces tensors and holds no value."""
    text = json.dumps(tensors).encode()
    return struct.pack("<Q", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        struct.pack("<Q", 1 << 60) + b"{}",
        table_of({"w": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}),
        table_of({"w" * 5_000_000: {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}}),
        table_of({"w": {"dtype": "F32", "shape": [10**9, 0], "data_offsets": [0, 0]}}),
    ],
)
def test_weights_that_announce_more_than_they_hold_cost_nothing(tmp_path, content):
    path = save(tmp_path, 1)
    (path / "weights.safetensors").write_bytes(content)
    unsign(path)

    def load():
        checkpoint = load_checkpoint(tmp_path)
        build_fitting(lambda: nn.Linear(10**9, 10**3), checkpoint.weights, source=tmp_path)

    assert bounded(load).startswith("CheckpointError: ")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"optimizer": {"x": torch.eye(3).to_sparse()}}, "is a sparse tensor"),
        ({"optimizer": [1]}, "no valid 'optimizer'"),
        ({"bad_in_a_row": "x"}, "no valid 'bad_in_a_row'"),
        ({"losses": 1.0}, "no valid 'losses'"),
        ([1], "no valid 'optimizer'"),
        ({"optimizer": {"x": torch.zeros(1).expand(10**5, 10**5)}}, "many times"),
        ({"optimizer": {"x": torch.zeros(2**25)}}, "expected at most"),
    ],
)
def test_a_training_state_of_another_form_is_refused(tmp_path, state, reason):
    path = save(tmp_path, 1)
    torch.save(state, path / "training.pt")
    unsign(path)
    with pytest.raises(CheckpointError, match=f"not a readable training state .*{reason}"):
        load_checkpoint(tmp_path).training_state()


def test_a_training_state_outlives_its_file(tmp_path):
    path = save(tmp_path, 1)
    torch.save({"optimizer": {"x": torch.arange(1000.0)}, "scaler": {}}, path / "training.pt")
    unsign(path)
    state = load_checkpoint(tmp_path).training_state()
    os.truncate(path / "training.pt", 10)
    assert torch.equal(state["optimizer"]["x"], torch.arange(1000.0))


def test_an_optimizer_of_other_shapes_is_refused():
    optimizer = torch.optim.AdamW(nn.Linear(2, 3).parameters())
    state = {"state": {0: {"step": torch.tensor(1.0), "exp_avg": torch.zeros(4, 2)}}}
    with pytest.raises(ValueError, match=r"'exp_avg' of parameter 0 is \(4, 2\), expected \(3, 2"):
        check_optimizer(optimizer, state)
