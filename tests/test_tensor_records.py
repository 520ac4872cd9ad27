from dataclasses import dataclass, field

import torch
from fakes.batches import opened, random_batch
from torch.utils.data import DataLoader
from torch.utils.data._utils.pin_memory import pin_memory

from lidistill.loading.loader import step_batches
from lidistill.loading.order import FrameOrder, StepPlan
from lidistill.tensor_records import map_tensors, to_device, to_device_pinned


@dataclass(frozen=True)
class Inner:
    values: torch.Tensor
    name: str = "inner"
    count: int = field(init=False, default=3)


@dataclass(frozen=True)
class Outer:
    several: tuple[Inner, ...]
    named: dict[str, torch.Tensor]
    listed: list[torch.Tensor]
    nothing: torch.Tensor | None = None


def test_every_tensor_is_changed_however_deep_it_lies_and_all_else_stays():
    ones = torch.ones(2)
    record = Outer((Inner(ones), Inner(2 * ones, "other")), {"a": 3 * ones}, [4 * ones])
    changed = map_tensors(record, lambda tensor: tensor + 1)
    assert [inner.values.tolist() for inner in changed.several] == [[2, 2], [3, 3]]
    assert [inner.name for inner in changed.several] == ["inner", "other"]
    assert changed.named["a"].tolist() == [4, 4]
    assert changed.listed[0].tolist() == [5, 5]
    assert changed.nothing is None
    assert record.several[0].values.tolist() == [1, 1]


def noted(monkeypatch, method):
    """What a method of tensors is called with from here on; it gives them back as they are."""
    calls = []

    def call(tensor, *to, **how):
        calls.append((*to, how))
        return tensor

    monkeypatch.setattr(torch.Tensor, method, call)
    return calls


def test_a_record_goes_to_another_device_with_all_that_is_inside(monkeypatch):
    batch = to_device(random_batch((5, 4)), "meta")
    inputs = opened(batch)
    tensors = (batch.offsets, batch.features, inputs.neighbors, inputs.cells)
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    calls = noted(monkeypatch, "to")
    random_batch((5, 4)).to("meta", non_blocking=True)
    assert calls == [("meta", {"non_blocking": True})] * 4


def test_the_loader_pins_every_tensor_of_a_batch(monkeypatch):
    """There is no pinned memory without a GPU, so it is seen that PyTorch asks for it."""
    calls = noted(monkeypatch, "pin_memory")
    batch = random_batch((5, 4))
    found, left_out = pin_memory((batch, []), "cuda")
    assert left_out == []
    assert len(calls) == 4
    assert torch.equal(opened(found).cells, opened(batch).cells)


def test_what_is_sent_to_a_gpu_is_pinned_first_and_nobody_waits_for_it(monkeypatch):
    pin_memory, copied = noted(monkeypatch, "pin_memory"), noted(monkeypatch, "to")
    to_device_pinned(Inner(torch.ones(2)), "cpu")
    assert pin_memory == []
    to_device_pinned(Inner(torch.ones(2)), "cuda:1")
    assert len(pin_memory) == 1
    devices = torch.device("cpu"), torch.device("cuda:1")
    assert copied == [(device, {"non_blocking": True}) for device in devices]


def test_a_loader_for_a_gpu_is_made_with_pinned_memory(monkeypatch):
    asked = []

    def recorded(*arguments, **options):
        asked.append(options.pop("pin_memory"))
        return DataLoader(*arguments, **options)

    monkeypatch.setattr("lidistill.loading.loader.DataLoader", recorded)
    plan = StepPlan(order=FrameOrder(sizes=(2,), seed=0), batch_size=2, micro_batch=2)
    for pin in (False, True):
        steps = step_batches(lambda *key: key, tuple, plan, start=0, stop=1, workers=0, pin=pin)
        assert len(list(steps)) == 1
    assert asked == [False, True]
