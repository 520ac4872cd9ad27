"""The authors' published checkpoints as checkpoints of this package.

The weights say width, depth, normalisation and head; the rest is what a recipe is for.
"""

import re
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeAlias

import torch
from torch import Tensor, nn

from lidistill.backbones import WaffleIron
from lidistill.backbones.official import NamedWeights, from_official
from lidistill.engine.checkpoint import load_weights, save_checkpoint
from lidistill.engine.durable import sha256
from lidistill.errors import UNREADABLE, CheckpointError, first_line
from lidistill.heads import LinearHead, MLPHead, SegmentationHead
from lidistill.labels import load_label_map
from lidistill.recipes import load_recipe, recipe_names
from lidistill.tasks.distill import PretrainRecipe
from lidistill.tasks.input_statistics import input_statistics

MAX_BYTES: Final = 8 * 2**30
"""Unpacked size that an archive may have; WI-48-768 with its optimiser takes 0.7 GB."""
_MAX_MEMBERS: Final = 10_000
_MAX_HEADER: Final = 1 << 20  # bytes of a long name and the like, which are read at once
_PIECE: Final = 1 << 22  # bytes copied at a time
_Head: TypeAlias = LinearHead | MLPHead | SegmentationHead
_WEIGHT_FILES: Final = {".pth", ".pt", ".ckpt"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """What came out of an import."""

    checkpoint: Path
    recipe: str
    """Name of the recipe that the checkpoint carries."""
    width: int
    depth: int
    head: str
    """``none``, ``linear``, ``mlp`` or ``segmentation``, and its outputs."""
    num_parameters: int


def import_checkpoint(file: Path, output: Path, *, recipe: str | None = None) -> Imported:
    """Convert a checkpoint of ScaLR, ScaLR+ or WaffleIron; no code in it is run.

    Args:
        file: A ``.pth``, or the ``.tar.gz`` that it is published in.
        output: Run folder to write.
        recipe: What the network was trained by, a name or a file. It says what weights do not:
            activation, flatten, field of view, classes. Where None, the head tells: an MLP means
            ``pretrain/scalr-plus``, a linear layer of a distillation ``pretrain/scalr``.

    Raises:
        CheckpointError: If the file is not such a checkpoint, or does not fit the recipe.
        ConfigError: If there is no such recipe.
    """
    with _weight_file(file) as weight_file:
        state = _load(weight_file, file)
    named = from_official(state)
    name = recipe or _recipe_of(named, state, file)
    backbone = _architecture(named.backbone)
    loaded = load_recipe(name, _overrides(name, named, backbone, output))
    assert loaded.backbone is not None  # noqa: S101  _overrides has set its width
    network = loaded.backbone.build()
    load_weights(network, named.backbone, source=file)
    head = _head(named.head)
    if isinstance(loaded, PretrainRecipe):
        if isinstance(head, SegmentationHead):
            raise _ambiguous(file, f"a head of {head.linear.out_features} classes")
        meta: dict[str, Any] = {}
    else:
        kind = loaded.data.sets[0].kind
        head = _class_head(head, len(load_label_map(kind).class_names), file, name)
        meta = {"label_names": list(load_label_map(kind).class_names)}
    weights = _prefixed(network, "backbone") | ({} if head is None else _prefixed(head, "head"))
    source = {"name": file.name, "sha256": sha256(file)}
    networks = {"backbone": loaded.backbone.model_dump(mode="json"), "teacher": None}
    meta |= {"networks": networks, "start": f"published weights, {file.name}", "source": source}
    checkpoint = save_checkpoint(
        output / "checkpoints",
        step=0,
        weights=weights,
        training={},
        recipe=loaded.model_dump(mode="json"),
        meta=meta | input_statistics(loaded.data, network.grid) | {"seed": loaded.seed},
    )
    return Imported(
        checkpoint=checkpoint,
        recipe=name,
        width=network.num_channels,
        depth=network.num_layers,
        head=_describe(head),
        num_parameters=sum(p.numel() for p in network.parameters()),
    )


@contextmanager
def _weight_file(file: Path) -> Iterator[Path]:
    """The file itself, or the one file of weights in an archive, unpacked for a while."""
    if not file.is_file():
        msg = f"{file} is not a file; give the .pth or .tar.gz that the authors publish."
        raise CheckpointError(msg)
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "weights.pth"
        try:
            archive = _open(file)
            if archive is not None:
                with archive:
                    _unpack(archive, target, file)
        except (tarfile.TarError, EOFError, OSError) as error:
            msg = f"{file} is a damaged archive ({first_line(error)}); download it again."
            raise CheckpointError(msg) from error
        yield file if archive is None else target


class _Header(tarfile.TarInfo):
    """A header that is not believed when it announces a name that would fill the memory."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_Header":
        """See ``tarfile.TarInfo.frombuf``."""
        header = super().frombuf(buf, encoding, errors)
        if not (header.isfile() or header.isdir()) and header.size > _MAX_HEADER:
            msg = f"a header of {header.size:,} bytes"
            raise tarfile.TarError(msg)
        return header


def _open(file: Path) -> tarfile.TarFile | None:
    """The archive, or None where the file is none."""
    try:
        return tarfile.open(file, tarinfo=_Header)
    except tarfile.ReadError:
        return None


def _unpack(archive: tarfile.TarFile, target: Path, file: Path) -> None:
    """Write the one file of weights; nothing is ever written under a name from the archive."""
    found: list[str] = []
    total = 0
    for number, member in enumerate(archive, start=1):
        path = PurePosixPath(member.name)
        safe = (member.isfile() or member.isdir()) and not path.is_absolute()
        total += member.size
        if not safe or ".." in path.parts or total > MAX_BYTES or number > _MAX_MEMBERS:
            msg = (
                f"{file} is not an archive to trust: {member.name!r} is a link, leaves the folder, "
                f"or goes beyond {MAX_BYTES // 2**30} GiB; get it from its authors."
            )
            raise CheckpointError(msg)
        if member.isfile() and path.suffix in _WEIGHT_FILES and not path.name.startswith("._"):
            found.append(member.name)
            content = archive.extractfile(member)
            assert content is not None  # noqa: S101  it is a file
            with target.open("wb") as copy:
                while piece := content.read(_PIECE):
                    copy.write(piece)
    if len(found) != 1:
        names = ", ".join(found[:3]) or "none"
        msg = f"{file} holds {len(found)} files of weights ({names}), expected one; unpack it."
        raise CheckpointError(msg)


def _load(weight_file: Path, file: Path) -> dict[str, Any]:
    try:
        state = torch.load(weight_file, map_location="cpu", weights_only=True)
    except UNREADABLE as error:
        # PyTorch's own text recommends weights_only=False, which would run what the file says.
        msg = (
            f"{file} is not a checkpoint of plain tensors ({first_line(error)}); download it "
            "again from its authors."
        )
        raise CheckpointError(msg) from error
    if not isinstance(state, dict):
        msg = f"{file} holds {type(state).__name__}, expected weights by their names."
        raise CheckpointError(msg)
    return {str(key): value for key, value in state.items()}


def _recipe_of(named: NamedWeights, state: dict[str, Any], file: Path) -> str:
    """The recipe that a checkpoint's own form tells, where it tells one."""
    if "linear1.weight" in named.head:
        return "pretrain/scalr-plus"
    distilled = any(key in state for key in ("model_point", "model_points"))
    if distilled and "linear.weight" in named.head:
        return "pretrain/scalr"
    raise _ambiguous(file, f"a head of the kind {_describe(_head(named.head))!r}")


def _ambiguous(file: Path, found: str) -> CheckpointError:
    fitting = [n for n in recipe_names() if re.fullmatch(r"(probe|finetune)/scalr.*/nuscenes", n)]
    msg = (
        f"{file} has {found}, and weights do not say which activation they were trained with, nor "
        f"which classes they tell apart; give --recipe, for example {', '.join(fitting)}."
    )
    return CheckpointError(msg)


def _architecture(weights: dict[str, Tensor]) -> dict[str, Any]:
    """Configuration of the network as far as shapes tell it."""
    point = weights.get("embed.point.weight")
    layers = [int(name.split(".")[1]) for name in weights if name.startswith("layers.")]
    if point is None or point.ndim != 2 or not layers:
        msg = "these weights have no embedding or no layer of a WaffleIron; is the file complete?"
        raise CheckpointError(msg)
    return {
        "width": point.shape[0],
        "in_channels": point.shape[1],
        "depth": max(layers) + 1,
        "norm": "batch" if "layers.0.spatial.norm.running_mean" in weights else "layer",
    }


def _overrides(
    recipe: str, named: NamedWeights, backbone: dict[str, Any], output: Path
) -> tuple[str, ...]:
    """Changes to a recipe that make it the one of these weights."""
    changes = [f"output={output}", *(f"backbone.{key}={value}" for key, value in backbone.items())]
    head = _head(named.head)
    if isinstance(load_recipe(recipe), PretrainRecipe):
        changes += ["head={kind: linear}"] if isinstance(head, LinearHead) else []
        if isinstance(head, MLPHead):
            changes.append(f"head={{kind: mlp, hidden_channels: {head.linear1.out_features}}}")
    else:
        changes.append("checkpoint=null")
    return tuple(changes)


def _head(weights: dict[str, Tensor]) -> _Head | None:
    """The head that a file holds, with its weights."""
    head: _Head
    if not weights:
        return None
    if "linear1.weight" in weights:
        hidden, width = weights["linear1.weight"].shape
        outputs = len(weights["linear2.weight"])
        head = MLPHead(width, outputs, hidden_channels=hidden)
    else:
        outputs, width = weights["linear.weight"].shape
        head = (SegmentationHead if "norm.weight" in weights else LinearHead)(width, outputs)
    head.load_state_dict(weights)
    return head


def _class_head(head: _Head | None, num_classes: int, file: Path, recipe: str) -> SegmentationHead:
    """The head as a ``SegmentationHead``; a bare linear layer gets a BatchNorm that does nothing.

    Raises:
        CheckpointError: If it does not tell the recipe's classes apart.
    """
    if isinstance(head, LinearHead):
        plain = head.linear
        head = SegmentationHead(plain.in_features, plain.out_features)
        head.linear.load_state_dict(plain.state_dict())
        head.norm.get_buffer("running_var").fill_(1 - head.norm.eps)
    if not isinstance(head, SegmentationHead) or head.linear.out_features != num_classes:
        msg = (
            f"{file} has the head {_describe(head)!r}, but recipe {recipe} tells {num_classes} "
            "classes apart; give the recipe of its own data set."
        )
        raise CheckpointError(msg)
    return head


def _describe(head: nn.Module | None) -> str:
    names = {LinearHead: "linear", MLPHead: "mlp", SegmentationHead: "segmentation"}
    if head is None:
        return "none"
    outputs = [m.out_features for m in head.modules() if isinstance(m, nn.Linear)][-1]
    return f"{names[type(head)]} {outputs}"


def _prefixed(module: WaffleIron | nn.Module, prefix: str) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in module.state_dict().items()}
