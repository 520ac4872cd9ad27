"""Settings that all networks of transformers share, and what a recipe may call them.

A teacher is a line of the table, a folder, a file or a Hugging Face name.
"""

import hashlib
import json
import logging
import re
from pathlib import Path
from typing import Any, Final, Self

from pydantic import Field, model_validator

from lidistill.config import TeacherPrecision
from lidistill.errors import ConfigError
from lidistill.teachers.families import Rgb
from lidistill.teachers.places import place_of
from lidistill.teachers.settings import ImageTeacherConfig
from lidistill.teachers.table import known_teacher

logger = logging.getLogger(__name__)
_NOT_COMPUTED: Final = {"transformers_version", "_name_or_path", "dtype", "architectures"}
"""Entries of a configuration that say where it comes from, not what is computed."""
_LARGEST: Final = 4.0
"""Of a mean or a deviation for images from 0 to 1; published ones are 1 at most."""
_TRAINING: Final = re.compile("drop|init|layerscale|problem_type|mlp_ratio")
"""Entries that count while a network is trained, or that shapes of weights show."""


class NamedTeacherConfig(ImageTeacherConfig):
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

    @model_validator(mode="after")
    def _check_colours(self) -> Self:
        for key, colour in (("mean", self.mean), ("std", self.std)):
            if colour is None:
                continue
            if key == "std" and min(colour) <= 0:
                msg = f"std is {list(colour)}, expected three numbers above 0"
                raise ValueError(msg)
            if max(map(abs, colour)) > _LARGEST:
                msg = (
                    f"{key} is {list(colour)}, as for images from 0 to 255; images are from 0 to 1 "
                    "here: divide it by 255"
                )
                raise ValueError(msg)
        return self


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
    if row is None or model == row.home or " " in row.home:
        return place_of(model)
    if Path(model).exists():
        logger.info("teacher %s is read from the folder or file of that name here", model)
        return place_of(model)
    return row.home


def unusual_settings(settings: Any) -> str:
    """What a network is set to that its class is not by itself and no weight shows, as key=value.

    Functions and numbers with a fraction, such as the epsilon of norms and the base of rotations.
    """
    usual = type(settings)().to_dict()
    found = {
        key: value
        for key, value in settings.to_dict().items()
        if isinstance(value, str | float) and key in usual and value != usual[key]
    }
    told = {k: v for k, v in found.items() if k not in _NOT_COMPUTED and not _TRAINING.search(k)}
    return "".join(f" {key}={told[key]}" for key in sorted(told))


def settings_digest(settings: Any) -> str:
    """First 12 hexadecimal digits of the SHA-256 of what a network of transformers is set to.

    Some of it is in no weight: windows of attention, base frequencies, the size of an epsilon.
    """
    values = {k: v for k, v in settings.to_dict().items() if k not in _NOT_COMPUTED}
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]
