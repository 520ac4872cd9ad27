import numpy as np
import pytest
import torch

from lidistill.errors import UnknownNameError
from lidistill.labels import IGNORE, LabelMap, load_label_map
from lidistill.segment.common_classes import common_map, in_common_classes

SETS = ("nuscenes", "pandaset", "semantic_kitti")


@pytest.mark.parametrize("name", SETS)
def test_every_class_has_its_place_and_every_common_class_is_filled(name):
    own = load_label_map(name)
    common = common_map(own)
    ids = common.apply(np.arange(own.num_classes), source=name)
    assert set(ids) - {IGNORE} == set(range(common.num_classes))
    assert common.apply(np.array([IGNORE]), source=name) == IGNORE
    assert common.class_names[ids[own.class_names.index("car")]] == "car"


def test_a_common_class_is_as_likely_as_the_likeliest_of_its_parts():
    own = load_label_map("pandaset")
    common = common_map(own)
    share = torch.rand(5, own.num_classes)
    scores, _ = in_common_classes(lambda *_: (share, None), own)(None, None)
    ids = torch.tensor([common.raw_to_train[i] for i in range(own.num_classes)])
    for place in range(common.num_classes):
        assert torch.equal(scores[:, place], share[:, ids == place].max(1).values)


def test_many_parts_do_not_make_a_common_class_likelier():
    own = load_label_map("pandaset")
    names = common_map(own).class_names
    share = torch.full((1, own.num_classes), 0.0)
    parts = ("manmade", "barrier", "traffic cone", "traffic sign")  # all of them manmade
    for part in parts:
        share[0, own.class_names.index(part)] = 0.2
    share[0, own.class_names.index("vegetation")] = 0.21
    scores, _ = in_common_classes(lambda *_: (share, None), own)(None, None)
    assert names[int(scores.argmax())] == "vegetation"


def test_a_set_that_the_table_does_not_speak_of_is_named():
    other = LabelMap(name="nuscene", class_names=(), raw_to_train={}, raw_names={})
    with pytest.raises(UnknownNameError, match="did you mean 'nuscenes'"):
        common_map(other)


def test_a_class_that_the_table_does_not_speak_of_is_named():
    known = load_label_map("pandaset").common
    other = LabelMap(
        name="pandaset", class_names=("cars",), raw_to_train={}, raw_names={}, common=known
    )
    with pytest.raises(UnknownNameError, match="did you mean 'car'"):
        common_map(other)
