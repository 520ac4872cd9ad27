"""What ``config.json`` of a model folder says: everything but the weights.

The file has a format number of its own. A key that a later version adds gets a default here, so
that folders written before load for ever; one that changes its meaning gets a new number.
"""

from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

import lidistill
from lidistill.backbones import BackboneConfig
from lidistill.config import Config, reason_of
from lidistill.distill.heads import HeadConfig
from lidistill.errors import CheckpointError, LidistillError, first_line
from lidistill.reading.files import read_json
from lidistill.reading.names import shown

CONFIG: Final = "config.json"
WEIGHTS: Final = "model.safetensors"
FORMAT: Final = 1
_LIBRARY: Final = "lidistill"


class IntensityStatistics(Config):
    """How the intensity of one lidar is standardised."""

    sensor: str
    mean: float
    std: float | None
    """None: intensity plays no part."""


class TeacherHead(Config):
    """What leads from the backbone into the teacher's space."""

    kind: Literal["teacher"] = "teacher"
    layers: HeadConfig
    widths: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)]
    """Channels of each group that has a distance of its own; their sum is T."""


class ClassHead(Config):
    """A BatchNorm and a linear layer: class scores."""

    kind: Literal["classes"] = "classes"


class Provenance(Config):
    """Where the weights come from, as far as the run knows."""

    run: str = ""
    """Kind of run: pretrain, probe or finetune."""
    recipe: str = ""
    """Name of its recipe."""
    step: Annotated[int, Field(ge=0)] = 0
    teacher: str = ""
    """Its name, with everything its features depend on."""
    teacher_licence: str = ""
    data: tuple[str, ...] = ()
    """Kinds of data sets, of the distillation and of the labels."""
    num_frames: Annotated[int, Field(ge=0)] | None = None
    weights: str = ""
    """SHA-256 of the checkpoint's weights."""
    begun_with: str = ""
    """First digits of the SHA-256 of the weights that a probe or a fine-tuning began with."""


class ModelConfig(Config):
    """See ``config.json``."""

    library: Literal["lidistill"] = "lidistill"
    format: Literal[1] = 1
    backbone: BackboneConfig
    """Architecture, input channels, field of view and grids."""
    head: Annotated[TeacherHead | ClassHead, Field(discriminator="kind")] | None = None
    class_names: Annotated[tuple[str, ...], Field(max_length=255)] = ()
    """In the order of the class scores; empty for a distillation."""
    voxel_size: Annotated[float, Field(gt=0)] = 0.1
    """Metres; the network sees one point of every voxel."""
    sensors: Annotated[tuple[str, ...], Field(min_length=1)] = ("any",)
    """Lidars that it was trained on."""
    intensity: tuple[IntensityStatistics, ...] = ()
    teacher: dict[str, Any] | None = None
    """Configuration of the teacher that the head answers in the space of, where it is known."""
    provenance: Provenance = Provenance()
    versions: dict[str, str] = Field(default_factory=dict)
    """Of what trained the weights."""
    sha256: str = ""
    """Of ``model.safetensors``."""

    @model_validator(mode="after")
    def _classes_have_a_head(self) -> Self:
        if bool(self.class_names) != isinstance(self.head, ClassHead):
            msg = f"{len(self.class_names)} class names and {_named(self.head)} do not fit"
            raise ValueError(msg)
        if len(set(self.class_names)) < len(self.class_names):
            msg = "class_names: two classes have the same name"
            raise ValueError(msg)
        strange = next((name for name in self.class_names if not name.isprintable()), None)
        if strange is not None:
            msg = f"class_names: {shown(strange)} cannot be printed"
            raise ValueError(msg)
        return self

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return self.model_dump(mode="json")


def _named(head: TeacherHead | ClassHead | None) -> str:
    return "no head" if head is None else f"a head of the kind {head.kind!r}"


def is_model_folder(path: Path) -> bool:
    """Whether a path is a folder with a ``config.json``; a run folder has none."""
    return (path / CONFIG).is_file()


def read_config(folder: Path) -> ModelConfig:
    """The ``config.json`` of a model folder.

    Raises:
        CheckpointError: If it is missing, damaged, another library's, or of a newer format.
    """
    file = folder / CONFIG
    if not file.exists():
        msg = (
            f"{folder} is no model folder: there is no {CONFIG} in it; "
            "make one of a run by `lidistill export RUN FOLDER`."
        )
        raise CheckpointError(msg)
    try:
        values = read_json(file)
    except LidistillError as error:
        raise CheckpointError(first_line(error)) from error
    if not isinstance(values, dict) or values.get("library") != _LIBRARY:
        found = shown(values.get("library")) if isinstance(values, dict) else "no object"
        msg = (
            f"{file} is no model of lidistill (library: {found}, expected {_LIBRARY!r}); give a "
            "folder that `lidistill export` wrote, or a run folder."
        )
        raise CheckpointError(msg)
    if values.get("format") not in range(1, FORMAT + 1):
        msg = (
            f"{folder} has model format {shown(values.get('format'))}, this lidistill "
            f"{lidistill.__version__} reads formats 1 to {FORMAT}; install the version that wrote "
            "it, or a newer one."
        )
        raise CheckpointError(msg)
    try:
        return ModelConfig.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        msg = (
            f"{file}: {shown(where)[1:-1]}: {reason_of(first['msg'])[:200]}; export the run again, "
            "or get the folder again."
        )
        raise CheckpointError(msg) from error
