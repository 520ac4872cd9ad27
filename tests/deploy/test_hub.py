import huggingface_hub.constants
import numpy as np
import pytest
import torch
from fakes.command import run
from fakes.hub import TOKEN, running_hub

import lidistill
from deploy.conftest import cloud
from lidistill.deploy.export import export
from lidistill.deploy.hub import fetch, is_hub_address, push
from lidistill.errors import CheckpointError, ConfigError, WeightsNotFoundError

# The hub's own client uploads in a way that its HTTP library calls old.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    constants = huggingface_hub.constants
    with running_hub() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        template = f"{server.address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield server


@pytest.fixture
def folder(runs, tmp_path):
    return export(runs / "probe-backbone", tmp_path / "model").folder


def test_what_is_pushed_loads_anywhere_bit_for_bit(hub, folder, runs):
    commit = push(folder, "some-body/street.model")
    assert commit.startswith(f"{hub.address}/some-body/street.model/commit/")
    assert set(hub.files("some-body/street.model")[1]) == {path.name for path in folder.iterdir()}
    points, intensity = cloud()
    expected = lidistill.load(runs / "probe-backbone", "cpu")
    model = lidistill.load("hf://some-body/street.model", "cpu")
    np.testing.assert_array_equal(
        model.features(points, intensity), expected.features(points, intensity)
    )
    assert model.class_names == expected.class_names
    downloads = [line for line in hub.requests if line.startswith("GET") and "resolve" in line]
    assert len(downloads) == 2  # neither the card nor the figure


def test_a_revision_is_the_one_that_was_asked_for(hub, folder, runs, tmp_path):
    push(folder, "a/b")
    first = hub.files("a/b")[0]
    other = export(runs / "pretrain", tmp_path / "other").folder
    push(other, "a/b")
    assert lidistill.load("hf://a/b", "cpu").class_names == ()
    assert lidistill.load(f"hf://a/b@{first}", "cpu").class_names != ()


def test_commands_push_and_load_by_the_hubs_address(hub, folder, runs, tmp_path, capsys):
    status, out, _ = run(capsys, "push", folder, "a/b")
    assert (status, out.splitlines()[0]) == (0, "pushed      hf://a/b")
    scan = np.column_stack(cloud()).astype(np.float32)
    np.save(tmp_path / "scan.npy", scan)
    status, _, err = run(
        capsys, "predict", "hf://a/b", tmp_path / "scan.npy", "--output", tmp_path / "out"
    )
    assert status == 0, err
    assert len(np.load(tmp_path / "out" / "scan.npy")) == len(scan)
    page = tmp_path / "page.html"
    status, _, err = run(capsys, "view", "hf://a/b", tmp_path / "scan.npy", "--export", page)
    assert status == 0, err
    assert page.stat().st_size > 100_000
    status, _, err = run(capsys, "view", "hf://a/b", "--export", page)
    assert (status, "knows no data" in err) == (2, True)


@pytest.mark.parametrize(
    ("name", "text"),
    [("nobody/nothing", "is not on the hub"), ("a/b", "holds no config.json")],
)
def test_what_is_no_model_on_the_hub_is_one_clear_line(hub, tmp_path, name, text):
    (tmp_path / "README.md").write_text("nothing")
    client = huggingface_hub.HfApi(endpoint=hub.address)
    client.create_repo("a/b")
    client.upload_file(path_or_fileobj=b"x", path_in_repo="README.md", repo_id="a/b")
    with pytest.raises(WeightsNotFoundError, match=text):
        lidistill.load(f"hf://{name}")


def test_a_wrong_token_is_one_clear_line(hub, folder, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_other")
    with pytest.raises(WeightsNotFoundError, match="check the token"):
        push(folder, "a/b")


def test_a_hub_that_is_not_there_is_one_clear_line(monkeypatch, tmp_path):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsNotFoundError, match="cannot be reached"):
        fetch("hf://a/b")


@pytest.mark.parametrize("address", ["hf://a", "hf://a/b/c", "hf://../b", "hf://a/b@", "hf:/"])
def test_what_is_no_address_is_said_before_anything_is_asked(address):
    assert is_hub_address(address)
    with pytest.raises(ConfigError, match=r"hf://owner/name"):
        fetch(address)


def test_only_a_model_folder_is_pushed(hub, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match=r"no config\.json in it; make one .*export RUN"):
        push(tmp_path, "a/b")
    with pytest.raises(ConfigError, match="owner/name"):
        push(tmp_path, "only-a-name")
    assert hub.commits == {}


def test_a_model_may_be_loaded_while_gradients_are_on(hub, folder):
    push(folder, "a/b")
    with torch.enable_grad():
        points, intensity = cloud()
        assert np.isfinite(lidistill.load("hf://a/b", "cpu").features(points, intensity)).all()
