"""Planes that come with a batch, packed where its samples are, and their long tensors."""

import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from fakes.batches import SMALL_GRID, opened, random_batch

from lidistill.backbones.minkunet.model import MinkUNetConfig
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.model import WaffleIronConfig
from lidistill.backbones.waffleiron.plane_tables import PlaneForm, PlaneTables
from lidistill.loading.collate import collate
from lidistill.loading.loader import step_batches
from lidistill.loading.order import FrameOrder, StepPlan
from lidistill.records import Batch, Sample
from lidistill.samples.preparer import for_batches_on

CPU, GPU = torch.device("cpu"), torch.device("cuda")
NETWORK = WaffleIronConfig(width=16, depth=4, num_neighbors=4, grid=SMALL_GRID)


def sample(number, *, device=GPU, network=NETWORK, points=60, on_device=False):
    """A random sample for batches that go to a device."""
    rng = np.random.default_rng(number)
    preparer = for_batches_on(device, network.inputs())
    coords = rng.uniform(-7.5, 7.5, (points, 3)).astype(np.float32)
    features = rng.normal(size=(points, 5)).astype(np.float32)
    tensors = torch.from_numpy(coords), torch.from_numpy(features)
    return Sample(
        frame_id=str(number),
        coords=tensors[0],
        features=tensors[1],
        inputs=preparer.prepare_on_device(*tensors)
        if on_device
        else preparer.prepare(coords, features),
        source=torch.arange(points),
    )


def batch_for(device, **options):
    return collate([sample(number, device=device, **options) for number in range(3)])


def same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for field in fields(one):
            left, right = getattr(one, field.name), getattr(other, field.name)
            if isinstance(left, torch.Tensor):
                assert (left.dtype, left.shape) == (right.dtype, right.shape)
                assert torch.equal(left, right), field.name
            else:
                assert left == right


def step(batch, network=NETWORK):
    torch.manual_seed(0)
    net = network.build()
    out = net(batch)
    out.square().mean().backward()
    return out.detach(), *(p.grad for p in net.parameters())


def carried(batch):
    """A batch as it arrives from another process, on the device of the run."""
    return pickle.loads(pickle.dumps(batch)).to("cpu")


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("flatten", ["mean", "sum_over_count_eps"])
def test_planes_that_came_along_give_the_same_bits_as_those_of_the_network(flatten, on_device):
    network = NETWORK.model_copy(update={"flatten": flatten})
    made = carried(batch_for(GPU, network=network, on_device=on_device))
    plain = batch_for(CPU, network=network)
    assert opened(made).planes is not None
    assert opened(plain).planes is None
    net = network.build()
    same(net.planes(made), net.planes(plain))
    for found, expected in zip(step(made, network), step(plain, network), strict=True):
        assert torch.equal(found, expected)
    folded = net.for_inference()
    assert torch.equal(folded(made), folded(plain))


def test_the_network_does_not_build_what_came_along(monkeypatch):
    made = batch_for(GPU)
    monkeypatch.setattr(PlaneForm, "build", lambda *_: pytest.fail("built again"))
    NETWORK.build()(made)


def test_tables_are_few_long_tensors_and_begin_at_whole_lines():
    batch = random_batch((40, 25))
    form = PlaneForm(sizes=SMALL_GRID.planes, flatten="mean")
    built = form.build(opened(batch).cells, batch.scan_index(), num_scans=2)
    tables = PlaneTables.of(built, form, num_scans=2)
    assert sorted(str(table.dtype) for table in tables.tables) == ["torch.float32", "torch.int64"]
    same(tables.planes(), built)
    for plane in tables.planes():
        found = (getattr(plane, field.name) for field in fields(plane))
        for table in (one for one in found if isinstance(one, torch.Tensor)):
            assert table.storage_offset() * table.dtype.itemsize % 128 == 0
            assert table.is_contiguous()


def test_a_plane_without_a_point_is_carried_too():
    form = PlaneForm(sizes=((3, 4),), flatten="mean")
    none = torch.zeros(0, 1, dtype=torch.int64)
    built = form.build(none, none[:, 0], num_scans=1)
    same(PlaneTables.of(built, form, num_scans=1).planes(), built)


def test_planes_of_other_grids_are_an_error_that_says_which():
    other = NETWORK.model_copy(update={"grid": GridConfig(planes=((12, 10), (6, 4), (10, 4)))})
    with pytest.raises(ValueError, match="12 x 10 and 6 x 4 and 10 x 4 cells, this backbone needs"):
        NETWORK.build()(batch_for(GPU, network=other))
    fewer = NETWORK.model_copy(update={"grid": GridConfig(axes=(2, 1), planes=((12, 10), (12, 4)))})
    with pytest.raises(ValueError, match="the cells of 2 grids, this backbone needs 3"):
        NETWORK.build()(batch_for(GPU, network=fewer))


@pytest.mark.parametrize("changed", [{"depth": 1}, {"flatten": "sum_over_count_eps"}])
def test_a_network_that_wants_other_planes_of_the_same_grids_builds_them(changed):
    network = NETWORK.model_copy(update=changed)
    found, expected = (network.build().planes(batch_for(device)) for device in (GPU, CPU))
    same(found, expected)
    backwards = [NETWORK.build().planes(batch_for(d, network=network)) for d in (GPU, CPU)]
    same(*backwards)


def test_scans_that_were_parted_anew_get_new_planes():
    batch = batch_for(GPU)
    whole = replace(batch, offsets=batch.offsets[[0, -1]])
    assert NETWORK.build().planes(whole)[0].num_scans == 1


def test_samples_of_which_only_some_ask_for_planes_have_none():
    assert opened(collate([sample(0), sample(1, device=CPU)])).planes is None


def test_only_batches_for_a_gpu_get_tables_and_only_where_a_network_has_some():
    assert for_batches_on(CPU, NETWORK.inputs()) == NETWORK.inputs()
    assert for_batches_on(GPU, NETWORK.inputs()) != NETWORK.inputs()
    mink = MinkUNetConfig().inputs()
    assert for_batches_on(GPU, mink) == mink


@pytest.mark.parametrize("workers", [0, 2])
def test_workers_build_the_planes_of_every_pass(workers):
    plan = StepPlan(order=FrameOrder(sizes=(4,), seed=0), batch_size=4, micro_batch=2)

    def make(epoch, index):
        del epoch
        return sample(index, points=50 + index)

    passes: list[Batch]
    (passes,) = step_batches(make, collate, plan, start=0, stop=1, workers=workers)
    assert [batch.num_scans for batch in passes] == [2, 2]
    for batch in passes:
        assert opened(batch).planes is not None
        plain = replace(batch, inputs=replace(opened(batch), planes=None))
        same(NETWORK.build().planes(batch), NETWORK.build().planes(plain))
