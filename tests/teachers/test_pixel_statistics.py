"""Which colours a teacher expects: of the recipe, of the model's own file, of its family."""

import json
import logging
from pathlib import Path

import pytest
import torch
from fakes.teachers import write_colours, write_vit
from pydantic import ValidationError

from lidistill.errors import ConfigError, FileFormatError
from lidistill.teachers import VitTeacherConfig
from lidistill.teachers.base import standardize
from lidistill.teachers.families import IMAGENET_MEAN, IMAGENET_STD
from lidistill.teachers.pixel_statistics import pixel_statistics, read_pixel_statistics

OWN = ((0.5, 0.4, 0.3), (0.25, 0.5, 0.2))


def test_the_models_own_file_goes_before_its_family(tmp_path: Path) -> None:
    model = str(write_vit(tmp_path))
    assert VitTeacherConfig(model=model).build().mean == IMAGENET_MEAN
    plain = VitTeacherConfig(model=model).build()
    write_colours(tmp_path)
    teacher = VitTeacherConfig(model=model).build()
    assert (teacher.mean, teacher.std) == OWN
    assert teacher.name != plain.name


def test_the_recipe_goes_before_the_models_own_file(tmp_path: Path) -> None:
    write_colours(tmp_path)
    found = pixel_statistics(str(tmp_path), "dinov2", mean=(0.0, 0.1, 0.2), std=None)
    assert found == ((0.0, 0.1, 0.2), OWN[1])


@pytest.mark.parametrize(
    ("colours", "reason"),
    [
        ({"std": (0.2, 0.0, 0.2)}, "std is .*expected three numbers above 0"),
        ({"std": (-1.0, -1.0, -1.0)}, "std is .*expected three numbers above 0"),
        ({"mean": (123.675, 116.28, 103.53)}, "mean is .*as for images from 0 to 255"),
        ({"std": (58.395, 57.12, 57.375)}, "std is .*divide it by 255"),
    ],
)
def test_colours_of_a_recipe_that_no_image_has_are_one_clear_line(
    colours: dict[str, tuple[float, float, float]], reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        VitTeacherConfig(model="dinov2-small", **colours)  # type: ignore[arg-type]


def test_without_a_file_the_family_decides_and_an_unknown_one_must_be_told(tmp_path: Path) -> None:
    found = pixel_statistics(str(tmp_path), "dinov3_vit", mean=None, std=None)
    assert found == (IMAGENET_MEAN, IMAGENET_STD)
    with pytest.raises(ConfigError, match=r"preprocessor_config\.json"):
        pixel_statistics(str(tmp_path), "vit", mean=None, std=None)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"rescale_factor": 1 / 127.5},
        {"do_rescale": False},
        {"do_normalize": False},
        {"image_mean": 0.5, "image_std": 0.25},
        {"do_rescale": None, "rescale_factor": None},
    ],
)
def test_images_become_what_the_files_own_steps_make_of_them(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    path = write_colours(tmp_path, **changes)
    found = read_pixel_statistics(path)
    assert found is not None
    mean, std = found
    image = torch.randint(0, 256, (1, 3, 4, 5), dtype=torch.uint8)
    wanted = image.double()
    steps = json.loads(path.read_text())
    if steps.get("do_rescale") is not False:
        wanted = wanted * (steps.get("rescale_factor") or 1 / 255)
    if steps["do_normalize"]:
        shift, scale = (
            torch.tensor(steps[key], dtype=torch.float64).expand(3).view(3, 1, 1)
            for key in ("image_mean", "image_std")
        )
        wanted = (wanted - shift) / scale
    pixels = standardize(image, mean=mean, std=std)
    torch.testing.assert_close(pixels.double(), wanted, rtol=1e-5, atol=1e-5)


def test_a_file_that_differs_from_the_table_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_colours(tmp_path)
    pixel_statistics(str(tmp_path), "clip_vision_model", mean=None, std=None)
    (said,) = caplog.messages
    assert str(path) in said
    assert "mean 0.5, 0.4, 0.3" in said
    assert "CLIP was published with mean 0.4815, 0.4578, 0.4082, std 0.2686" in said
    caplog.clear()
    write_colours(tmp_path, image_mean=[0.4815, 0.4578, 0.4082], image_std=[0.2686, 0.2613, 0.2758])
    pixel_statistics(str(tmp_path), "clip_vision_model", mean=None, std=None)
    assert caplog.messages == []


NONE = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))


def test_a_network_that_standardises_images_itself_gets_them_as_they_are(tmp_path: Path) -> None:
    folder = str(tmp_path)
    assert pixel_statistics(folder, "radio", mean=None, std=None) == NONE
    write_colours(tmp_path, do_normalize=False)
    assert pixel_statistics(folder, "radio", mean=None, std=None) == NONE
    path = write_colours(tmp_path)
    with pytest.raises(FileFormatError, match="done twice") as error:
        pixel_statistics(folder, "radio", mean=None, std=None)
    assert str(path) in str(error.value)
    assert pixel_statistics(folder, "radio", mean=NONE[0], std=NONE[1]) == NONE
    with pytest.raises(ConfigError, match=r"teacher\.mean 0.485, .*done twice; leave both out"):
        pixel_statistics(folder, "radio", mean=IMAGENET_MEAN, std=IMAGENET_STD)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("preprocessor_config.json", '{"image_processor_type": "BitImageProcessor"}'),
        ("processor_config.json", '{"processor_class": "Sam2Processor", "target_size": 1024}'),
    ],
)
def test_a_file_that_leaves_it_open_leaves_it_to_the_family(
    tmp_path: Path, name: str, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    (tmp_path / name).write_text(text)
    found = pixel_statistics(str(tmp_path), "dinov2", mean=None, std=None)
    assert found == (IMAGENET_MEAN, IMAGENET_STD)
    assert "as DINOv2 was published: mean 0.485" in caplog.text
    assert pixel_statistics(str(tmp_path), "radio", mean=None, std=None) == NONE
    with pytest.raises(ConfigError, match="is not known"):
        pixel_statistics(str(tmp_path), "vit", mean=None, std=None)


def test_a_file_of_several_processors_is_read(tmp_path: Path) -> None:
    values = json.loads(write_colours(tmp_path).read_text())
    path = tmp_path / "processor_config.json"
    path.write_text(json.dumps({"image_processor": values}))
    assert read_pixel_statistics(path) == OWN


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_mean": [0.5, 0.5]}, "three finite numbers"),
        ({"image_mean": None}, "no image_mean"),
        ({"image_std": [0.2, 0.0, 0.2]}, "above 0"),
        ({"image_std": ["a", "b", "c"]}, "three finite numbers"),
        ({"image_mean": [float("nan")] * 3}, "three finite numbers"),
        ({"rescale_factor": 0}, "above 0"),
        ({"rescale_factor": "x"}, "three finite numbers"),
        ({"rescale_offset": True}, "offset"),
    ],
)
def test_numbers_of_no_image_are_refused(
    tmp_path: Path, changes: dict[str, object], said: str
) -> None:
    with pytest.raises(FileFormatError, match=said):
        read_pixel_statistics(write_colours(tmp_path, **changes))


@pytest.mark.parametrize("text", ["", "[1]", "{", '{"image_mean": ' + "[" * 5000, "\x00"])
def test_a_file_that_is_no_json_object_ends_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "preprocessor_config.json"
    path.write_text(text)
    with pytest.raises(FileFormatError, match="mend it") as error:
        read_pixel_statistics(path)
    assert len(str(error.value)) < 400
