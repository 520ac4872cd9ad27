"""Model folders on a hub that speaks Hugging Face's interface: to it, and back from it."""

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from lidistill.deploy.model_config import CONFIG, WEIGHTS, read_config
from lidistill.errors import ConfigError, MissingPackageError, WeightsNotFoundError, first_line
from lidistill.reading.names import shown

_ADDRESS: Final = re.compile(r"hf:/{1,2}([^/@]+/[^/@]+)(?:@([^@]+))?")
"""Also with one slash: a path takes two for one."""
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}/[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_FILES: Final = (CONFIG, WEIGHTS)
"""All that is needed to use a network."""


def is_hub_address(where: object) -> bool:
    """Whether a text or a path begins like ``hf://owner/name``."""
    return str(where).startswith("hf:/")


def fetch(address: object) -> Path:
    """The model folder behind ``hf://owner/name`` or ``hf://owner/name@revision``, in the cache.

    ``HF_ENDPOINT`` names another hub, ``HF_HUB_OFFLINE=1`` keeps to what the cache holds.

    Raises:
        ConfigError: If that is no address.
        WeightsNotFoundError: If there is no such model, or the hub cannot be reached.
    """
    matched = _ADDRESS.fullmatch(str(address))
    if matched is None or _NAME.fullmatch(matched[1]) is None:
        msg = f"{shown(str(address))} is no address of a model; write hf://owner/name[@revision]."
        raise ConfigError(msg)
    hub = _hub()
    with _explained(hub, f"hf://{matched[1]}"):
        found = hub.snapshot_download(
            matched[1],
            revision=matched[2],
            allow_patterns=list(_FILES),
            max_workers=2,
            endpoint=hub.constants.ENDPOINT,
        )
    missing = [name for name in _FILES if not (Path(found) / name).is_file()]
    if missing:
        msg = (
            f"hf://{matched[1]} holds no {' and no '.join(missing)}, so it is no model of "
            "lidistill; give the name of one that `lidistill push` wrote."
        )
        raise WeightsNotFoundError(msg)
    return Path(found)


def push(folder: Path, name: str, *, private: bool = False) -> str:
    """Upload a model folder, and make its repository where there is none yet.

    Args:
        folder: What ``lidistill export`` wrote; everything in it goes along.
        name: ``owner/name``.
        private: Whether a new repository is for its owner alone.

    Returns:
        Address of the commit.

    Raises:
        ConfigError: If the name is none.
        CheckpointError: If the folder is no model folder.
        WeightsNotFoundError: If the hub refuses, or cannot be reached.
    """
    if _NAME.fullmatch(name) is None:
        msg = f"{shown(name)} is no name on the hub; write owner/name."
        raise ConfigError(msg)
    read_config(folder)
    hub = _hub()
    client: Any = hub.HfApi(endpoint=hub.constants.ENDPOINT)
    with _explained(hub, name):
        client.create_repo(name, private=private, exist_ok=True)
        commit = client.upload_folder(
            repo_id=name, folder_path=folder, commit_message="Model folder of lidistill"
        )
    return str(commit.commit_url)


def _hub() -> Any:
    try:
        for part in ("constants", "errors"):  # which the package itself need not import
            importlib.import_module(f"huggingface_hub.{part}")
        return importlib.import_module("huggingface_hub")
    except ImportError as error:
        msg = "this needs huggingface_hub, which comes with transformers; install lidistill again."
        raise MissingPackageError(msg) from error


@contextmanager
def _explained(hub: Any, name: str) -> Iterator[None]:
    """What the hub's client raises, in one line with what to do."""
    errors = hub.errors
    try:
        yield
    except (errors.GatedRepoError, errors.RepositoryNotFoundError) as error:
        msg = (
            f"{name} is not on the hub {hub.constants.ENDPOINT}, or not for you "
            f"({_status(error)}); check the name, and log in with `hf auth login` or HF_TOKEN."
        )
        raise WeightsNotFoundError(msg) from error
    except errors.LocalEntryNotFoundError as error:
        msg = (
            f"{name} is not in the cache, and the hub {hub.constants.ENDPOINT} cannot be reached; "
            "check the network, or give a model folder on disk."
        )
        raise WeightsNotFoundError(msg) from error
    # HTTPError is the HTTP client's own, whichever it is; RuntimeError says that an upload failed.
    except (errors.HTTPError, OSError, RuntimeError) as error:
        msg = (
            f"{name}: the hub {hub.constants.ENDPOINT} says no ({first_line(error)[:200]}); check "
            "the token (`hf auth login` or HF_TOKEN), the name and the network."
        )
        raise WeightsNotFoundError(msg) from error


def _status(error: Any) -> str:
    return f"HTTP {getattr(getattr(error, 'response', None), 'status_code', '?')}"
