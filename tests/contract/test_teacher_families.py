"""Every family of the table, as transformers' own class of it with few channels and random weights.

Shape letters: V views, T tokens, C channels.
"""

import importlib
from pathlib import Path
from typing import Any

import pytest
import torch
from fakes.teachers import write_vit
from fakes.tiny_teachers import TINY, Tiny
from pydantic import TypeAdapter
from torch import Tensor, nn

from lidistill.errors import ConfigError
from lidistill.teachers import FrozenTeacher, TeacherConfig
from lidistill.teachers.base import standardize
from lidistill.teachers.table import KNOWN

FAMILIES = {row.family.title: row.family for row in KNOWN.values() if row.family.model_types}
VITS = [title for title, family in FAMILIES.items() if family.kind == "vit"]


def test_no_family_is_left_out() -> None:
    assert set(TINY) == set(FAMILIES)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {
        title: write_vit(root / title, tiny.family, small=False, **tiny.settings)
        for title, tiny in TINY.items()
    }


def build(title: str, folders: dict[str, Path], **changes: object) -> Any:
    settings = {"kind": FAMILIES[title].kind, "model": str(folders[title]), "normalize": False}
    config: Any = TypeAdapter(TeacherConfig).validate_python(
        settings | TINY[title].teacher | changes
    )
    return config.build()


def camera_images(tiny: Tiny, num_views: int = 2) -> Tensor:
    draw = torch.Generator().manual_seed(7)
    return torch.randint(0, 256, (num_views, 3, *tiny.size), dtype=torch.uint8, generator=draw)


def reference(title: str, folders: dict[str, Path], **options: Any) -> Any:
    """What transformers' own forward gives, for images standardised as the table says."""
    transformers = importlib.import_module("transformers")
    tiny, family = TINY[title], FAMILIES[title]
    network_class = getattr(transformers, f"{tiny.family}Model")
    network = network_class.from_pretrained(folders[title]).eval()
    pixels = standardize(camera_images(tiny), mean=family.mean, std=family.std)
    arguments: dict[str, Any] = {"pixel_values": pixels}
    if tiny.family in {"CLIPVision", "SiglipVision"}:
        arguments["interpolate_pos_encoding"] = True
    if tiny.family == "Siglip2Vision":
        module = importlib.import_module("transformers.models.siglip2.image_processing_pil_siglip2")
        patch = tiny.settings["patch_size"]
        rows = [module.convert_image_to_patches(p.numpy(), patch) for p in pixels]
        patches = torch.stack([torch.from_numpy(row) for row in rows])
        grid = [side // patch for side in tiny.size]
        arguments = {
            "pixel_values": patches,
            "pixel_attention_mask": torch.ones(patches.shape[:2], dtype=torch.int32),
            "spatial_shapes": torch.tensor([grid] * len(pixels)),
        }
    if tiny.family == "SamVision":
        side = tiny.settings["image_size"]
        full = torch.zeros(len(pixels), 3, side, side)
        full[:, :, : tiny.size[0], : tiny.size[1]] = pixels
        arguments = {"pixel_values": full}
    with torch.no_grad():
        return network(**arguments, **options)


def as_map(tokens: Tensor, tiny: Tiny) -> Tensor:
    """(V, C, h, w) of (V, T, C) tokens, those before the patches left out by their known number."""
    grid = [side // tiny.settings["patch_size"] for side in tiny.size]
    return tokens[:, tiny.num_class + tiny.num_registers :].mT.unflatten(2, grid)


@pytest.mark.parametrize("title", VITS)
def test_tokens_are_those_of_the_networks_own_forward(title: str, folders: dict[str, Path]) -> None:
    tiny = TINY[title]
    inner = build(title, folders, layers=(1, 2)).maps(camera_images(tiny))
    normed = tiny.has_norm and title != "CLIP"  # whose last hidden state is not
    last = build(title, folders, final_norm=normed).maps(camera_images(tiny))
    expected = reference(title, folders, output_hidden_states=True)
    for level, layer in zip(inner.levels, (1, 2), strict=True):
        assert torch.equal(level, as_map(expected.hidden_states[layer], tiny))
    assert torch.equal(last.levels[0], as_map(expected.last_hidden_state, tiny))


@pytest.mark.parametrize("title", VITS)
def test_layers_come_alone_or_together_before_the_norm_or_behind_it(
    title: str, folders: dict[str, Path]
) -> None:
    tiny = TINY[title]
    images = camera_images(tiny)
    both = build(title, folders, layers=(3, 1)).maps(images)
    for index, layer in enumerate((3, 1)):
        alone = build(title, folders, layers=(layer,)).maps(images)
        assert torch.equal(both.levels[index], alone.levels[0])
    if not tiny.has_norm:
        with pytest.raises(ConfigError, match="no final norm"):
            build(title, folders, final_norm=True)
        return
    normed = build(title, folders, layers=(3, 1), final_norm=True)
    for level, raw in zip(normed.maps(images).levels, both.levels, strict=True):
        expected = normed._norm(raw.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        torch.testing.assert_close(level, expected)
        assert not torch.equal(level, raw)


@pytest.mark.parametrize("title", VITS)
def test_class_tokens_are_the_first_and_registers_never_count(
    title: str, folders: dict[str, Path]
) -> None:
    tiny = TINY[title]
    if tiny.num_class == 0:
        with pytest.raises(ConfigError, match="no class token"):
            build(title, folders, class_token=True)
        return
    teacher = build(title, folders, class_token=True, layers=(2, -1), final_norm=tiny.has_norm)
    maps = teacher.maps(camera_images(tiny))
    assert [group.whole_image for group in teacher.groups] == [False, True] * 2
    assert [level.shape[1] for level in maps.levels] == [g.num_channels for g in teacher.groups]
    expected = reference(title, folders)
    own = {"C-RADIO": "summary", "CLIP": "pooler_output"}  # CLIP norms nothing else
    wanted = expected[own[title]] if title in own else expected.last_hidden_state[:, 0]
    assert torch.equal(maps.levels[3][:, :, 0, 0], wanted)
    assert maps.levels[2].shape[2:] == tuple(s // tiny.settings["patch_size"] for s in tiny.size)


def test_registers_that_the_configuration_does_not_have_are_an_error(
    folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    teacher = build("DINOv3 ViT", folders)
    monkeypatch.setattr(teacher.network.config, "num_register_tokens", 6)
    with pytest.raises(ConfigError, match=r"5 tokens stand before the patches, .* 6 registers"):
        teacher._find_prefix()


def test_a_pyramid_is_that_of_the_networks_own_stages(folders: dict[str, Path]) -> None:
    title = "DINOv3 ConvNeXt"
    transformers = importlib.import_module("transformers")
    tiny, family = TINY[title], FAMILIES[title]
    images = camera_images(tiny)
    backbone = transformers.DINOv3ConvNextBackbone.from_pretrained(
        folders[title], out_features=["stage1", "stage2", "stage3", "stage4"]
    ).eval()
    with torch.no_grad():
        stages = backbone(standardize(images, mean=family.mean, std=family.std)).feature_maps
    teacher = build(title, folders, strides=(32, 4, 8, 16))
    for level, stage in zip(teacher.maps(images).levels, (3, 0, 1, 2), strict=True):
        assert torch.equal(level, stages[stage])
    for strides in ((8,), (16, 8)):
        alone = build(title, folders, strides=strides)
        assert len(alone._stages) == (2 if strides == (8,) else 3)
        assert torch.equal(alone.maps(images).levels[-1], stages[1])
    expected = reference(title, folders)
    normed = build(title, folders, strides=(32,), final_norm=True, class_token=True).maps(images)
    assert torch.equal(normed.levels[0].flatten(2).mT, expected.last_hidden_state[:, 1:])
    assert torch.equal(normed.levels[1][:, :, 0, 0], expected.pooler_output)


NECKS = {
    "Segment Anything": (16.0,),
    "Segment Anything 2": (4.0, 8.0, 16.0),
    "Segment Anything 3": (3.5, 7.0, 14.0, 28.0),
}


@pytest.mark.parametrize("title", NECKS)
def test_maps_behind_the_neck_are_those_of_the_networks_own_forward(
    title: str, folders: dict[str, Path]
) -> None:
    tiny, strides = TINY[title], NECKS[title]
    maps = build(title, folders, strides=strides).maps(camera_images(tiny))
    assert maps.strides == strides
    expected = reference(title, folders)
    if title == "Segment Anything":
        wanted = (expected.last_hidden_state[:, :, :6, :8],)
    else:
        wanted = expected.fpn_hidden_states
    for level, found in zip(wanted, maps.levels, strict=True):
        assert torch.equal(level, found)
    masks = build(title, folders)
    assert masks.strides == (14.0 if title.endswith("3") else 16.0,)
    index = strides.index(masks.strides[0])
    assert torch.equal(masks.maps(camera_images(tiny)).levels[0], maps.levels[index])
    with pytest.raises(ConfigError, match="no map of stride 5"):
        build(title, folders, strides=(5,))


@pytest.mark.parametrize("title", NECKS)
def test_blocks_before_the_neck_are_those_of_the_networks_own_forward(
    title: str, folders: dict[str, Path]
) -> None:
    tiny = TINY[title]
    expected = reference(title, folders, output_hidden_states=True).hidden_states
    teacher = build(title, folders, layers=(2, -1))
    maps = teacher.maps(camera_images(tiny))
    last = len(teacher._encoder.block_levels)
    assert teacher.layers == (2, last)
    hidden = {len(states): states for states in (expected,)}
    offset = 1 if last + 1 in hidden else 0  # some count the embeddings first
    for level, layer in zip(maps.levels, teacher.layers, strict=True):
        whole = expected[layer - 1 + offset].permute(0, 3, 1, 2)
        assert torch.equal(level, whole[:, :, : level.shape[2], : level.shape[3]])
    assert [g.num_channels for g in teacher.groups] == [level.shape[1] for level in maps.levels]


def make_local(network: nn.Module) -> None:
    """Let every token and cell see itself only: no attention, and kernels of their middle alone."""
    with torch.no_grad():
        for module in network.modules():
            if "Attention" in type(module).__name__:
                for name in ("o_proj", "out_proj", "proj"):
                    if isinstance(getattr(module, name, None), nn.Linear):
                        getattr(module, name).weight.zero_()
            if isinstance(module, nn.Conv2d) and module.stride == (1, 1):
                middle = module.kernel_size[0] // 2
                kernel = module.weight[:, :, middle, middle].clone()
                module.weight.zero_()
                module.weight[:, :, middle, middle] = kernel


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("title", FAMILIES)
def test_a_bright_patch_is_seen_by_the_points_on_it_and_by_no_others(
    title: str, folders: dict[str, Path], local: bool
) -> None:
    tiny = TINY[title]
    teacher: FrozenTeacher = build(title, folders)
    if local:
        make_local(teacher.network)
    stride = round(max(teacher.maps(camera_images(tiny, 1)).strides))
    top, left = stride, 2 * stride
    dark = camera_images(tiny, 1) // 4
    bright = dark.clone()
    bright[:, :, top : top + stride, left : left + stride] = 255
    v, u = torch.meshgrid(*(torch.arange(float(side)) for side in tiny.size), indexing="ij")
    uv_P2 = torch.stack([u, v], dim=-1).reshape(-1, 2)
    view = torch.zeros(len(uv_P2), dtype=torch.int64)
    features = [
        teacher.read(teacher.maps(images), view, uv_P2, tiny.size) for images in (dark, bright)
    ]
    changed = (features[1] - features[0]).norm(dim=1).reshape(tiny.size)
    on_it = changed[top : top + stride, left : left + stride]
    away = torch.ones(tiny.size, dtype=torch.bool)
    # A point between two cells reads both; SAM 2 adds a map of 32 pixels a cell, each of which sees
    # 3 pixels of its neighbours.
    reach = stride + 24 * (title == "Segment Anything 2")
    rows, columns = (slice(max(0, a - reach), a + stride + reach) for a in (top, left))
    away[rows, columns] = False
    assert away.any()
    if local:
        assert (on_it > 0).all()
        assert changed[away].max() == 0
    else:
        assert on_it.mean() > 2 * changed[away].mean()


def test_images_that_do_not_fit_are_told_what_does(folders: dict[str, Path]) -> None:
    sam, sam2, sam3 = (build(title, folders) for title in NECKS)
    sam.check_size((32, 128))
    with pytest.raises(ConfigError, match="at most 128 x 128"):
        sam.check_size((128, 144))
    with pytest.raises(ConfigError, match="multiples of 16"):
        sam.check_size((100, 128))
    with pytest.raises(ConfigError, match="multiples of 32"):
        sam2.check_size((96, 112))
    with pytest.raises(ConfigError, match="only 112 x 112"):
        sam3.check_size((56, 112))


def test_another_kind_is_named_where_a_folder_is_given(folders: dict[str, Path]) -> None:
    for title in ("DINOv3 ConvNeXt", "Segment Anything"):
        kind = FAMILIES[title].kind
        with pytest.raises(ConfigError, match=f"no plain vision transformer.*kind={kind}"):
            TypeAdapter(TeacherConfig).validate_python(
                {"kind": "vit", "model": str(folders[title])}
            ).build()
    for kind in ("sam", "convnext"):
        with pytest.raises(ConfigError, match="Dinov2Model is no"):
            TypeAdapter(TeacherConfig).validate_python(
                {"kind": kind, "model": str(folders["DINOv2"])}
            ).build()
