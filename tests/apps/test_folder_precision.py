from types import SimpleNamespace

import pytest

from lidistill.apps import folder_precision
from lidistill.apps.folder_precision import RECORD, settle_folder
from lidistill.errors import ConfigError


def settled(folder, monkeypatch, *, precision, done=True, use="features", weights="abc"):
    """What a network of one precision is settled on in a folder whose outputs stay."""
    monkeypatch.setattr(folder_precision, "weights_digest", lambda _: weights)
    monkeypatch.setattr(folder_precision, "precision_of", lambda _: precision)
    model = SimpleNamespace(checked=lambda _: None, head=None, network=None)
    return settle_folder(model, use, (), folder, None, existing="skip", done=done)


def test_outputs_that_no_record_speaks_of_are_not_mixed_with_others(tmp_path, monkeypatch):
    assert settled(tmp_path, monkeypatch, precision="fp32") == "fp32"
    assert not (tmp_path / RECORD).exists()
    said = f"holds outputs in fp32 (no {RECORD}), this call computes in bf16; give --precision fp32"
    with pytest.raises(ConfigError) as error:
        settled(tmp_path, monkeypatch, precision="bf16")
    assert said in str(error.value)
    assert not (tmp_path / RECORD).exists()
    assert settled(tmp_path, monkeypatch, precision="bf16", done=False) == "bf16"
    assert settled(tmp_path, monkeypatch, precision="bf16") == "bf16"


def test_outputs_of_two_networks_are_not_mixed_where_a_record_tells_them_apart(
    tmp_path, monkeypatch
):
    settled(tmp_path, monkeypatch, precision="bf16", done=False)
    with pytest.raises(ConfigError, match=r"holds outputs of a network of other weights"):
        settled(tmp_path, monkeypatch, precision="bf16", weights="def")
    assert settled(tmp_path, monkeypatch, precision="bf16") == "bf16"
    # The record of the features says nothing of classes, which are in fp32 without one.
    assert settled(tmp_path, monkeypatch, precision="fp32", use="classes", weights="def") == "fp32"
