from importlib import resources

import numpy as np
import pytest

from lidistill.errors import FileFormatError
from lidistill.labels import IGNORE, LabelMap, load_label_map

MAP = LabelMap(
    name="toy",
    class_names=("road", "car"),
    raw_to_train={0: IGNORE, 7: 0, 13: 1, 14: 1, 300: 0},
    raw_names={0: "Noise", 7: "Road", 13: "Car", 14: "Truck", 300: "Path"},
)
TABLES = [
    file.name.removesuffix(".yaml")
    for file in resources.files("lidistill").joinpath("label_maps").iterdir()
    if file.name.endswith(".yaml")
]


def test_raw_ids_become_training_ids() -> None:
    found = MAP.apply(np.array([13, 7, 0, 14, 7, 300]), source="here")
    assert found.tolist() == [1, 0, IGNORE, 1, 0, 0]
    assert found.dtype == np.uint8
    assert MAP.num_classes == 2


def test_no_ids_become_no_ids() -> None:
    assert MAP.apply(np.zeros(0, dtype=np.int64), source="here").shape == (0,)


def test_an_unknown_id_is_named_with_its_source() -> None:
    with pytest.raises(FileFormatError, match=r"a\.pkl: unknown class id 8 \(2 such ids\)"):
        MAP.apply(np.array([7, 8, 9]), source="a.pkl")


def test_a_negative_id_does_not_wrap_around() -> None:
    with pytest.raises(FileFormatError, match="unknown class id -1"):
        MAP.apply(np.array([-1]), source="a.pkl")


@pytest.mark.parametrize("name", TABLES)
def test_shipped_tables_name_every_class_they_use(name: str) -> None:
    table = load_label_map(name)
    used = set(table.raw_to_train.values()) - {IGNORE}
    assert used == set(range(table.num_classes))
    assert len(set(table.class_names)) == table.num_classes
    assert table.raw_names.keys() == table.raw_to_train.keys()


def test_pandaset_has_its_42_classes_and_noise() -> None:
    table = load_label_map("pandaset")
    assert sorted(table.raw_to_train) == list(range(43))
    assert table.num_classes == 17
    names = {raw: table.class_names[i] for raw, i in table.raw_to_train.items() if i != IGNORE}
    assert (names[7], names[13], names[31], names[42]) == ("road", "car", "pedestrian", "manmade")
    assert table.raw_to_train[0] == table.raw_to_train[22] == IGNORE
