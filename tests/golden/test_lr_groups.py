import json

import pytest
from golden_cases import golden_files

from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.published_names import NamedWeights
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.published import to_official
from lidistill.segment.heads import SegmentationHead
from lidistill.segment.run import Segmenter
from lidistill.training.optimizer import layer_groups


def official_names(segmenter):
    """The authors' name of every parameter, by its identity; ``to_official`` keeps the order."""
    parameters = dict(segmenter.named_parameters())
    parts = {}
    for part in ("backbone", "head"):
        start = f"{part}."
        parts[part] = {n.removeprefix(start): p for n, p in parameters.items() if start in n}
    theirs = to_official(NamedWeights(backbone=parts["backbone"], head=parts["head"]))
    ours = [*parts["backbone"].values(), *parts["head"].values()]
    return {id(p): name for p, name in zip(ours, theirs, strict=True)}


@pytest.mark.parametrize("file", golden_files("lr_groups/*.json"))
def test_learning_rate_groups_equal_the_reference(file):
    facts = json.loads(file.read_text())
    grid = GridConfig(planes=((4, 4), (4, 4), (4, 4)))
    backbone = WaffleIronConfig(width=4, depth=facts["depth"], grid=grid).build()
    head = SegmentationHead(4, 3)
    segmenter = Segmenter(backbone, head, train_backbone=True, lovasz_weight=1.0)
    names = official_names(segmenter)
    found = {
        names[id(parameter)]: (group["lr_scale"], group["weight_decay"])
        for group in layer_groups(segmenter, facts["layer_decay"], facts["weight_decay"])
        for parameter in group["params"]
    }
    expected = {
        name: (pytest.approx(group["lr_scale"], rel=1e-12), group["weight_decay"])
        for group in facts["groups"]
        for name in group["params"]
    }
    assert found == expected
