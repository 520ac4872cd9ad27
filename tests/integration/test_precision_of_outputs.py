"""One arithmetic for all outputs of a folder, by however many calls they are made."""

import json

import numpy as np
import pytest
from fakes.command import run
from fakes.runs import pretrain_values, probe_values, write_world
from fakes.scan_writers import WRITERS, cloud

from lidistill.apps.folder_precision import CHECKED, RECORD
from lidistill.backbones import checked
from lidistill.distill.run import pretrain
from lidistill.recipes import apply_overrides
from lidistill.segment import inference
from lidistill.segment.report import train_and_score


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A distilled network, a probe of it, and twelve scans of a few hundred points."""
    folder = tmp_path_factory.mktemp("precision")
    write_world(folder)
    pretrain(apply_overrides(pretrain_values(folder), ("train.steps=1",), source="tiny"))
    train_and_score(apply_overrides(probe_values(folder), ("train.steps=2",), source="tiny"))
    (folder / "scans").mkdir()
    for number in range(12):
        table = cloud(200 + number, seed=number)
        table["z"] = np.clip(table["z"], -5, 5)
        (folder / "scans" / f"{number:03d}.bin").write_bytes(WRITERS[".bin"](table))
    return folder


@pytest.fixture(autouse=True)
def _may_take_bf16(monkeypatch):
    """A machine that is fast in bf16, enough points in few scans, and half of them checked."""
    monkeypatch.setattr(inference, "fast_in_bf16", lambda _: True)
    monkeypatch.setattr(checked, "ENOUGH", 500)
    monkeypatch.setattr(checked, "ONE_IN", 2)


@pytest.fixture(params=[True, False])
def agreeing(request, monkeypatch):
    """Whether 16 bits change nothing at first; later every check fails."""
    most = 10_000 if request.param else -1
    monkeypatch.setattr(checked.Difference, "most_at_first", property(lambda _: most))
    monkeypatch.setattr(checked.Difference, "most_later", property(lambda _: -1))
    return request.param


def features(world, output, capsys, *options, precision="auto"):
    arguments = (world / "pretrain", world / "scans", "--output", output, "--json")
    status, out, err = run(capsys, "features", *arguments, "--precision", precision, *options)
    return status, json.loads(out[out.index("{") :]) if not status else err


def bytes_of(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def same_outputs(one, other):
    names = [name for name in one if name != RECORD]
    return [one[name] == other[name] for name in names]


@pytest.mark.parametrize("layout", ["npy", "parquet"])
def test_parts_and_a_call_that_goes_on_write_what_one_call_writes(
    world, tmp_path, capsys, layout, agreeing
):
    shape = ("--format", layout)
    status, said = features(world, tmp_path / "whole", capsys, *shape)
    assert status == 0
    assert said["precision"] == (CHECKED if agreeing else "fp32")
    whole = bytes_of(tmp_path / "whole")
    assert json.loads(whole[RECORD])["precision"] == said["precision"]
    for number in (2, 1, 3):
        features(world, tmp_path / "parts", capsys, *shape, "--part", f"{number}/3")
    assert bytes_of(tmp_path / "parts") == whole

    outputs = sorted(path for path in (tmp_path / "parts").iterdir() if path.name != RECORD)
    for path in outputs[::2]:
        path.unlink()
    features(world, tmp_path / "parts", capsys, *shape, "--skip-existing")
    assert bytes_of(tmp_path / "parts") == whole


def test_a_scan_that_fails_its_check_is_exact_and_is_named(world, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(checked.Difference, "most_later", property(lambda _: -1))
    arguments = (world / "pretrain", world / "scans", "--output", tmp_path / "auto")
    _, _, err = run(capsys, "features", *arguments, "--precision", "auto")
    log = "".join(err.split())
    for precision in ("bf16", "fp32"):
        features(world, tmp_path / precision, capsys, precision=precision)
    auto, low, exact = (bytes_of(tmp_path / name) for name in ("auto", "bf16", "fp32"))
    in_bf16, in_fp32 = same_outputs(auto, low), same_outputs(auto, exact)
    assert 0 < sum(in_fp32) < 12
    assert all(a or b for a, b in zip(in_bf16, in_fp32, strict=True))
    assert sum(in_bf16) >= 12 - sum(in_fp32)
    for name, is_exact in zip((n for n in auto if n != RECORD), in_fp32, strict=True):
        scan = world / "scans" / name.replace(".npy", ".bin")
        assert log.count(f"scan{scan}:bf16wouldgive") == is_exact
    assert RECORD not in exact
    assert json.loads(low[RECORD])["precision"] == "bf16"


def test_outputs_of_two_kinds_are_not_mixed(world, tmp_path, capsys):
    features(world, tmp_path / "low", capsys, precision="bf16")
    (tmp_path / "low" / "003.npy").unlink()
    for precision in ("auto", "fp32"):
        status, err = features(
            world, tmp_path / "low", capsys, "--skip-existing", precision=precision
        )
        assert status == 2
        assert f"holds outputs in bf16 ({RECORD}), this call computes in {precision}" in err
        assert "give --precision bf16, --overwrite, or another folder" in err
    status, said = features(world, tmp_path / "low", capsys, "--overwrite")
    assert (status, said["precision"]) == (0, CHECKED)
    (tmp_path / "low" / RECORD).write_text("{", "utf-8")
    assert features(world, tmp_path / "low", capsys, "--skip-existing")[0] == 2

    features(world, tmp_path / "exact", capsys, precision="fp32")
    (tmp_path / "exact" / "003.npy").unlink()
    status, said = features(world, tmp_path / "exact", capsys, "--skip-existing")
    assert (status, said["precision"]) == (0, "fp32")


def test_few_scans_are_not_worth_a_look(world, tmp_path, capsys):
    scans = sorted((world / "scans").iterdir())
    arguments = (world / "pretrain", *scans[:9], "--output", tmp_path, "--precision", "auto")
    status, out, _ = run(capsys, "features", *arguments)
    assert status == 0
    assert "features of 8 channels in fp32" in out


def test_classes_and_the_heads_output_decide_for_themselves(world, tmp_path, capsys):
    run_of = {"classes": "probe-backbone", "head": "pretrain"}
    for use, folder in run_of.items():
        command = ("predict",) if use == "classes" else ("features", "--head")
        arguments = (world / folder, world / "scans", "--output", tmp_path / use)
        options = ("--precision", "auto", "--json")
        status, out, err = run(capsys, command[0], *arguments, *options, *command[1:])
        assert status == 0, err
        record = json.loads((tmp_path / use / RECORD).read_text("utf-8"))
        assert record["output"] == use
        assert record["seen"]["points"] >= 500
        assert json.loads(out[out.index("{") :])["precision"] == record["precision"]
        (sorted((tmp_path / use).glob("*.npy"))[3]).unlink()
        before = bytes_of(tmp_path / use)
        status, *_ = run(capsys, command[0], *arguments, *options, "--skip-existing", *command[1:])
        assert status == 0
        after = bytes_of(tmp_path / use)
        assert len(after) == len(before) + 1
        assert before == {name: after[name] for name in before}
