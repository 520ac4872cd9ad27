import numpy as np
import pytest

from lidistill.labels import IGNORE, load_label_map
from lidistill.sim.classes import Kind, raw_ids
from lidistill.sim.rigs import RIGS

UNLABELLED = {
    "pandaset": {Kind.NOTHING, Kind.EGO},
    "nuscenes": {Kind.NOTHING, Kind.EGO},
    "semantic_kitti": {
        Kind.NOTHING, Kind.EGO, Kind.CONE, Kind.WORK_BARRIER, Kind.OTHER_OBJECT, Kind.TRAFFIC_LIGHT,
    },
}  # fmt: skip


def names_of(dataset, moving):
    kinds = np.array(list(Kind), dtype=np.uint8)
    ids = raw_ids(dataset, kinds, np.full(len(kinds), moving))
    table = load_label_map(dataset)
    return dict(zip(Kind, table.apply(ids, source="simulator").tolist(), strict=True)), table


@pytest.mark.parametrize("dataset", RIGS)
@pytest.mark.parametrize("moving", [False, True])
def test_every_kind_has_a_raw_id_that_the_data_sets_own_table_knows(dataset, moving):
    train, _ = names_of(dataset, moving)
    assert {kind for kind, i in train.items() if i == IGNORE} == UNLABELLED[dataset]


@pytest.mark.parametrize("dataset", RIGS)
def test_kinds_and_classes_of_the_same_name_meet(dataset):
    train, table = names_of(dataset, moving=False)
    for kind, i in train.items():
        if kind.name.lower() in table.class_names:
            assert table.class_names[i] == kind.name.lower()


def test_a_moving_cycle_has_a_rider_in_semantic_kitti_alone():
    standing, table = names_of("semantic_kitti", moving=False)
    moving, _ = names_of("semantic_kitti", moving=True)
    names = [table.class_names[ids[Kind.BICYCLE]] for ids in (standing, moving)]
    assert names == ["bicycle", "bicyclist"]
    assert names_of("nuscenes", moving=True) == names_of("nuscenes", moving=False)


def test_all_nuscenes_ids_fit_into_its_label_files():
    assert raw_ids("nuscenes", np.arange(256, dtype=np.uint8)).max() < 32
