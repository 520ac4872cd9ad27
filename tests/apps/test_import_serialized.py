"""Checkpoints of LitePT and Point Transformer V3 as their authors save them."""

import logging

import pytest
import torch
import yaml
from serialized_networks import as_theirs

from lidistill.apps.import_checkpoint import import_checkpoint
from lidistill.backbones import LitePTConfig, PTv3Config
from lidistill.backbones.litept.published import _BLOCK, _DOWN, _UP
from lidistill.errors import CheckpointError
from lidistill.recipes import apply_overrides, load_recipe
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.fitting import backbone_weights

SMALL = {
    "litept": LitePTConfig(
        widths=(8, 12, 36, 54), depths=(1, 2, 1, 2), decoder_widths=(10, 12, 36), heads=(2, 3)
    ),
    "ptv3": PTv3Config(
        widths=(16, 32),
        depths=(2, 1),
        heads=(1, 2),
        decoder_widths=(32,),
        decoder_depths=(2,),
        decoder_heads=(2,),
    ),
}


def their_name(name, kind):
    """The authors' name of a weight of ours, by the same tables."""
    back = {ours: theirs for theirs, ours in (_DOWN | _UP).items()}
    local = "cpe" if kind == "ptv3" else "conv"
    base, _, leaf = name.rpartition(".")
    leaf = leaf.replace("kernel", "weight")
    part, *rest = base.split(".")
    if part == "stem":
        return f"embedding.stem.{rest[0]}.{leaf}"
    side, level = part[:3], rest[0]
    if rest[1] == "entry":
        way = "down" if side == "enc" else "up"
        return f"{side}.{side}{level}.{way}.{back[rest[2]]}.{leaf}"
    inner = {ours: theirs for theirs, ours in _BLOCK.items() if theirs[:4] != "cpe."}
    theirs = inner[".".join(rest[3:])].replace("conv.", f"{local}.")
    return f"{side}.{side}{level}.block{rest[2]}.{theirs}.{leaf}"


def official(kind, *, classes=16, prefix="module.backbone."):
    torch.manual_seed(0)
    network = SMALL[kind].build()
    state = {
        prefix + their_name(name, kind): as_theirs(tensor)
        for name, tensor in network.state_dict().items()
    }
    if classes:
        head = torch.nn.Linear(network.num_channels, classes)
        outside = prefix.removesuffix("backbone.")
        state |= {f"{outside}seg_head.{name}": w for name, w in head.state_dict().items()}
    return network, {"epoch": 50, "state_dict": state, "optimizer": {}}


def saved(tmp_path, state):
    torch.save(state, tmp_path / "model_best.pth")
    return tmp_path / "model_best.pth"


@pytest.mark.parametrize("kind", sorted(SMALL))
def test_a_segmentation_network_comes_with_its_head_and_the_sizes_its_weights_tell(tmp_path, kind):
    network, state = official(kind)
    file = saved(tmp_path, state)
    result = import_checkpoint(file, tmp_path / "run", recipe=f"finetune/{kind}/nuscenes")
    assert (result.kind, result.width, result.head) == (
        kind,
        SMALL[kind].decoder_widths[0],
        "segmentation 16",
    )
    checkpoint = load_checkpoint(tmp_path / "run")
    recipe = apply_overrides(checkpoint.recipe, (), source="imported")
    same = {"intensity_gain": 1.0, "intensity_shift": 0.0}
    assert recipe.backbone.model_copy(update=same) == SMALL[kind]
    assert recipe.backbone.intensity_gain < 0.1
    found = backbone_weights(checkpoint)
    assert all(torch.equal(found[name], w) for name, w in network.state_dict().items())


@pytest.mark.parametrize("known", [True, False])
def test_heads_which_no_weight_tells_are_those_of_a_recipe_with_such_a_network(
    tmp_path, caplog, known
):
    file = saved(tmp_path, official("litept")[1])
    values = SMALL["litept"].model_dump(mode="json") | {"heads": [3, 9]}
    if not known:
        values["depths"] = [1, 2, 1, 3]
    recipe = load_recipe("finetune/litept/nuscenes").model_dump(mode="json")
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump(recipe | {"backbone": values}))
    with caplog.at_level(logging.INFO):
        import_checkpoint(file, tmp_path / "run", recipe=str(own))
    stored = load_checkpoint(tmp_path / "run").recipe["backbone"]
    assert stored["heads"] == ([3, 9] if known else [2, 3])
    assert ("weights do not tell how many attention heads" in caplog.text) is not known


def test_weights_alone_make_a_backbone_to_distil_into(tmp_path):
    _, state = official("litept", classes=0, prefix="")
    file = saved(tmp_path, state["state_dict"])
    result = import_checkpoint(file, tmp_path / "run", recipe="pretrain/litept")
    assert (result.head, result.recipe) == ("none", "pretrain/litept")


@pytest.mark.parametrize(
    ("recipe", "reason"),
    [
        (None, "which channels they expect.*give --recipe, for example finetune/ptv3/nuscenes"),
        ("pretrain/ptv3", "a head of the kind 'linear 16', .* nor which classes they tell apart"),
        ("finetune/scalr/nuscenes", "weights of a ptv3, and recipe .* trains a waffleiron; give"),
        ("finetune/litept/nuscenes", "weights of a ptv3, and recipe .* trains a litept; give one"),
    ],
)
def test_the_recipe_has_to_be_one_of_the_network(tmp_path, recipe, reason):
    file = saved(tmp_path, official("ptv3")[1])
    with pytest.raises(CheckpointError, match=reason):
        import_checkpoint(file, tmp_path / "run", recipe=recipe)
    assert not (tmp_path / "run").exists()


FIRST = "module.backbone.embedding.stem.conv.weight"
POOLED = "module.backbone.enc.enc1.down.proj.weight"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({POOLED: None}, "widths, blocks of 2 levels and 1 ways back; is the file complete"),
        ({"module.backbone.enc.enc0.block0.cpe.1.weight": None}, "is missing.*is the file comple"),
        ({FIRST: torch.zeros(16, 4)}, r"is \(16, 4\), expected \(out, k, k, k, in\)"),
        ({FIRST: torch.zeros(16, 1, 25, 5, 4)}, r"expected \(out, k, k, k, in\)"),
        ({POOLED: torch.tensor(1.0)}, "is one number, expected a tensor"),
        (
            {FIRST: torch.zeros(16, 5, 5, 5, 6)},
            r"stem.conv.kernel is \(125, 6, 16\), .* --recipe with",
        ),
        ({"module.backbone.enc.enc0.block0.other.weight": torch.ones(1)}, "unknown weight 'enc"),
        ({"module.backbone.dec.dec0.up.proj.0.gain": torch.ones(1)}, "unknown weight 'dec"),
        ({POOLED: [1, 2]}, "is a list, expected a plain tensor"),
        ({"teacher.embedding.stem.conv.weight": torch.ones(1)}, "holds 2 networks"),
    ],
)
def test_what_is_no_whole_network_is_one_clear_line(tmp_path, change, reason):
    _, state = official("ptv3")
    weights = state["state_dict"] | change
    weights = {name: value for name, value in weights.items() if value is not None}
    with pytest.raises(CheckpointError, match=reason):
        import_checkpoint(
            saved(tmp_path, weights), tmp_path / "run", recipe="finetune/ptv3/nuscenes"
        )


def test_what_is_no_part_of_the_network_is_left_out_and_said(tmp_path, caplog):
    _, state = official("litept")
    state["state_dict"] |= {"criterion.weight": torch.ones(3)}
    import_checkpoint(saved(tmp_path, state), tmp_path / "run", recipe="finetune/litept/nuscenes")
    assert "left out, no part of the network: 'criterion'" in caplog.text
