import numpy as np
import pytest

from lidistill.errors import ConfigError
from lidistill.labels import load_label_map
from lidistill.loading.mixture import Concatenation, InMemory
from lidistill.records import Frame


class Numbers:
    """A data set whose frames know where they come from."""

    def __init__(self, name, count, table="pandaset"):
        self.name, self.count, self.read = name, count, 0
        self.label_map = load_label_map(table)

    @property
    def frame_ids(self):
        return tuple(f"{self.name}/{i}" for i in range(self.count))

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        self.read += 1
        zeros = np.zeros((1, 3), np.float32)
        frame_id = self.frame_ids[index]
        return Frame(frame_id=frame_id, sensor="pandar64", points=zeros, intensity=zeros[:, 0])


def test_sets_follow_one_another_also_where_one_is_empty():
    both = Concatenation([Numbers("a", 2), Numbers("b", 0), Numbers("c", 3)])
    assert len(both) == 5
    assert [both[i].frame_id for i in range(5)] == list(both.frame_ids)
    assert both.frame_ids == ("a/0", "a/1", "c/0", "c/1", "c/2")


def test_a_shared_label_table_is_shared():
    both = Concatenation([Numbers("a", 1), Numbers("b", 1)])
    assert both.label_map.name == "pandaset"


def test_different_label_tables_cannot_be_probed_together():
    both = Concatenation([Numbers("a", 1), Numbers("b", 1, table="nuscenes")])
    with pytest.raises(ConfigError, match="nuscenes, pandaset"):
        _ = both.label_map


def test_a_mixture_of_nothing_is_refused():
    with pytest.raises(ConfigError, match="at least one data set"):
        Concatenation([])


def test_frames_in_memory_are_read_once():
    numbers = Numbers("a", 2)
    kept = InMemory(numbers)
    assert kept[1].frame_id == kept[1].frame_id == "a/1"
    assert numbers.read == 1
    assert len(kept) == 2
    assert kept.frame_ids == numbers.frame_ids
    assert kept.label_map is numbers.label_map
