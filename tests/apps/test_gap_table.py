from types import SimpleNamespace

import pytest

from lidistill.apps.gap import Gap, _load, markdown
from lidistill.errors import ConfigError
from lidistill.labels import LabelMap, load_label_map


def test_a_set_without_a_common_class_has_no_score():
    def scored(value):
        return SimpleNamespace(scores=SimpleNamespace(mean_iou_of_truth=value))

    rows = ((scored(0.5), scored(float("nan"))), (scored(0.25), scored(1.0)))
    gap = Gap(names=("a", "b"), evaluations=rows, results=None, figure=None)
    assert "| a | 50.0 | – |\n| b | 25.0 | 100.0 |" in markdown(gap)
    assert gap.percent == [[50.0, None], [25.0, 100.0]]


def learned(*class_names):
    """A run on a set with these classes, or on one whose table is shipped."""
    table = load_label_map("pandaset")
    if class_names:
        table = LabelMap(name="own", class_names=class_names, raw_to_train={}, raw_names={})
    dataset = SimpleNamespace(label_map=table)
    recipe = SimpleNamespace(evaluation=SimpleNamespace(build=lambda: dataset))
    return SimpleNamespace(recipe=recipe, segmentation=lambda: None), dataset


def test_own_classes_that_are_alike_are_compared_as_they_are():
    run, dataset = learned("car", "tree")
    loaded = _load([run, run])
    assert [(one.frames, one.common) for one in loaded] == [(dataset, False)] * 2
    for other in ((), ("tree", "car")):
        with pytest.raises(ConfigError, match=r"own other data sets share .*table: nuscenes or"):
            _load([run, learned(*other)[0]])
