"""Words and images as seeds: the served page gets directions of the teacher's space."""

import base64
import io

import numpy as np
import pytest
from fakes.texts import write_projection, write_text_encoder
from PIL import Image

import lidistill
from lidistill.apps.open_vocabulary import image_direction
from lidistill.apps.text_classes import text_direction
from lidistill.cli.view_queries import queries_of
from lidistill.errors import ConfigError, FileFormatError, WeightsNotFoundError
from lidistill.training.checkpoint import load_checkpoint
from lidistill.viewer.asking import Asker
from lidistill.viewer.build import Network, build_content
from lidistill.viewer.sources import source_of_run
from lidistill.viewer.spaces import to_codes


@pytest.fixture(scope="module")
def partner(world, tmp_path_factory):
    folder = tmp_path_factory.mktemp("partner")
    write_text_encoder(folder / "text", "clip")
    channels = sum(lidistill.load(world / "pretrain", "cpu").head_widths)
    write_projection(folder / "projection.safetensors", channels)
    return folder


@pytest.fixture(scope="module")
def asked(world, partner):
    """A distillation that can be asked for everything, and a probe that cannot."""
    run = world / "pretrain"
    model = lidistill.load(run, "cpu")
    dataset = source_of_run(load_checkpoint(run)).dataset
    queries = queries_of(model, run, has_teacher=True, partner=partner)
    probe = lidistill.load(world / "probe-backbone", "cpu")
    networks = [
        Network(name="distilled", model=model, queries=queries),
        Network(name="probe", model=probe, queries=queries),
    ]
    return build_content(dataset, [0, 1], networks, title="asked")


def image_file(seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def expected(content, direction):
    codes = to_codes(direction[None], content.models[0].spaces["head"].basis)[0]
    return [*codes.tolist(), *([0] * (64 - len(codes)))]


def test_a_served_page_is_told_which_networks_can_be_asked(asked):
    assert asked.manifest()["capabilities"]["query"] is None  # nobody answers a page from a disk
    asked.is_served = True
    try:
        assert asked.manifest()["capabilities"]["query"] == {"text": [0], "image": [0]}
    finally:
        asked.is_served = False


def test_words_lie_where_their_projection_puts_them(asked, world, partner):
    model = lidistill.load(world / "pretrain", "cpu")
    answer = Asker(asked).ask({"format": 1, "model": 0, "text": "traffic sign"})
    assert answer["vector"] == expected(asked, text_direction(model, "traffic sign", partner))
    other = Asker(asked).ask({"format": 1, "model": 0, "text": "tree"})
    assert other["vector"] != answer["vector"]
    assert abs(sum(v * v for v in other["vector"]) - 127**2) < 127 * 8


def test_an_image_lies_where_the_teacher_puts_it(asked, world, tmp_path):
    model = lidistill.load(world / "pretrain", "cpu")
    content = image_file()
    (tmp_path / "crop.png").write_bytes(content)
    values = {"format": 1, "model": 0, "image": base64.b64encode(content).decode()}
    wanted = image_direction(model, world / "pretrain", tmp_path / "crop.png")
    assert Asker(asked).ask(values)["vector"] == expected(asked, wanted)


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"format": 2, "model": 0, "text": "car"}, "format: "),
        ({"format": 1, "model": 0}, "either a text or an image"),
        ({"format": 1, "model": 0, "text": "car", "image": "eA=="}, "either a text or an image"),
        ({"format": 1, "model": 2, "text": "car"}, "no network 2"),
        ({"format": 1, "model": -1, "text": "car"}, "model: "),
        ({"format": 1, "model": 1, "text": "car"}, "probe has no text partner"),
        ({"format": 1, "model": 1, "image": "eA=="}, "teacher of probe is not here"),
        ({"format": 1, "model": 0, "text": 201 * "a"}, "text: "),
        ({"format": 1, "model": 0, "text": ""}, "text: "),
        ({"format": 1, "model": 0, "image": "<svg/>"}, "no base64"),
        (["text"], "the body"),
    ],
)
def test_what_cannot_be_answered_is_one_line(asked, values, line):
    with pytest.raises(ConfigError, match=line):
        Asker(asked).ask(values)


def test_bytes_that_are_no_image_are_one_line(asked):
    for content in (b"", b"\xff\xd8\xff", image_file()[:500], b"GIF89a", b"<svg></svg>"):
        values = {"format": 1, "model": 0, "image": base64.b64encode(content).decode()}
        with pytest.raises(FileFormatError, match="does not decode"):
            Asker(asked).ask(values)


def test_a_partner_that_is_none_is_said_at_the_start(world, tmp_path):
    model = lidistill.load(world / "pretrain", "cpu")
    with pytest.raises(ConfigError, match="no projection"):
        queries_of(model, world / "pretrain", has_teacher=True, partner=tmp_path)
    write_projection(tmp_path / "projection.safetensors", 32)
    with pytest.raises(WeightsNotFoundError, match="no text encoder"):
        queries_of(model, world / "pretrain", has_teacher=True, partner=tmp_path)
