"""Settings that all networks of transformers share, and what a recipe may call them.

A teacher is a line of the table, a folder, a file or a Hugging Face name.
"""

import logging
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from lidistill.config import Config, TeacherPrecision
from lidistill.errors import ConfigError
from lidistill.teachers.table import KNOWN, Rgb, known_teacher

logger = logging.getLogger(__name__)


class NamedTeacherConfig(Config):
    """Which network, and how its images are prepared and it is run.

    ``name`` in a recipe is another word for ``model``.
    """

    model: str  # name of `lidistill teachers`, folder, file or Hugging Face name
    normalize: bool = False  # each layer to unit length
    mean: Rgb | None = None  # None: of the model's preprocessor_config.json, or its family's
    std: Rgb | None = None
    download: bool = True  # whether a name may be fetched from the hub
    precision: TeacherPrecision = "fp32"  # auto: on a GPU that of the run, else fp32
    batch_size: int = Field(default=8, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _read_name(cls, values: Any) -> Any:
        if not isinstance(values, dict) or "name" not in values:
            return values
        name, rest = values["name"], {k: v for k, v in values.items() if k != "name"}
        if rest.get("model", name) != name:
            msg = f"name {name!r} and model {rest['model']!r} are the same setting; give one"
            raise ValueError(msg)
        return rest | {"model": name}


def weights_of(model: str, *, kind: str) -> str:
    """Where the weights of a teacher are: the home of one in the table, anything else as it is.

    Args:
        model: As the recipe has it.
        kind: Of the configuration that asks.

    Raises:
        ConfigError: If the table has it under another kind.
    """
    row = known_teacher(model)
    if row is not None and row.family.kind != kind:
        msg = (
            f"{model} ({row.family.title}) is a teacher of the kind {row.family.kind!r}, not "
            f"{kind!r}; set teacher.kind={row.family.kind}."
        )
        raise ConfigError(msg)
    if model not in KNOWN or row is None or " " in row.home:
        return model
    if Path(model).exists():
        logger.info("teacher %s is read from the folder or file of that name here", model)
        return model
    return row.home
