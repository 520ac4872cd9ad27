import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fakes.command import run
from PIL import Image

import lidistill
from deploy.conftest import cloud, runs  # noqa: F401  a fixture
from lidistill.apps import open_vocabulary
from lidistill.apps.open_vocabulary import SIDES, example_files, with_examples
from lidistill.deploy.export import export
from lidistill.errors import CheckpointError, DatasetNotFoundError
from lidistill.images.files import read_image, resize
from lidistill.teachers import VitTeacherConfig

COLOURS = {"sky": (40, 90, 220), "tree": (30, 160, 40), "wall 2": (180, 150, 120)}


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for number, size in enumerate(((60, 90), (200, 70))):
            noise = rng.integers(-20, 20, (*size, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
        (folder / name / "notes.txt").write_text("not an image")
    return folder


def test_points_get_the_class_whose_examples_their_head_output_is_nearest_to(runs, examples):  # noqa: F811
    model = lidistill.load(runs / "pretrain", "cpu")
    found = with_examples(model, runs / "pretrain", examples)
    assert found.class_names == ("sky", "tree", "wall 2")
    points, intensity = cloud()
    classes = found.predict(points, intensity)
    projected = model.project(points, intensity)
    last = found.head[-1]
    kept = np.unique(projected, axis=0, return_index=True)[1]  # one row of every voxel
    unit = F.normalize(torch.from_numpy(projected[kept]), dim=1)
    channels = (unit - unit.mean(0)) / unit.std(0, correction=0)
    scores = F.normalize(channels, dim=1) @ last.weight.t() + last.bias
    assert (classes[kept] == scores.argmax(1).numpy()).mean() > 0.99
    np.testing.assert_array_equal(
        found.features(points, intensity), model.features(points, intensity)
    )


def test_an_example_is_what_the_teacher_says_centred_in_every_size(runs, examples):  # noqa: F811
    model = lidistill.load(runs / "pretrain", "cpu")
    teacher = VitTeacherConfig(model=str(runs / "vit"), layers=(-1,)).build()
    found = open_vocabulary.read_examples(example_files(examples), teacher, model)
    assert found.features.shape == (2 * 3 * len(SIDES), sum(model.head_widths))
    assert found.classes.tolist() == [c for c in range(3) for _ in range(2 * len(SIDES))]
    assert found.groups == tuple(i // len(SIDES) for i in range(2 * 3 * len(SIDES)))
    torch.testing.assert_close(found.features.norm(dim=1), torch.ones(len(found.features)))
    # The first size of the first image, by hand: 60 x 90 becomes 5 x 7 patches of 14 pixels.
    image = torch.from_numpy(read_image(examples / "sky" / "0.png")).permute(2, 0, 1)
    maps = teacher.maps(resize(image, (70, 98), True)[None])
    uv = [(x * 97, y * 69) for y in np.linspace(0.1, 0.9, 12) for x in np.linspace(0.1, 0.9, 12)]
    tokens = teacher.read(maps, torch.zeros(144, dtype=torch.int64), torch.tensor(uv), (70, 98))
    tokens = F.normalize(tokens - torch.from_numpy(model.teacher_mean), dim=1)
    expected = F.normalize(tokens.mean(0), dim=0).float()
    torch.testing.assert_close(found.features[0], expected, atol=1e-5, rtol=1e-4)
    scores = found.features.double() @ found.features[0].double()
    assert scores[: 2 * len(SIDES)].mean() > scores[2 * len(SIDES) :].mean()


def test_the_classifier_tells_the_examples_themselves_apart(runs, examples):  # noqa: F811
    model = lidistill.load(runs / "pretrain", "cpu")
    teacher = VitTeacherConfig(model=str(runs / "vit"), layers=(-1,)).build()
    read = open_vocabulary.read_examples(example_files(examples), teacher, model)
    last = with_examples(model, runs / "pretrain", examples).head[-1]
    features = open_vocabulary.Standardised()(read.features)
    assert (last(features).argmax(1) == read.classes).all()


def test_a_students_narrower_spread_plays_no_part():
    rng = torch.Generator().manual_seed(0)
    directions = F.normalize(torch.randn(500, 16, generator=rng), dim=1)
    narrow = 0.9 * directions.mean(0) + 0.1 * directions * torch.linspace(0.5, 1.5, 16)
    narrow = narrow + F.normalize(torch.ones(16), dim=0)
    own, found = (open_vocabulary.Standardised()(x) for x in (directions, narrow))
    cosine = (own * found).sum(1)
    assert cosine.mean() > 0.9
    assert (F.normalize(narrow, dim=1) * directions).sum(1).mean() < 0.5


def test_the_command_takes_examples_of_a_run_and_of_its_folder(runs, examples, tmp_path, capsys):  # noqa: F811
    np.save(tmp_path / "scan.npy", np.column_stack(cloud()).astype(np.float32))
    folder = export(runs / "pretrain", tmp_path / "model").folder
    written = []
    for number, source in enumerate((runs / "pretrain", folder)):
        out = tmp_path / f"out{number}"
        status, _, err = run(
            capsys, "predict", source, tmp_path / "scan.npy", "--examples", examples,
            "--output", out,
        )  # fmt: skip
        assert status == 0, err
        assert "wall 2" in (out / "labels.yaml").read_text()
        written.append(np.load(out / "scan.npy"))
    np.testing.assert_array_equal(*written)


def test_a_run_that_has_learned_classes_has_no_place_for_examples(runs, examples):  # noqa: F811
    model = lidistill.load(runs / "probe-backbone", "cpu")
    with pytest.raises(CheckpointError, match="lidistill pretrain"):
        with_examples(model, runs / "probe-backbone", examples)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda _: None, "is no folder"),
        (lambda f: f.mkdir(), "0 folders"),
        (lambda f: (f / "car").mkdir(parents=True), "no image in car"),
    ],
)
def test_what_holds_no_two_classes_is_one_clear_line(tmp_path, make, text):
    make(tmp_path / "classes")
    with pytest.raises(DatasetNotFoundError, match=text):
        example_files(tmp_path / "classes")
