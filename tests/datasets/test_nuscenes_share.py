"""Which part of nuScenes' labels is learned from: scenes, frames, or somebody's list."""

import json

import pytest
from fakes.nuscenes import FakeNuScenes, token
from pydantic import ValidationError

from lidistill.datasets.nuscenes.dataset import NuScenesConfig
from lidistill.datasets.nuscenes.scenes import official_scenes
from lidistill.errors import DatasetNotFoundError, FileFormatError

SCENES = [f"scene-{number:04d}" for number in range(1, 8)]


@pytest.fixture
def fake(tmp_path):
    fake = FakeNuScenes(tmp_path / "root")
    for scene in reversed(SCENES):
        fake.add_scene(scene, 3)
    fake.write_tables()
    return fake


def frames(fake, **options):
    config = NuScenesConfig(root=fake.root, version="v1.0-mini", **{"split": "all"} | options)
    return list(config.build().frame_ids)


def all_of(*scenes):
    return [f"{scene}/{token(scene, number)}" for scene in scenes for number in range(3)]


def test_every_counts_frames_or_scenes_from_the_first(fake):
    everything = all_of(*SCENES)
    assert frames(fake) == everything
    assert frames(fake, every=4) == everything[::4]
    assert frames(fake, every=4, share="every-frame") == everything[::4]
    assert frames(fake, every=3, share="every-scene") == all_of(*SCENES[::3])
    some = tuple(SCENES[1:])
    assert frames(fake, every=3, share="every-scene", scenes=some) == all_of(*some[::3])


def test_scenes_are_counted_in_the_split_and_not_on_the_disk(tmp_path):
    """A copy without some scenes has the same share of the others."""
    train = sorted(official_scenes("train"))
    fake = FakeNuScenes(tmp_path / "root")
    for scene in (train[0], train[1], train[100], train[101]):
        fake.add_scene(scene, 3)
    fake.write_tables()
    found = frames(fake, split="train", every=100, share="every-scene", missing="skip")
    assert found == all_of(train[0], train[100])
    with pytest.raises(DatasetNotFoundError, match="lack 5 of the 7 wanted scenes"):
        frames(fake, split="train", every=100, share="every-scene")


@pytest.mark.parametrize("ending", ["", "\r\n"])
@pytest.mark.parametrize("form", ["lines", "json"])
def test_a_list_names_scenes_or_samples(fake, tmp_path, form, ending):
    names = [SCENES[2], token(SCENES[0], 1), token(SCENES[2], 1)]
    text = json.dumps(names) if form == "json" else "# whose\n" + "\r\n".join(names) + " # last"
    (tmp_path / "list").write_text(text + ending, encoding="utf-8-sig")
    expected = [all_of(SCENES[0])[1], *all_of(SCENES[2])]
    assert frames(fake, share=tmp_path / "list") == expected
    assert frames(fake, share=str(tmp_path / "list")) == expected


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (None, DatasetNotFoundError, "no file .*every-frame, every-scene"),
        ("", FileFormatError, "expected a list of names"),
        ("[]", FileFormatError, "expected a list of names"),
        ("[1]", FileFormatError, "expected a list of names"),
        ('{"a": 1}', FileFormatError, "expected a list of names"),
        ("[" * 10_000, FileFormatError, "nested too deeply"),
        ("scene-0099", DatasetNotFoundError, "1 of its 1 names .*'scene-0099'"),
        ("x" * 2_000_000, DatasetNotFoundError, "1 of its 1 names"),
    ],
    ids=["absent", "empty", "no items", "numbers", "object", "deep", "stranger", "long"],
)
def test_what_is_no_list_of_the_split_is_an_error(fake, tmp_path, text, error, said):
    if text is not None:
        (tmp_path / "list").write_text(text)
    with pytest.raises(error, match=said) as caught:
        frames(fake, share=tmp_path / "list")
    assert len(str(caught.value).replace(str(tmp_path), "")) < 300


def test_a_list_and_a_step_contradict_each_other(fake, tmp_path):
    with pytest.raises(ValidationError, match="every=10 counts nothing"):
        frames(fake, share=tmp_path / "list", every=10)
