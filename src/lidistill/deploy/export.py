"""A run as a model folder: weights, configuration, card, figure; written whole or not at all."""

import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from lidistill.atomic_write import side_of, sync
from lidistill.deploy.card import CARD, FIGURE, write_card
from lidistill.deploy.model import Model, read_model_folder, write_model_folder
from lidistill.deploy.model_config import (
    CONFIG,
    WEIGHTS,
    ModelConfig,
    is_model_folder,
    read_config,
)
from lidistill.deploy.robot_package import (
    METADATA,
    ROBOT_FILES,
    RobotOptions,
    RobotPackage,
    write_robot_package,
)
from lidistill.deploy.run_model import check_head_name, model_of_run, which_head
from lidistill.deploy.scores import Score, scores_of
from lidistill.errors import ConfigError
from lidistill.figures.charts import confusion_figure, loss_curve
from lidistill.reading.names import listed
from lidistill.training.run_files import read_log

_OWN: Final = frozenset({CONFIG, WEIGHTS, CARD, FIGURE, METADATA, *ROBOT_FILES})
_PARAMETERS: Final = re.compile(r"ml_package_[a-z0-9_]+\.param\.yaml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """What was written."""

    folder: Path
    config: ModelConfig
    scores: tuple[Score, ...]
    figure: str
    """What the figure shows; "" where there is none."""
    robot: RobotPackage | None = None
    """The network as ONNX, where it was wanted."""


def export(
    run: Path,
    folder: Path,
    *,
    name: str = "",
    head_name: str | None = None,
    scores: Sequence[Path] = (),
    overwrite: bool = False,
    robot: RobotOptions | None = None,
) -> Exported:
    """Write the network of a run as a folder that loads anywhere.

    Args:
        run: Run folder, checkpoint, or another model folder.
        folder: To write; its parent is made where it is not there.
        name: What the card calls the model; the folder's name where "".
        head_name: Of a run with several teachers: whose head is written beside the network.
        scores: Results of probes on these weights, besides the run's own.
        overwrite: Whether an earlier export there is replaced.
        robot: How the network also becomes ONNX; None: it does not.

    Raises:
        CheckpointError: If the run has no 3D network.
        ConfigError: If something lies there that is no export, a score is of other weights, or the
            run has several heads and none is named.
    """
    check_free(folder, overwrite=overwrite)
    model = _open(run, head_name)
    found = scores_of(model, run, scores)
    backbone = model.build_backbone()
    head = model.build_head(backbone.num_channels)
    folder.parent.mkdir(parents=True, exist_ok=True)
    side = side_of(folder)
    side.mkdir()
    try:
        config = write_model_folder(model, side)
        figure = _draw(model, run, found, side / FIGURE)
        name = name or folder.resolve().name
        card = write_card(config, backbone, found, name=name, figure=figure)
        (side / CARD).write_text(card, encoding="utf-8")
        package = None
        if robot is not None:
            package = write_robot_package(model, backbone, head, side, robot, name=name)
        put_in_place(side, folder)
    finally:
        shutil.rmtree(side, ignore_errors=True)
    return Exported(folder=folder, config=config, scores=found, figure=figure, robot=package)


def _open(run: Path, head_name: str | None) -> Model:
    if is_model_folder(run):
        check_head_name(head_name, (), source=str(run))
        return read_model_folder(run)
    model = model_of_run(run, head_name=head_name)
    if model.head_names and head_name is None:
        raise which_head(model.head_names, source=run, option="--teacher NAME")
    return model


def check_free(folder: Path, *, overwrite: bool) -> None:
    """See to it that nothing is lost by writing a folder.

    Raises:
        ConfigError: If something lies there that is no export, or is one and may not be replaced,
            or has other files in it.
    """
    if folder.is_dir() and is_model_folder(folder) and not folder.is_symlink():
        read_config(folder)
        if overwrite and (others := sorted(p.name for p in folder.iterdir() if _is_foreign(p))):
            msg = (
                f"{folder} holds {listed(others, limit=5)} beside its model, which --overwrite "
                "would delete; move them away, or choose another folder."
            )
            raise ConfigError(msg)
        if overwrite:
            return
        msg = f"{folder} holds a model already; choose another folder, or give --overwrite."
        raise ConfigError(msg)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()) or _holds_any(folder):
        msg = f"{folder} is there and is no model folder; choose another one, or an empty one."
        raise ConfigError(msg)


def _is_foreign(path: Path) -> bool:
    """Whether something in a model folder is none of the files that an export writes."""
    if path.is_dir() and not path.is_symlink():
        return path.name != "__pycache__"  # of preprocess.py
    return path.name not in _OWN and not _PARAMETERS.fullmatch(path.name)


def put_in_place(side: Path, folder: Path) -> None:
    """Give a written folder its name; what is there before goes when the new one is whole."""
    for file in side.iterdir():
        sync(file)
    sync(side)
    away = side_of(folder)
    if folder.exists():
        folder.replace(away)
    side.replace(folder)
    sync(folder.parent)
    shutil.rmtree(away, ignore_errors=True)


def _holds_any(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _draw(model: Model, run: Path, scores: Sequence[Score], file: Path) -> str:
    """Draw what is known of a run; what the figure shows, or "" where nothing is."""
    own = [one for one in scores if one.confusion and model.config.class_names]
    if own and tuple(own[0].classes) == model.config.class_names:
        confusion_figure(np.array(own[0].confusion), model.config.class_names, file)
        return "Confusion of the classes, a row each"
    folder = model.path.parents[1] if model.path.parent.name == "checkpoints" else run
    records = read_log(folder / "log.jsonl")
    if any("loss" in record for record in records):
        loss_curve(records, file)
        return "Loss over the steps of the run"
    return ""
