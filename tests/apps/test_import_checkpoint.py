import argparse
import gzip
import io
import re
import tarfile

import numpy as np
import pytest
import torch
from faults.bounded import bounded
from golden_cases import golden_files
from golden_networks import build_net, padded_batch, read_case, stored_weights
from safetensors.torch import save_file

from lidistill.apps.import_checkpoint import import_checkpoint
from lidistill.backbones import WaffleIronConfig
from lidistill.backbones.published_names import NamedWeights
from lidistill.backbones.waffleiron.grid import GridConfig
from lidistill.backbones.waffleiron.published import to_official
from lidistill.distill.heads import LinearHead, MLPHead
from lidistill.distill.initial_weights import load_initial
from lidistill.distill.recipe import PretrainRecipe
from lidistill.distill.step import build_distiller
from lidistill.distill.teacher_config import UNNAMED_TEACHER
from lidistill.errors import CheckpointError
from lidistill.recipes import apply_overrides, load_recipe
from lidistill.segment.heads import SegmentationHead
from lidistill.teachers import ChannelGroup
from lidistill.training.checkpoint import load_checkpoint
from lidistill.training.fitting import backbone_weights

GRID = GridConfig(planes=((8, 8), (8, 4), (8, 4)))
HEADS = {
    "linear": lambda: LinearHead(6, 10),
    "mlp": lambda: MLPHead(6, 10, hidden_channels=7),
    "16 classes": lambda: SegmentationHead(6, 16),
    "16 plain": lambda: LinearHead(6, 16),
}


def official(head=None, norm="layer", **options):
    torch.manual_seed(0)
    net = WaffleIronConfig(width=6, depth=2, norm=norm, grid=GRID, **options).build()
    head_state = {} if head is None else HEADS[head]().state_dict()
    return to_official(NamedWeights(backbone=net.state_dict(), head=head_state))


def write_pth(path, state):
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(state, path)
    return path


def write_tar(path, *members):
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in members:
            info = content if isinstance(content, tarfile.TarInfo) else tarfile.TarInfo(name)
            data = b"" if content is info else content
            info.name, info.size = name, len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def pth_bytes(state):
    buffer = io.BytesIO()
    torch.save(state, buffer)
    return buffer.getvalue()


def link(kind):
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, "/etc/passwd"
    return info


@pytest.mark.parametrize("wrapper", ["model_point", "model_points"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(
    ("head", "recipe"), [("linear", "pretrain/scalr"), ("mlp", "pretrain/scalr-plus")]
)
def test_a_distillation_tells_its_recipe_by_its_head(tmp_path, wrapper, prefix, head, recipe):
    state = official(head)
    named = {f"{prefix}{name}": tensor for name, tensor in state.items()}
    file = write_pth(tmp_path / "model.pth", {wrapper: named, "epoch": 24, "optim": {}})
    result = import_checkpoint(file, tmp_path / "run")
    checkpoint = load_checkpoint(tmp_path / "run")
    assert (result.recipe, result.width, result.depth) == (recipe, 6, 2)
    loaded = apply_overrides(checkpoint.recipe, (), source="imported")
    assert isinstance(loaded, PretrainRecipe)
    net = loaded.backbone.build()
    net.load_state_dict(backbone_weights(checkpoint))
    back = to_official(NamedWeights(backbone=net.state_dict()))
    assert all(torch.equal(tensor, state[name]) for name, tensor in back.items())
    activation = loaded.backbone.model_dump()["activation"]
    assert activation == ("gelu" if recipe.endswith("plus") else "relu")
    loaded.head.build(6, 10).load_state_dict(
        {n.removeprefix("head."): t for n, t in checkpoint.weights.items() if "head." in n}
    )


def test_an_imported_network_can_be_distilled_on_as_the_docs_say(tmp_path):
    file = write_pth(tmp_path / "model.pth", {"model_point": official("linear")})
    import_checkpoint(file, tmp_path / "run")
    changes = (f"init={tmp_path / 'run'}", f"output={tmp_path / 'ours'}", "seed=3")
    recipe = load_recipe(str(tmp_path / "run" / "recipe.yaml"), changes)
    assert isinstance(recipe, PretrainRecipe)
    assert (recipe.backbone.model_dump()["width"], recipe.output) == (6, tmp_path / "ours")
    groups = (ChannelGroup(num_channels=10),)
    distiller = build_distiller(recipe, {UNNAMED_TEACHER: groups})
    said = load_initial(distiller, run=tmp_path / "run", teachers={UNNAMED_TEACHER: "any"})
    assert said.startswith("backbone and head of")


def test_weights_in_safetensors_are_read_like_those_of_torch(tmp_path):
    save_file(official("linear"), tmp_path / "model.safetensors")
    file = write_pth(tmp_path / "model.pth", {"model_point": official("linear")})
    runs = [tmp_path / "a", tmp_path / "b"]
    for one, run in zip((file, tmp_path / "model.safetensors"), runs, strict=True):
        import_checkpoint(one, run, recipe="pretrain/scalr")
    first, second = (load_checkpoint(run).weights for run in runs)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], tensor) for name, tensor in second.items())


def test_an_archive_is_read_without_unpacking_its_names(tmp_path):
    content = pth_bytes({"model_point": official("mlp")})
    parts = [("logs/a/README", b"text"), ("logs/a/ckpt_last.pth", content)]
    file = write_tar(tmp_path / "model.tar.gz", *parts)
    assert import_checkpoint(file, tmp_path / "run").head == "mlp 10"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.tar.gz", "run"]


def test_class_heads_carry_the_names_of_the_recipes_classes(tmp_path):
    file = write_pth(tmp_path / "model.pth", {"net": official("16 classes")})
    import_checkpoint(file, tmp_path / "run", recipe="finetune/scalr-plus/nuscenes")
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.recipe["backbone"]["activation"] == "gelu"
    assert checkpoint.recipe["backbone"]["width"] == 6
    assert checkpoint.recipe["checkpoint"] is None
    assert checkpoint.meta["label_names"][0] == "barrier"


def test_a_waffleiron_without_a_batchnorm_before_its_classes_predicts_the_same(tmp_path):
    state = official("16 plain", norm="batch")
    file = write_pth(tmp_path / "model.pth", {"net": state})
    import_checkpoint(file, tmp_path / "run", recipe="finetune/scalr/nuscenes")
    checkpoint = load_checkpoint(tmp_path / "run")
    assert checkpoint.recipe["backbone"]["norm"] == "batch"
    head = SegmentationHead(6, 16).eval()
    own = {n.removeprefix("head."): t for n, t in checkpoint.weights.items() if "head." in n}
    head.load_state_dict(own)
    features = torch.randn(20, 6)
    plain = features @ state["classif.weight"][..., 0].t() + state["classif.bias"]
    assert torch.allclose(head(features), plain, atol=1e-5)


@pytest.mark.parametrize("head", ["16 classes", "16 plain", None])
def test_what_weights_do_not_say_has_to_be_said(tmp_path, head):
    file = write_pth(tmp_path / "model.pth", {"net": official(head)})
    with pytest.raises(CheckpointError, match=r"which activation.*give --recipe.*probe/scalr/nu"):
        import_checkpoint(file, tmp_path / "run")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ([1, 2], "holds list, expected weights by their names"),
        ({"net": {"layer.weight": torch.zeros(2)}}, "no network that is known here"),
        ({}, "no network that is known here"),
        ({"net": {1: torch.zeros(2)}}, "no network that is known here"),
        ({"net": {"waffleiron.channel_mix.0.norm.weight": torch.ones(3)}}, "no embedding"),
    ],
)
def test_other_checkpoints_are_refused(tmp_path, state, reason):
    file = write_pth(tmp_path / "model.pth", state)
    with pytest.raises(CheckpointError, match=reason):
        import_checkpoint(file, tmp_path / "run", recipe="pretrain/scalr")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("missing", ["embed.final.weight", "waffleiron.spatial_mix.0.scale.weight"])
def test_a_checkpoint_that_lacks_a_weight_is_refused(tmp_path, missing):
    state = official("mlp")
    del state[missing]
    file = write_pth(tmp_path / "model.pth", {"model_point": state})
    with pytest.raises(CheckpointError, match=r"is missing .*is the file complete\?"):
        import_checkpoint(file, tmp_path / "run")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    state = official("mlp")
    state["embed.final.weight"][0] = torch.nan
    file = write_pth(tmp_path / "model.pth", {"model_point": state})
    with pytest.raises(CheckpointError, match=r"embed.merge.weight is not finite; get the file"):
        import_checkpoint(file, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("head", "changed"),
    [
        ("linear", {"classif.weight": None}),
        ("linear", {"classif.weight": torch.ones(3)}),
        ("mlp", {"classif.0.weight": None}),
        ("mlp", {"classif.2.bias": None}),
        ("16 classes", {"classif.1.weight": None}),
        ("16 classes", {"classif.0.weight": None}),
    ],
)
def test_a_head_that_is_not_whole_is_refused(tmp_path, head, changed):
    state = official(head) | changed
    state = {name: tensor for name, tensor in state.items() if tensor is not None}
    file = write_pth(tmp_path / "model.pth", {"net": state})
    with pytest.raises(CheckpointError, match="a head that is not whole, found "):
        import_checkpoint(file, tmp_path / "run", recipe="pretrain/scalr")


def test_a_head_of_another_width_is_refused(tmp_path):
    state = official("linear") | {"classif.weight": torch.zeros(10, 9, 1)}
    file = write_pth(tmp_path / "model.pth", {"model_point": state})
    with pytest.raises(CheckpointError, match="over 9 channels on a network of 6"):
        import_checkpoint(file, tmp_path / "run")


@pytest.mark.parametrize(
    ("head", "recipe"), [("mlp", "pretrain/scalr"), ("linear", "pretrain/scalr-plus")]
)
def test_a_recipe_that_contradicts_the_head_is_refused(tmp_path, head, recipe):
    file = write_pth(tmp_path / "model.pth", {"model_point": official(head)})
    with pytest.raises(CheckpointError, match=f"recipe {recipe} distils with one of the kind"):
        import_checkpoint(file, tmp_path / "run", recipe=recipe)


def test_a_folder_that_holds_a_run_is_left_alone(tmp_path):
    file = write_pth(tmp_path / "model.pth", {"model_point": official("linear")})
    first = import_checkpoint(file, tmp_path / "a: run [1]").checkpoint
    with pytest.raises(CheckpointError, match="holds a run"):
        import_checkpoint(file, tmp_path / "a: run [1]")
    assert load_checkpoint(tmp_path / "a: run [1]").path == first


def test_a_head_of_other_classes_is_refused(tmp_path):
    file = write_pth(tmp_path / "model.pth", {"net": official("16 classes")})
    with pytest.raises(CheckpointError, match="tells 19 classes apart"):
        import_checkpoint(file, tmp_path / "run", recipe="probe/scalr/semantic-kitti")


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (tmp_path.joinpath("made").mkdir, ())

    file = write_pth(tmp_path / "model.pth", {"net": Evil()})
    with pytest.raises(CheckpointError, match="not a checkpoint of plain tensors") as caught:
        import_checkpoint(file, tmp_path / "run")
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "member",
    [
        ("../out.pth", b""),
        ("/abs.pth", b""),
        ("link.pth", link(tarfile.SYMTYPE)),
        ("hard.pth", link(tarfile.LNKTYPE)),
        ("pipe.pth", link(tarfile.FIFOTYPE)),
    ],
)
def test_an_archive_that_reaches_out_is_refused(tmp_path, member):
    good = ("a/model.pth", pth_bytes({"model_point": official("mlp")}))
    file = write_tar(tmp_path / "model.tar.gz", good, member)
    with pytest.raises(CheckpointError, match="not an archive to trust"):
        import_checkpoint(file, tmp_path / "run")


def test_an_archive_beyond_the_limit_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("lidistill.reading.weight_files.MAX_BYTES", 1000)
    file = write_tar(tmp_path / "model.tar.gz", ("big.bin", b"0" * 1001))
    with pytest.raises(CheckpointError, match="not an archive to trust"):
        import_checkpoint(file, tmp_path / "run")


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME])
@pytest.mark.parametrize("first", [True, False])
def test_a_header_that_would_fill_the_memory_is_not_read(tmp_path, kind, first):
    endless = tarfile.TarInfo("endless")
    endless.type, endless.size = kind, 2**33 - 1
    good = tarfile.TarInfo("model.pth")
    members = [endless.tobuf(), good.tobuf()] if first else [good.tobuf(), endless.tobuf()]
    file = tmp_path / "model.tar.gz"
    file.write_bytes(gzip.compress(b"".join(members) + bytes(2**16)))
    with pytest.raises(CheckpointError, match=r"a header of 8,589,934,591 bytes"):
        import_checkpoint(file, tmp_path / "run")


def header(name, size):
    info = tarfile.TarInfo(name)
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT)


def negative():
    block = bytearray(header("m.pth", 5))
    block[124:136], block[148:156] = b"\xff" * 12, b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block)


def pax(**headers):
    info = tarfile.TarInfo("m.pth")
    info.pax_headers = {key.replace("_", "."): value for key, value in headers.items()}
    return info.tobuf(tarfile.PAX_FORMAT)


def packed(*pieces):
    """A gzip file of pieces: bytes, or a number of mebibytes of zeros."""
    buffer = io.BytesIO()
    with gzip.open(buffer, "wb", 1) as file:
        for piece in pieces:
            for part in [piece] if isinstance(piece, bytes) else (bytes(2**20),) * piece:
                file.write(part)
    return buffer.getvalue()


HOSTILE_ARCHIVES = {
    "zeros": (lambda: packed(header("m.pth", 2**30), 1024), "not an archive to trust"),
    "many zeros": (
        lambda: packed(*[x for i in range(9) for x in (header(f"{i}.bin", 2**24), 16)]),
        "not an archive to trust",
    ),
    "only zeros": (lambda: packed(700), "0 files of weights|goes beyond|more than"),
    "claims": (lambda: packed(header("m.pth", 2**62)), "not an archive to trust"),
    "negative": (lambda: packed(negative()), "a header of -1 bytes"),
    "negative in pax": (lambda: packed(pax(size="-512")), "not an archive to trust"),
    "sparse": (
        lambda: packed(pax(GNU_sparse_map="0,1" + "0" * 15, GNU_sparse_size="1" + "0" * 15)),
        "not an archive to trust",
    ),
    "members": (lambda: gzip.compress(b"") * 10**6, "more than 10,000 gzip members"),
    "bzip2": (lambda: b"BZh91AY&SY", "packed with bzip2, which is not read"),
    "xz": (lambda: b"\xfd7zXZ\0", "packed with xz, which is not read"),
}


@pytest.mark.parametrize("name", HOSTILE_ARCHIVES)
def test_hostile_archives_cost_nothing(tmp_path, name):
    make, reason = HOSTILE_ARCHIVES[name]
    (tmp_path / "model.tar.gz").write_bytes(make())
    answer = bounded(import_checkpoint, tmp_path / "model.tar.gz", tmp_path / "run")
    assert re.search(f"^CheckpointError: .*({reason})", answer), answer
    assert len(answer) < 400


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"waffleiron.channel_mix.1000000.norm.weight": torch.zeros(6)}, "the number 1000000"),
        ({"embed.conv1.weight": torch.zeros(0, 10**9)}, "a tensor without values"),
        ({"embed.conv1.weight": torch.zeros(6, 10**6)}, "embed.point.weight"),
        ({"embed.conv1.weight": torch.zeros(6000, 5)}, "of another architecture"),
        (
            {"classif.0.weight": torch.zeros(10**6, 0), "classif.2.weight": torch.zeros(10**6, 0)},
            "a tensor without values",
        ),
    ],
)
def test_shapes_are_compared_before_there_is_memory_for_them(tmp_path, changed, reason):
    file = write_pth(tmp_path / "model.pth", {"model_point": official("mlp") | changed})
    answer = bounded(import_checkpoint, file, tmp_path / "run")
    assert re.search(f"^(CheckpointError|ConfigError): .*({reason})", answer), answer


def test_settings_beside_the_weights_do_no_harm_and_what_is_left_out_is_named(tmp_path, caplog):
    beside = {"args": argparse.Namespace(lr=1), "epoch": np.int64(3)}
    weights = {f"module._orig_mod.{n}": t.half() for n, t in official("mlp").items()}
    state = beside | {"model_point": weights | {"extra": torch.zeros(1)}}
    file = write_pth(tmp_path / "model.pth", state)
    import_checkpoint(file, tmp_path / "run")
    stored = load_checkpoint(tmp_path / "run").weights["backbone.embed.point.weight"]
    assert torch.equal(stored, official("mlp")["embed.conv1.weight"][..., 0].half().float())
    assert "left out, no part of the network: 'extra'" in caplog.text


def test_a_damaged_archive_and_one_without_weights_are_refused(tmp_path):
    file = write_tar(tmp_path / "empty.tar.gz", ("README", b"text"))
    with pytest.raises(CheckpointError, match="0 files of weights"):
        import_checkpoint(file, tmp_path / "run")
    whole = write_tar(
        tmp_path / "cut.tar.gz", ("m.pth", pth_bytes({"model_point": official("mlp")}))
    )
    whole.write_bytes(whole.read_bytes()[:-3000])
    with pytest.raises(CheckpointError, match="damaged archive"):
        import_checkpoint(whole, tmp_path / "run")
    with pytest.raises(CheckpointError, match="is not a file"):
        import_checkpoint(tmp_path / "nothing.pth", tmp_path / "run")


@pytest.mark.parametrize("file", golden_files("waffleiron/*_a.safetensors"))
def test_a_published_form_gives_the_reference_outputs(file, tmp_path):
    check_outputs(file, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("file", golden_files("waffleiron/*_full48_*.safetensors"))
def test_a_published_form_of_full_size_gives_the_reference_outputs(file, tmp_path):
    check_outputs(file, tmp_path)


def check_outputs(file, tmp_path):
    case = read_case(file)
    state = {f"module.{k}": v for k, v in stored_weights(case, build_net(case)).items()}
    pth = write_pth(tmp_path / "ckpt_last.pth", {"model_point": state, "epoch": 1})
    import_checkpoint(pth, tmp_path / "run")
    checkpoint = load_checkpoint(tmp_path / "run")
    loaded = apply_overrides(checkpoint.recipe, (), source="imported")
    net = build_net(case)
    config = loaded.backbone.model_copy(update={"grid": net["backbone"].config.grid})
    imported = config.build().eval()
    imported.load_state_dict(backbone_weights(checkpoint))
    batch = padded_batch(case)
    with torch.no_grad():
        assert torch.equal(imported(batch), net["backbone"].eval()(batch))


@pytest.mark.slow
@pytest.mark.parametrize("width", [256, 768])
def test_networks_of_published_size_are_imported(tmp_path, width):
    backbone = WaffleIronConfig(width=width, depth=48, activation="gelu").build()
    head = MLPHead(width, 1024, hidden_channels=2048)
    state = to_official(NamedWeights(backbone=backbone.state_dict(), head=head.state_dict()))
    named = {f"module.{name}": tensor for name, tensor in state.items()}
    content = pth_bytes({"model_point": named})
    file = write_tar(tmp_path / "published.tar.gz", ("logs/ckpt_last.pth", content))
    result = import_checkpoint(file, tmp_path / "run")
    assert (result.width, result.depth) == (width, 48)
    assert result.num_parameters == sum(p.numel() for p in backbone.parameters())
    weights = backbone_weights(load_checkpoint(tmp_path / "run"))
    assert all(torch.equal(weights[n], t) for n, t in backbone.state_dict().items())
