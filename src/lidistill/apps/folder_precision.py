"""In which arithmetic all outputs of one folder are computed: decided once, kept beside them.

Many processes, jobs of a cluster and calls that go on write into one folder. All of them take what
the first one has seen; and where they come at the same time they see the same, since it is decided
by the first scans of all, whoever computes which.
"""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from lidistill.apps.feature_files import ScanWork
from lidistill.apps.feature_tables import weights_digest
from lidistill.apps.features import FeatureModel
from lidistill.apps.scan_jobs import Existing, Job
from lidistill.apps.uses import Use
from lidistill.atomic_write import replace_text
from lidistill.backbones.checked import CheckedNetwork
from lidistill.errors import ConfigError
from lidistill.reading.files import read_json
from lidistill.reading.names import shown
from lidistill.segment.inference import precision_of, too_few

RECORD: Final = "_precision.json"
"""Readers of Parquet data sets pass names with a _ over."""
CHECKED: Final = "bf16 with checks"
"""What ``auto`` takes where it does not take fp32; single scans may be in fp32."""


def settle_folder(
    model: FeatureModel,
    use: Use,
    jobs: Sequence[Job],
    folder: Path,
    work: ScanWork,
    *,
    existing: Existing,
    done: bool,
) -> str:
    """Decide, or take over what was decided, and keep it.

    Args:
        model: The network.
        use: What it will be asked for.
        jobs: All scans of the folder in their order, whoever works on them.
        folder: Of the outputs.
        work: Reads scans.
        existing: ``overwrite``: what an earlier call has decided does not count.
        done: Whether outputs of an earlier call stay.

    Returns:
        ``fp32``, ``bf16`` or ``CHECKED``.

    Raises:
        ConfigError: If the folder's outputs are computed in another arithmetic, or by another
            network, so far as a record says so.
    """
    file, about = folder / RECORD, _about(model, use)
    network = model.checked(use)
    there = None if existing == "overwrite" else _read(file, about)
    if done and there is None:
        _check_same_network(file, about)
    if there is not None:
        follow(model, use, there, file)
    elif done and not file.exists():
        follow(model, use, "fp32", file)  # as all are that no record says anything of
    elif network is not None and done:
        network.taken = "fp32"
    elif network is not None and not too_few(network, len(jobs)):
        model.settle(use, work.prepared(jobs))
    taken = _taken(model, network)
    if there is None and (network is not None or taken != "fp32" or file.exists()):
        folder.mkdir(parents=True, exist_ok=True)
        seen = {} if network is None else {"seen": _seen(network)}
        record = about | {"precision": taken} | seen
        replace_text(file, json.dumps(record, indent=1) + "\n")
    return taken


def settled_by_the_first(model: FeatureModel, use: Use, folder: Path) -> str:
    """Take what the first process has decided; the others call this when it is ready.

    Args:
        model: The network.
        use: What it will be asked for.
        folder: Of the outputs.

    Returns:
        See ``settle_folder``.
    """
    file = folder / RECORD
    if model.checked(use) is not None and (there := _read(file, _about(model, use))) is not None:
        follow(model, use, there, file)
    return _taken(model, model.checked(use))


def follow(model: FeatureModel, use: Use, there: str, file: Path) -> None:
    """Compute as outputs that are there already.

    Args:
        model: The network.
        use: What it will be asked for.
        there: Their arithmetic.
        file: Which says so; where it is not there, they are in fp32.

    Raises:
        ConfigError: If the model was told to compute in another.
    """
    network = model.checked(use)
    if network is not None and there in {"fp32", CHECKED}:
        network.taken = "fp32" if there == "fp32" else "bf16"
    if (here := _taken(model, network)) != there:
        asked = "auto" if network is not None else here
        said_by = file.name if file.exists() else f"no {file.name}"
        msg = (
            f"{file.parent} holds outputs in {there} ({said_by}), this call computes in {asked}; "
            f"give --precision {'auto' if there == CHECKED else there}, --overwrite, or another "
            "folder."
        )
        raise ConfigError(msg)


def _taken(model: FeatureModel, network: CheckedNetwork | None) -> str:
    """``fp32``, ``bf16`` or ``CHECKED``: what the network computes in as it stands."""
    if network is None:
        return precision_of(model.network)
    return CHECKED if network.taken == "bf16" else "fp32"


def _seen(network: CheckedNetwork) -> dict[str, int]:
    return {"changed": network.seen.changed, "points": network.seen.points}


def _about(model: FeatureModel, use: Use) -> dict[str, Any]:
    """What a decision is about; one about anything else does not count."""
    digest = hashlib.sha256()
    if use != "features" and model.head is not None:
        for name, tensor in model.head.state_dict().items():
            digest.update(name.encode())
            digest.update(tensor.cpu().numpy().tobytes())
    return {"weights": weights_digest(model), "head": digest.hexdigest(), "output": use}


def _check_same_network(file: Path, about: dict[str, Any]) -> None:
    """Refuse to go on with what another network has begun.

    Raises:
        ConfigError: If a record is there, of outputs of this kind, and of other weights.
    """
    record = read_json(file) if file.exists() else None
    if isinstance(record, dict) and record.get("output") == about["output"]:
        msg = (
            f"{file.parent} holds outputs of a network of other weights ({file.name}); give "
            "--overwrite, or another folder."
        )
        raise ConfigError(msg)


def _read(file: Path, about: dict[str, Any]) -> str | None:
    """What a record says, if there is one and it is about the same.

    Raises:
        FileFormatError: If it is no JSON.
        ConfigError: If it says nothing that this version knows.
    """
    if not file.exists():
        return None
    record = read_json(file)
    if not isinstance(record, dict) or any(record.get(k) != v for k, v in about.items()):
        return None
    there = record.get("precision")
    if there not in {"fp32", "bf16", CHECKED}:
        msg = f"{file} says precision {shown(str(there))}, expected fp32, bf16 or {CHECKED!r}."
        raise ConfigError(msg)
    return str(there)
