"""What a comparison runs, with which recipes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from lidistill.errors import ConfigError, unknown_name

ROWS: Final = {
    "random": "probe",
    "input": "probe",
    "teacher": "probe",
    "distilled": "probe",
    "scratch": "finetune",
    "finetuned": "finetune",
    "probed-finetuned": "finetune",
}
"""What can be compared, and which of the recipes runs it. random: a network without training;
input: no network; teacher: the 2D features read at the points, a line for each of several; scratch:
all from labels; probed-finetuned: fine-tuned from the probe of the distilled features, its head
included."""
DEFAULT_ROWS: Final = tuple(row for row in ROWS if row != "probed-finetuned")
_OF_A_RUN: Final = frozenset({"name", "output", "seed"})
_OF_A_ROW: Final = frozenset({"checkpoint", "data.num_frames", "features", "head", "teacher_name"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to compare, with which recipes."""

    output: Path
    pretrain: str = "pretrain/debug"
    probe: str = "probe/debug"
    finetune: str = "finetune/debug"
    rows: tuple[str, ...] = DEFAULT_ROWS
    frames: tuple[int, ...] = ()
    """Numbers of labelled frames for the probe of distilled features, for scratch and for
    fine-tuning, besides all of them."""
    seeds: tuple[int, ...] = (0,)
    changes: tuple[str, ...] = ()
    """``probe.key=value``: overrides, after the recipe that they are for; ``all.`` for each."""

    def __post_init__(self) -> None:
        for row in self.rows:
            if row not in ROWS:
                raise unknown_name("row", row, ROWS)
        for change in self.changes:
            recipe = change.partition(".")[0]
            if recipe not in {"pretrain", "probe", "finetune", "all"}:
                msg = f"{change!r} must begin with pretrain., probe., finetune. or all."
                raise ConfigError(msg)
            key = change.partition(".")[2].partition("=")[0].strip()
            if key in _OF_A_RUN or (recipe != "pretrain" and key in _OF_A_ROW):
                msg = f"{change!r} cannot be given: a comparison sets {key} for each of its runs."
                raise ConfigError(msg)
        for name in ("rows", "frames", "seeds"):
            values: tuple[object, ...] = getattr(self, name)
            if len(set(values)) < len(values):
                msg = f"{name} holds one of {values} twice; each can be compared once."
                raise ConfigError(msg)
        if "probed-finetuned" in self.rows and "distilled" not in self.rows:
            msg = "the row probed-finetuned starts from the probes of distilled; ask for both rows."
            raise ConfigError(msg)
        if not self.seeds or not self.rows:
            msg = "nothing to compare: give at least one seed and one row."
            raise ConfigError(msg)

    def changes_of(self, kind: str) -> Iterator[str]:
        """The overrides for one kind of run."""
        for change in self.changes:
            recipe, _, override = change.partition(".")
            if recipe in {kind, "all"}:
                yield override
