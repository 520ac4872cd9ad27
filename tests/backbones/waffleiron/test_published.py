import pytest
import torch
from fakes.batches import SMALL_GRID

from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.published_names import NamedWeights
from lidistill.backbones.waffleiron.published import from_official, to_official
from lidistill.distill.heads import LinearHead, MLPHead
from lidistill.errors import CheckpointError
from lidistill.reading.plain_pickle import Inert
from lidistill.segment.heads import SegmentationHead

HEADS = {
    "none": None,
    "linear": LinearHead(8, 6),
    "mlp": MLPHead(8, 6, hidden_channels=10),
    "segmentation": SegmentationHead(8, 6),
}


def named_weights(head="linear", norm="layer"):
    net = WaffleIronConfig(width=8, depth=2, norm=norm, grid=SMALL_GRID).build()
    module = HEADS[head]
    return NamedWeights(
        backbone=net.state_dict(), head={} if module is None else module.state_dict()
    )


def same(found, expected):
    return found.keys() == expected.keys() and all(
        torch.equal(found[name], expected[name]) for name in expected
    )


@pytest.mark.parametrize("head", sorted(HEADS))
@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_there_and_back_changes_nothing(head, norm):
    ours = named_weights(head, norm)
    back = from_official(to_official(ours))
    assert same(back.backbone, ours.backbone)
    assert same(back.head, ours.head)


def test_their_names_and_shapes_are_those_of_the_authors():
    shapes = {name: tuple(t.shape) for name, t in to_official(named_weights("mlp")).items()}
    assert shapes["embed.conv1.weight"] == (8, 5, 1)
    assert shapes["embed.conv2.1.weight"] == (8, 5, 1, 1)
    assert shapes["embed.final.weight"] == (8, 16, 1)
    assert shapes["waffleiron.spatial_mix.1.ffn.0.weight"] == (8, 1, 3, 3)
    assert shapes["waffleiron.spatial_mix.1.scale.weight"] == (8, 1, 1)
    assert shapes["waffleiron.channel_mix.0.mlp.2.weight"] == (8, 8, 1)
    assert shapes["classif.2.weight"] == (6, 10, 1)


@pytest.mark.parametrize("wrapper", [None, "net", "state_dict", "model"])
def test_prefixes_wrappers_and_two_dimensional_kernels_are_understood(wrapper):
    ours = named_weights()
    theirs = to_official(ours)
    scale = "waffleiron.spatial_mix.0.scale.weight"
    theirs[scale] = theirs[scale][..., None]
    weights = {f"module.{name}": t for name, t in theirs.items()}
    found = from_official({"epoch": 3, wrapper: weights} if wrapper else weights)
    assert same(found.backbone, ours.backbone)
    assert same(found.head, ours.head)


def test_a_width_of_one_keeps_its_kernels():
    net = WaffleIronConfig(width=1, depth=1, grid=SMALL_GRID).build()
    ours = NamedWeights(backbone=net.state_dict())
    assert same(from_official(to_official(ours)).backbone, ours.backbone)


def test_other_checkpoints_are_refused_with_what_was_found():
    with pytest.raises(
        CheckpointError, match=r"no network that is known here.*it holds conv\.weight"
    ):
        from_official({"conv.weight": torch.zeros(3)})


@pytest.mark.parametrize("before", ["module.", "_orig_mod.", "module._orig_mod.", "student."])
def test_what_wrappers_put_before_names_is_dropped(before):
    ours = named_weights("mlp")
    theirs = {f"{before}{name}": tensor for name, tensor in to_official(ours).items()}
    found = from_official({"epoch": 1, "state_dict": theirs})
    assert same(found.backbone, ours.backbone)
    assert same(found.head, ours.head)
    assert found.left_out == ()


def test_parts_that_were_compiled_by_themselves_are_understood():
    ours = named_weights()
    theirs = {n.replace("mix.", "mix._orig_mod."): t for n, t in to_official(ours).items()}
    assert same(from_official({"net": theirs}).backbone, ours.backbone)


def test_a_few_weights_that_are_no_part_of_the_network_are_named():
    ours = named_weights()
    extra = {"extra": torch.zeros(1), "waffleiron.channel_mix.0.mlp.0.weight_orig": torch.zeros(1)}
    extra |= {f"teacher.{i}.weight": torch.zeros(1) for i in range(300)}
    found = from_official(to_official(ours) | extra)
    assert same(found.backbone, ours.backbone)
    named = ("'extra'", "'waffleiron.channel_mix.0.mlp.0.weight_orig'", "'teacher' (300 weights)")
    assert found.left_out == named


@pytest.mark.parametrize(
    ("number", "form", "reason"),
    [
        (30, "x{}.weight", "unknown weight 'x0.weight' and 29 more"),
        (100_000, "x.{}", "100,0.. names"),
    ],
)
def test_many_unknown_names_are_refused_shortly(number, form, reason):
    theirs = to_official(named_weights())
    theirs |= {form.format(i): torch.zeros(1) for i in range(number)}
    with pytest.raises(CheckpointError, match=reason) as caught:
        from_official(theirs)
    assert len(str(caught.value)) < 200


def test_of_two_networks_none_is_guessed():
    theirs = to_official(named_weights())
    both = {f"{part}.{name}": t for part in ("ema", "model") for name, t in theirs.items()}
    with pytest.raises(CheckpointError, match=r"holds 2 networks \(ema\., model\.\)"):
        from_official(both)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (Inert("a sparse tensor"), "is a sparse tensor, expected a plain tensor"),
        (torch.zeros(8, 5, dtype=torch.int8), "values of the kind torch.int8"),
        (None, "is a NoneType"),
    ],
)
def test_weights_that_are_no_plain_tensors_are_named(value, reason):
    theirs = to_official(named_weights()) | {"embed.conv1.weight": value}
    with pytest.raises(CheckpointError, match=f"'embed.conv1.weight' .*{reason}"):
        from_official(theirs)


@pytest.mark.parametrize("name", ["waffleiron.other.0.norm.weight", "classif.7.weight"])
def test_unknown_parts_of_the_network_are_not_dropped(name):
    theirs = to_official(named_weights()) | {name: torch.zeros(1)}
    with pytest.raises(CheckpointError, match=name):
        from_official(theirs)


@pytest.mark.parametrize("part", ["backbone", "head"])
def test_names_that_are_not_ours_cannot_be_exported(part):
    ours = {"backbone": {}, "head": {}} | {part: {"other.weight": torch.zeros(1)}}
    with pytest.raises(CheckpointError, match=r"other\.weight"):
        to_official(NamedWeights(**ours))
