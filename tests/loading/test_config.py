import pytest
from fakes.folder import write_folder

from lidistill.errors import ConfigError, DatasetNotFoundError
from lidistill.loading.config import DataConfig, SetsConfig


@pytest.fixture
def root(tmp_path):
    write_folder(tmp_path / "own")
    for image in (tmp_path / "own" / "a" / "cameras").rglob("000000.png"):
        image.unlink()
    return tmp_path / "own"


def sets(root, **changes):
    return {"sets": [{"kind": "folder", "root": str(root), "split": "all"} | changes]}


def test_distillation_says_before_it_starts_which_frames_have_no_image(root):
    assert len(SetsConfig.model_validate(sets(root)).build()) == 4
    with pytest.raises(DatasetNotFoundError, match="1 of 4 frames lack an image"):
        DataConfig.model_validate(sets(root)).build()
    assert len(DataConfig.model_validate(sets(root, missing="skip")).build()) == 3


def test_distillation_without_images_is_refused(root):
    with pytest.raises(ConfigError, match=r"data\.sets\.0\.images is none"):
        DataConfig.model_validate(sets(root, images="none")).build()
