"""Scores of a model out of the ``results.json`` of probes and fine-tunings, for its card."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lidistill.deploy.model import Model
from lidistill.errors import ConfigError, LidistillError, first_line
from lidistill.reading.files import read_json
from lidistill.reading.names import shown
from lidistill.segment.initial_networks import digest_in

RESULTS = "results.json"


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="ignore")


class _Interval(_Part):
    low: float | None
    high: float | None
    unit: str
    num_units: int


class _AllPoints(_Part):
    mean_iou: float | None
    mean_iou_of_truth: float | None
    overall_accuracy: float | None
    iou: list[float | None]


class _Checkpoint(_Part):
    sha256: str


class Score(_Part):
    """What a card says of one evaluation; percent, None where there is nothing to score."""

    name: str
    start: str
    checkpoint: _Checkpoint
    num_frames: Annotated[int, Field(ge=0)]
    classes: list[str]
    all_points: _AllPoints
    mean_iou_interval: _Interval | None
    confusion: list[list[int]] = []


def read_score(file: Path) -> Score:
    """One evaluation.

    Raises:
        ConfigError: If the file is none.
    """
    try:
        record: Any = read_json(file)
        return Score.model_validate(record)
    except LidistillError as error:
        raise ConfigError(first_line(error)) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        msg = (
            f"{file} is no result of a probe or a fine-tuning ({shown(where)[1:-1]}: "
            f"{first['msg']}); give the results.json of such a run."
        )
        raise ConfigError(msg) from error


def scores_of(model: Model, run: Path, others: Sequence[Path]) -> tuple[Score, ...]:
    """The run's own scores, where it has some of these weights, and those that are named.

    Args:
        model: What is exported.
        run: Run folder or checkpoint.
        others: Files ``results.json``, or run folders with one; of probes on these weights.

    Raises:
        ConfigError: If one of them is no result, or of other weights.
    """
    path = model.path
    folder = path.parents[1] if path.parent.name == "checkpoints" else run
    own = folder / RESULTS
    scores = [read_score(own)] if own.is_file() else []
    scores = [one for one in scores if is_of(one, model)]
    for file in others:
        score = read_score(file / RESULTS if file.is_dir() else file)
        if not is_of(score, model):
            msg = (
                f"{file} scores other weights ({score.start}, checkpoint "
                f"{score.checkpoint.sha256[:12]}) than those exported "
                f"({model.config.provenance.weights[:12]}); give scores of this model."
            )
            raise ConfigError(msg)
        if score not in scores:
            scores.append(score)
    return tuple(scores)


def is_of(score: Score, model: Model) -> bool:
    """Whether a score was made with a model's weights, or by a probe that stands on them."""
    weights, begun = model.config.provenance.weights, digest_in(score.start)
    if not weights:
        return False
    return score.checkpoint.sha256 == weights or bool(begun and weights.startswith(begun))
