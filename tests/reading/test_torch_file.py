import argparse
import datetime
import importlib
import io
import os
import pickle
import shlex
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from faults.bounded import bounded, write_sparse
from faults.torch_files import Calls, legacy_with_count, saved, write_sparse_weights, write_zip

from lidistill.reading.plain_pickle import ForeignError, HostileError, Inert
from lidistill.reading.torch_file import how_to_mend, read_torch_file


def assert_same(found, expected):
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected.detach())
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    else:
        assert found == expected


def state():
    torch.manual_seed(0)
    net = torch.nn.Linear(3, 4)
    optimizer = torch.optim.AdamW(net.parameters())
    net(torch.ones(3)).sum().backward()
    optimizer.step()
    return {
        "weights": net.state_dict(),
        "parameter": torch.nn.Parameter(torch.randn(2, 3)),
        "every other": torch.arange(10)[::2],
        "turned": torch.randn(4, 5).t(),
        "shared": torch.arange(6.0)[2:],
        "numbers": [torch.randn(3).to(kind).tolist() for kind in (torch.float64, torch.half)],
        "bfloat16": torch.randn(3).bfloat16(),
        "truth": torch.tensor([True, False]),
        "one": torch.tensor(3.0),
        "none": torch.empty(0, 4),
        "many dims": torch.randn(1, 2, 3, 1),
        "plain": {"a": [1, 2.5, None, True, "x", -(2**70)], "pair": (1, 2), 3: b"bytes"},
        "state": optimizer.state_dict()["state"],
    }


@pytest.mark.parametrize("zipped", [True, False])
def test_what_torch_saves_is_read_as_it_was(tmp_path, zipped):
    torch.save(state(), tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    assert_same(read_torch_file(tmp_path / "x.pth"), state())


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_protocol_of_pickle_is_read(tmp_path, protocol):
    torch.save(state(), tmp_path / "x.pth", pickle_protocol=protocol)
    assert_same(read_torch_file(tmp_path / "x.pth"), state())


def test_settings_and_counters_beside_the_tensors_stay_unread(tmp_path):
    beside = {
        "epoch": np.int64(3),
        "score": np.float64(0.5),
        "curve": np.zeros(3),
        "args": argparse.Namespace(lr=1e-3, output=Path("a")),
        "when": datetime.timedelta(seconds=1),
        "seen": {1, 2},
        "kind": torch.float32,
        "device": torch.device("cpu"),
        "rng": np.random.default_rng(0),
        "rng_old": np.random.RandomState(0).get_state(),
        "size": torch.Size([1, 2]),
    }
    torch.save(beside | {"w": torch.ones(2)}, tmp_path / "x.pth")
    found = read_torch_file(tmp_path / "x.pth")
    assert torch.equal(found["w"], torch.ones(2))
    assert found["args"] == Inert("argparse.Namespace")
    assert isinstance(found["epoch"], Inert)
    assert found["size"] == (1, 2)


def test_what_is_no_plain_tensor_says_what_it_is(tmp_path):
    odd = {"sparse": torch.eye(3).to_sparse(), "meta": torch.zeros(3, device="meta")}
    torch.save(odd, tmp_path / "x.pth")
    found = read_torch_file(tmp_path / "x.pth")
    assert found["sparse"] == Inert("a sparse tensor")
    assert "meta" in found["meta"].what


def test_a_class_of_its_authors_is_refused_and_the_line_it_advises_works(tmp_path, monkeypatch):
    (tmp_path / "authors.py").write_text("class OwnSettings:\n    lr = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    file = tmp_path / "it's my.pth"
    state = {
        "args": importlib.import_module("authors").OwnSettings(),
        "net": {"w": torch.ones(1).expand(3), "n": 3},
    }
    torch.save(state, file)
    with pytest.raises(ForeignError, match="OwnSettings; refused, nothing was run") as caught:
        read_torch_file(file)
    advice = how_to_mend(caught.value, file)
    command = shlex.split(advice[advice.index("python -c") :].split("; then give")[0])
    subprocess.run([sys.executable, *command[1:]], cwd=tmp_path, check=True)
    found = read_torch_file(tmp_path / "plain.pth")
    assert torch.equal(found["net"]["w"], torch.ones(3))
    assert found["args"] is None


@pytest.mark.parametrize("call", [(os.system, "true"), (eval, "1"), (getattr, "x", "upper")])
def test_a_file_that_would_run_something_is_no_case_for_advice(tmp_path, call):
    file = write_zip(tmp_path / "x.pth", {"w": Calls(*call)})
    with pytest.raises(HostileError, match=r"it asks for .*; refused, nothing was run") as caught:
        read_torch_file(file)
    assert "weights_only" not in how_to_mend(caught.value, file)


def test_a_whole_module_is_nothing_to_read(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pth")
    assert read_torch_file(tmp_path / "x.pth") == Inert("torch.nn.modules.linear.Linear")


def tensor_of(size, stride, *, count=4, offset=0):
    """A pickle of one tensor over a storage of so many floats."""
    reference = ("storage", torch.FloatStorage, "0", "cpu", count)

    class Pickler(pickle.Pickler):
        def persistent_id(self, obj):
            return reference if obj is reference else None

    buffer = io.BytesIO()
    arguments = (reference, offset, size, stride, False, {})
    Pickler(buffer, 2).dump({"w": Calls(torch._utils._rebuild_tensor_v2, *arguments)})
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("tensor", "reason"),
    [
        (tensor_of((10**6, 10**6), (0, 0)), "shows each of 4 values many times"),
        (tensor_of((5,), (1,)), r"the shape \(5\) has a storage of 4 values only"),
        (tensor_of((2,), (4,)), "has a storage of 4 values only"),
        (tensor_of((2,), (1,), offset=3), "has a storage of 4 values only"),
        (tensor_of((2,), (-1,), offset=3), "whose shape cannot be"),
        (tensor_of((-1,), (1,)), "whose shape cannot be"),
        (tensor_of((True,), (1,)), "whose shape cannot be"),
        (tensor_of((2.0,), (1,)), "whose shape cannot be"),
        (tensor_of((2**62, 4), (1, 1)), "whose shape cannot be"),
        (tensor_of((2,), (1,), count=1000), "its storage '0' has 16 bytes, expected 4000"),
        (tensor_of((2,), (1,), count=-1), "a storage of the kind 'torch.FloatStorage' with -1"),
    ],
)
def test_a_tensor_lies_within_its_storage(tmp_path, tensor, reason):
    file = write_zip(tmp_path / "x.pth", tensor, {"0": bytes(16)})
    with pytest.raises(ValueError, match=reason):
        read_torch_file(file)


def test_a_file_that_was_cut_off_says_so(tmp_path):
    file = tmp_path / "x.pth"
    content = saved({"w": torch.zeros(4)}, _use_new_zipfile_serialization=False)
    file.write_bytes(content[:-4])
    with pytest.raises(ValueError, match=r"has 12 bytes, expected 16; it was cut off") as caught:
        read_torch_file(file)
    assert "get it again" in how_to_mend(caught.value, file)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no file that torch.save wrote"),
        (b"<!DOCTYPE html>", "a web page; download the file"),
        (b"hello", "no file that torch.save wrote"),
        (pickle.dumps({"w": 1}, 2), "a pickle of another program"),
        (b"\x80\x02" + b"]" * 10, "pickle exhausted"),
    ],
)
def test_other_files_are_named(tmp_path, content, reason):
    file = tmp_path / "x.pth"
    file.write_bytes(content)
    with pytest.raises(ValueError, match=reason):
        read_torch_file(file)


def resident_mb():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere memory is set aside for it")
def test_a_file_larger_than_memory_is_mapped(tmp_path):
    """DINOv3 7B in 32 bits has 27 GB."""
    count = 27 * 10**9
    file = write_sparse_weights(tmp_path / "x.pth", count)
    before = resident_mb()
    found = read_torch_file(file)["w"]
    assert found.shape == (count,)
    assert found[-1] == 0
    assert resident_mb() - before < 50


def test_no_file_of_weights_has_as_much(tmp_path):
    file = write_sparse_weights(tmp_path / "x.pth", 33 * 2**30)
    with pytest.raises(ValueError, match=r"bytes, expected at most 34359738368"):
        read_torch_file(file)


def zeros(mebibytes):
    return (bytes(2**20) for _ in range(mebibytes))


HOSTILE = {
    "bytearray": lambda p: write_zip(p, {"w": Calls(bytearray, 6 * 10**9)}),
    "long text": lambda p: write_zip(p, b"\x80\x04\x8e" + struct.pack("<Q", 6 * 10**9) + b"."),
    "memo": lambda p: write_zip(p, b"\x80\x02}r\xff\xff\xff\xff."),
    "lists": lambda p: write_zip(p, b"\x80\x02" + b"]" * 3_000_000 + b"."),
    "tuples": lambda p: write_zip(p, b"\x80\x02}(K\x01)" + b"\x85" * 900_000 + b"u."),
    "tuple key": lambda p: write_zip(p, b"\x80\x02})" + b"\x85" * 900_000 + b"K\x01s."),
    "packed storage": lambda p: write_zip(
        p, tensor_of((2,), (1,)), {"0": zeros(3000)}, packing=zipfile.ZIP_DEFLATED
    ),
    "packed pickle": lambda p: write_zip(p, b"]" * 2**28, packing=zipfile.ZIP_DEFLATED),
    "members": lambda p: write_zip(p, {}, dict.fromkeys(map(str, range(100_000)), b"")),
    "huge count": lambda p: p.write_bytes(legacy_with_count({"w": torch.zeros(4)}, 10**12)),
    "negative": lambda p: p.write_bytes(legacy_with_count({"w": torch.zeros(4)}, -(10**12))),
    "long line": lambda p: p.write_bytes(b"\x80\x02c" + b"a" * 10**8),
    "sparse": write_sparse,
    "device": lambda p: p.symlink_to("/dev/zero"),
    "pipe": os.mkfifo,
}


HARMLESS = {
    "bytearray": {"w": Inert("__builtin__.bytearray")},
    "memo": {},
    "tuples": {1: "deep"},
    "tuple key": {},
}


def outcome(file):
    found = read_torch_file(file)
    return {k: "deep" if isinstance(v, tuple) else v for k, v in found.items()}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_cost_nothing(tmp_path, name):
    HOSTILE[name](tmp_path / "x.pth")
    answer = bounded(outcome, tmp_path / "x.pth")
    if name in HARMLESS:
        assert answer == str(HARMLESS[name])
    else:
        assert answer.startswith(("ValueError: ", "ForeignError: "))
        assert len(answer) < 300
