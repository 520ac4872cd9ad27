"""What a study asks: axes, seeds, yardsticks, and the benchmarks on which all of it is scored."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from lidistill.config import Config, Seed
from lidistill.datasets import DATASETS
from lidistill.errors import ConfigError, suggestion, unknown_name
from lidistill.reading.names import shown
from lidistill.recipes.explain import explain
from lidistill.recipes.loading import MAX_KEYS, overridden
from lidistill.recipes.texts import recipe_values, study_names
from lidistill.sim import SimulationConfig
from lidistill.studies.left_out import without_left_out
from lidistill.studies.names import Label, Name, ProbeName, with_texts_as_names

Score: TypeAlias = Literal["mean_iou", "mean_iou_of_truth", "seen"]
SCORES: Final[tuple[Score, ...]] = ("mean_iou", "mean_iou_of_truth", "seen")
_RECIPES: Final = ("pretrain", "probe", "finetune")
_SET_HERE: Final = {
    "pretrain": {"name", "output", "seed", "teacher_cache"},
    "probe": {"name", "output", "seed", "teacher_cache", "checkpoint", "features"}
    | {"backbone", "teacher"},
    "finetune": {"name", "output", "seed", "checkpoint", "features", "head", "backbone"},
}
"""Keys that a study gives to each of its runs."""


def _checked(changes: dict[str, Any]) -> dict[str, Any]:
    """Changes whose keys begin with the recipe that they are for, and are not the study's own.

    Raises:
        ValueError: If one is for no recipe, or is.
    """
    for recipe, key, _ in changes_in(changes):
        if recipe not in {*_RECIPES, "all"} or not key:
            found = f"{recipe}.{key}" if key else recipe
            msg = f"{shown(found)} must begin with pretrain., probe., finetune. or all"
            raise ValueError(msg)
        if key.count(".") > MAX_KEYS:
            msg = f"{shown(key)} names {key.count('.') + 1} keys below one another"
            raise ValueError(msg)
        reserved = set.union(*_SET_HERE.values()) if recipe == "all" else _SET_HERE[recipe]
        if key.partition(".")[0] in reserved:
            msg = f"{shown(f'{recipe}.{key}')} cannot be given: a study sets it for each run"
            raise ValueError(msg)
    return changes


Changes: TypeAlias = Annotated[dict[str, Any], AfterValidator(_checked)]
"""``pretrain.backbone.width: 64``: the recipe that a key is of, then the key, with dots or nested.
``probe.``, ``finetune.`` (from scratch) or ``all.``"""


def changes_in(changes: Mapping[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Recipe, dotted key and value of each change.

    Mappings with a ``kind`` stay whole, and so do several things by their names, such as teachers.
    """
    for name, value in changes.items():
        for path, leaf in _leaves(name, value):
            recipe, _, key = path.partition(".")
            yield recipe, key, leaf


def _leaves(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and "kind" not in value and not ("." in path and _several(value)):
        for key, inner in value.items():
            yield from _leaves(f"{path}.{key}", inner)
    else:
        yield path, value


def _several(value: dict[str, Any]) -> bool:
    """Whether a mapping names several things, each with a ``kind`` of its own."""
    return all(isinstance(part, dict) and "kind" in part for part in value.values())


def _flat(values: Any) -> Any:
    """A value of an axis: its changes beside ``only``, or nothing at all."""
    if values is None:
        return {}
    if not isinstance(values, dict):
        msg = f"found {shown(values)}, expected changes to recipes: {{pretrain.backbone.width: 64}}"
        raise ValueError(msg)  # noqa: TRY004  pydantic shows it
    if "changes" in values:
        return values
    changes = {key: value for key, value in values.items() if key != "only"}
    return {"changes": changes, "only": values.get("only")}


class _Value(Config):
    changes: Changes = Field(default_factory=dict)
    only: Annotated[dict[str, Changes], Field(min_length=1)] | None = None
    """By benchmark: further changes. Where given, the value is run on these benchmarks only."""


AxisValue: TypeAlias = Annotated[_Value, BeforeValidator(_flat)]
"""One value of an axis: changes to the recipes; none is the recipe as it is."""
Axis: TypeAlias = Annotated[
    dict[Label, Annotated[dict[Label, AxisValue], Field(min_length=1)]], Field(min_length=1)
]
"""Series, each a line of the figure, of values, each a point of it."""


def _known_kinds(roots: dict[str, Path]) -> dict[str, Path]:
    for kind in roots:
        if kind not in DATASETS:
            msg = f"there is no kind of data set {shown(kind)}; {suggestion(kind, DATASETS)}"
            raise ValueError(msg.removesuffix("."))
    return roots


Roots: TypeAlias = Annotated[dict[str, Path], AfterValidator(_known_kinds)]


class ScoredOn(Config):
    """What a network is scored on."""

    probe: str
    """Recipe of the linear probe."""
    scratch: str | None = None
    """Recipe of training from scratch."""
    changes: Changes = Field(default_factory=dict)


class Benchmark(Config):
    """Data to distil on, and what the networks are scored on."""

    pretrain: str
    """Recipe of the distillation."""
    probes: Annotated[dict[ProbeName, ScoredOn], Field(min_length=1)]
    changes: Changes = Field(default_factory=dict)
    roots: Roots = Field(default_factory=dict)
    """Where data sets lie, by their kind, for all recipes."""
    simulate: tuple[SimulationConfig, ...] = ()
    """Drives to simulate first, into the root of their format; without one into the study's
    folder."""


Which: TypeAlias = Literal["each", "base", "none"]


class Yardsticks(Config):
    """What distilled networks are compared with.

    For each value that matters, for the recipe as it is, or not at all.
    """

    random: Which = "each"
    """Probe of the network with random weights."""
    teacher: Which = "each"
    """Probe of the teacher's own features at the points; of the first seed."""
    scratch: Which = "base"
    """The network trained with labels alone."""


class Study(Config):
    """A complete study."""

    kind: Literal["study"]
    name: str
    output: Path
    """Folder of everything that it makes."""
    teacher_cache: Path | None = None
    """Teacher features for all runs; within ``output`` where None."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)] = (0,)
    score: Score = "mean_iou_of_truth"
    """What table and figure show; JSON and CSV have all."""
    design: Literal["star", "grid"] = "star"
    """One axis at a time, the others as the recipes have them; or every combination."""
    yardsticks: Yardsticks = Yardsticks()
    benchmarks: Annotated[dict[Name, Benchmark], Field(min_length=1)]
    axes: Annotated[dict[Label, Axis], Field(min_length=1)]
    changes: Changes = Field(default_factory=dict)
    """For all runs; those of benchmarks, probes and values come on top, in this order."""

    @model_validator(mode="after")
    def _fits(self) -> "Study":
        if len(set(self.seeds)) < len(self.seeds):
            msg = f"seeds holds one of {self.seeds} twice"
            raise ValueError(msg)
        for axis, series in self.axes.items():
            for values in series.values():
                for name, value in values.items():
                    for place in value.only or ():
                        if place not in self.benchmarks:
                            msg = (
                                f"axes.{axis}: {shown(name)} is for the benchmark {shown(place)}; "
                                f"{suggestion(place, self.benchmarks)}"
                            )
                            raise ValueError(msg.removesuffix("."))
        return self

    @property
    def cache(self) -> Path:
        """Teacher features for all runs."""
        return self.teacher_cache or self.output / "teacher"


def load_study(name: str, overrides: tuple[str, ...] = ()) -> Study:
    """Read, override and check a study.

    Args:
        name: Name of a shipped one, or path of a YAML file; ``base: NAME`` in it works as in
            recipes.
        overrides: ``key=value``, with dots between keys, for example ``seeds=[0]`` or
            ``changes.pretrain.train.steps=100``. ``null`` leaves a benchmark, an axis or a series
            out.

    Raises:
        ConfigError: If anything in it is unknown or of the wrong type, or it is no study.
    """
    if not name.endswith((".yaml", ".yml")) and name not in study_names():
        raise unknown_name("study", name, study_names())
    try:
        known = with_texts_as_names(recipe_values(name))
        values = with_texts_as_names(overridden(known, overrides))
    except ValueError as error:
        msg = f"study {name}: {error}."
        raise ConfigError(msg) from error
    values = without_left_out(values, known)
    if values.get("kind") != "study":
        msg = (
            f"{name} is a {shown(values.get('kind'))} recipe, expected a study (kind: study), as "
            f"{', '.join(study_names())}."
        )
        raise ConfigError(msg)
    try:
        return Study.model_validate(values)
    except ValidationError as error:
        raise ConfigError(
            f"study {name}: {explain(error, {'study': Study}, kind='study')}"
        ) from error
