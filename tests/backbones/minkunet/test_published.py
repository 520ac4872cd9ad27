import pytest
import torch

from lidistill.backbones import MinkUNetConfig
from lidistill.backbones.minkunet.published import architecture, from_slidr, is_minkunet
from lidistill.backbones.published import read_published
from lidistill.errors import CheckpointError, ConfigError
from lidistill.sparse.layout import from_z_fastest


def slidr(depth=14, width=4, stages="C", outputs=64, channels=("intensity",)):
    """Weights under SLidR's names, of a network of ours."""
    torch.manual_seed(0)
    config = MinkUNetConfig(depth=depth, width=width, stages=stages, channels=channels)
    state = {
        _their_name(name): value.t() if name.endswith("linear.weight") else value
        for name, value in config.build().state_dict().items()
    }
    state["final.kernel"] = torch.randn(3 * width, outputs)
    state["final.bias"] = torch.randn(1, outputs)
    return state


def _their_name(name):
    name = name.replace("linear.weight", "linear.kernel")
    for ours, theirs in (("stem.conv", "conv0p1s1"), ("stem.norm", "bn0.bn")):
        name = name.replace(ours, theirs)
    for stage in range(4):
        name = name.replace(f"stages.{stage}.move.conv", f"conv{stage + 1}p{2**stage}s2")
        name = name.replace(f"stages.{stage}.move.norm", f"bn{stage + 1}.bn")
        up = stage + 4
        name = name.replace(f"stages.{up}.move.conv", f"convtr{up}p{2 ** (4 - stage)}s2")
        name = name.replace(f"stages.{up}.move.norm", f"bntr{up}.bn")
    for stage in range(8):
        name = name.replace(f"stages.{stage}.blocks.", f"block{stage + 1}.")
    pairs = {"first": "1", "second": "2"}
    for ours, number in pairs.items():
        name = name.replace(f"{ours}.conv", f"conv{number}")
        name = name.replace(f"{ours}.norm", f"norm{number}.bn")
    return name.replace("shortcut.linear", "downsample.0").replace(
        "shortcut.norm", "downsample.1.bn"
    )


@pytest.mark.parametrize("wrapper", ["state_dict", "model_state_dict", "model_state"])
def test_weights_are_found_where_training_scripts_put_them(wrapper):
    state = slidr(14)
    plain, _ = read_published(state)
    inside, _ = read_published({wrapper: {f"module.{n}": t for n, t in state.items()}, "epoch": 3})
    assert inside.backbone.keys() == plain.backbone.keys()
    assert all(torch.equal(inside.backbone[name], t) for name, t in plain.backbone.items())


@pytest.mark.parametrize("depth", [14, 18, 34])
@pytest.mark.parametrize("stages", ["A", "C", (1, 1, 2, 2, 3, 2, 1, 3)])
def test_weights_under_slidrs_names_say_their_size(depth, stages):
    state = slidr(depth, stages=stages, channels=("intensity", "z"))
    named, settings = read_published({"model_points": state, "epoch": 49})
    assert settings == {
        "kind": "minkunet",
        "depth": depth,
        "width": 4,
        "stages": list(stages) if isinstance(stages, tuple) else stages,
        "kernel_size": 3,
    }
    config = MinkUNetConfig(**settings, channels=("intensity", "z"))
    config.build().load_state_dict(named.backbone)
    assert torch.equal(named.head["linear.weight"], state["final.kernel"].t())
    assert torch.equal(named.head["linear.bias"], state["final.bias"][0])


@pytest.mark.parametrize("prefix", ["module.", "net3d.", "module.backbone."])
def test_what_stands_before_their_names_is_dropped(prefix):
    state = slidr()
    found = from_slidr({f"{prefix}{name}": value for name, value in state.items()})
    expected = from_slidr(state)
    assert found.backbone.keys() == expected.backbone.keys()
    assert found.left_out == ()


def test_what_is_no_part_of_the_network_is_named():
    state = slidr() | {"encoder.a": torch.zeros(1), "encoder.b": torch.zeros(1), "temperature": 1.0}
    assert from_slidr(state).left_out == ("'encoder' (2 weights)", "'temperature'")


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"block1.0.conv3.kernel": torch.zeros(27, 4, 4)}, "unknown weight 'block1.0.conv3.ker"),
        ({"conv5p16s2.kernel": torch.zeros(8, 4, 4)}, "unknown weight 'conv5p16s2.kernel'"),
        ({"bn0.bn.running_mean": [0.0]}, "'bn0.bn.running_mean' is a list, expected a plain"),
        ({"other.conv0p1s1.kernel": torch.zeros(27, 1, 4)}, r"holds 2 networks \(no prefix, oth"),
    ],
)
def test_weights_of_another_form_are_one_clear_line(changed, reason):
    with pytest.raises(CheckpointError, match=reason):
        from_slidr(slidr() | changed)


@pytest.mark.parametrize("shape", [(64, 1, 4), (1, 4), (3, 3, 3, 1, 4), (4,)])
def test_a_first_kernel_of_another_form_is_one_clear_line(shape):
    state = slidr() | {"conv0p1s1.kernel": torch.zeros(shape)}
    with pytest.raises(CheckpointError, match=r"the first kernel .* expected \(27, in, out\) or"):
        read_published(state)


def test_a_network_without_a_block_is_none():
    state = {name: value for name, value in slidr().items() if not name.startswith("block3.")}
    with pytest.raises(CheckpointError, match=r"1-1-0-1-1-1-1-1 blocks .*-1-1 .depth 14"):
        architecture(from_slidr(state).backbone)


def test_kernels_of_torchsparse_are_turned_where_their_order_differs():
    state = slidr()
    mink, sparse = (from_slidr(state, kernel_order=o) for o in ("minkowski", "torchsparse"))
    changed = [n for n, v in mink.backbone.items() if not torch.equal(v, sparse.backbone[n])]
    assert changed == [f"stages.{stage}.move.conv.kernel" for stage in range(8)]
    for name in changed:
        assert torch.equal(from_z_fastest(mink.backbone[name]), sparse.backbone[name])


def test_norms_may_be_those_of_torchsparse_and_their_counters_may_be_left_out():
    """MinkowskiEngine's norm holds one of PyTorch, ``bn0.bn``; TorchSparse's is one, ``bn0``."""
    state = slidr()
    flat = {n.replace(".bn.", "."): t for n, t in state.items() if "num_batches" not in n}
    assert flat.keys() != state.keys()
    found = from_slidr({"model": flat})
    expected = from_slidr(state, kernel_order="torchsparse")
    assert found.backbone.keys() == expected.backbone.keys()
    assert all(torch.equal(found.backbone[name], t) for name, t in expected.backbone.items())


@pytest.mark.parametrize("order", ["minkowski", "torchsparse"])
def test_an_order_against_the_names_is_taken_and_doubted(order, caplog):
    state = slidr()
    flat = {n.replace(".bn.", "."): t for n, t in state.items()}
    from_slidr(flat if order == "torchsparse" else state, kernel_order=order)
    assert not caplog.messages
    from_slidr(state if order == "torchsparse" else flat, kernel_order=order)
    (message,) = caplog.messages
    assert f"read in the order of {order}" in message


def test_other_networks_have_no_order_of_kernels():
    assert not is_minkunet({"waffleiron.channel_mix.0.norm.weight": torch.ones(3)})
    with pytest.raises(ConfigError, match=r"a waffleiron has no kernels .*leave --kernel-order"):
        read_published({}, kernel_order="torchsparse")


def test_a_file_of_another_network_has_none_of_this_kind():
    with pytest.raises(CheckpointError, match="holds no network of the kind that was asked for"):
        from_slidr({"waffleiron.channel_mix.0.norm.weight": torch.ones(3)})
