"""What to simulate: the settings, and the drives that follow from them."""

from dataclasses import dataclass
from importlib import resources
from typing import Annotated, Any, Final, Self

import yaml
from pydantic import Field, model_validator

from lidistill.config import Config, Size
from lidistill.sim.classes import Format
from lidistill.sim.districts import district
from lidistill.sim.rig import Rig
from lidistill.sim.rigs import RIGS

_MOST_DRIVES: Final[dict[Format, tuple[int, int]]] = {  # the official train and val lists
    "pandaset": (500, 500),
    "nuscenes": (700, 150),
    "semantic_kitti": (10, 1),
}


_LATER: Final = frozenset({"lidar_offset_m", "lidar_turn_deg"})
_FARTHEST_MOUNTING: Final = 1.0  # metres from where the data set's lidar is


class SimulationConfig(Config):
    """What to simulate; the same configuration gives the same bytes."""

    format: Format = "pandaset"  # whose vehicle, files and class ids
    seed: Annotated[int, Field(ge=0)] = 0
    train_drives: Annotated[int, Field(ge=0)] = 2
    val_drives: Annotated[int, Field(ge=0)] = 1
    frames: Annotated[int, Field(ge=1, le=100)] = 10  # per drive
    frame_rate: Annotated[float, Field(gt=0)] = 2.0  # per second
    image_size_hw: Size | None = None  # None: PandaSet 270 480, nuScenes 450 800, KITTI 376 1241
    column_step: Annotated[int, Field(ge=1)] = 1  # 2: every second column of the lidars
    wetness: Annotated[float, Field(ge=0, le=1)] = 0.0  # of the ground, for the lidars only
    lidar_offset_m: tuple[float, float, float] = (0.0, 0.0, 0.0)  # forward, left, up
    lidar_turn_deg: tuple[float, float, float] = (0.0, 0.0, 0.0)  # roll, pitch, yaw
    train_districts: tuple[str, ...] = ("rowhouses", "industrial", "suburb")  # in turn
    val_districts: tuple[str, ...] = ("downtown",)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for split, count, names, most in (
            ("train", self.train_drives, self.train_districts, _MOST_DRIVES[self.format][0]),
            ("val", self.val_drives, self.val_districts, _MOST_DRIVES[self.format][1]),
        ):
            if count > most:
                msg = f"the {split} split of {self.format} has {most} drives, found {count}"
                raise ValueError(msg)
            if count and not names:
                msg = f"{count} drives need at least one district, found none"
                raise ValueError(msg)
            for name in names:
                district(name)
        if max(map(abs, self.lidar_offset_m)) > _FARTHEST_MOUNTING:
            msg = f"lidar_offset_m {self.lidar_offset_m} leaves the vehicle; at most 1 m each way"
            raise ValueError(msg)
        return self

    def recorded(self) -> dict[str, Any]:
        """What a folder says about itself.

        Settings that came later are in it only where they change something, so that folders of
        earlier versions are still known.
        """
        values = self.model_dump(mode="json")
        return {key: value for key, value in values.items() if key not in _LATER or any(value)}

    @property
    def rig(self) -> Rig:
        """The vehicle, with cameras of the wanted size and lidars where they are wanted."""
        rig = RIGS[self.format].with_images(self.image_size_hw)
        return rig.with_lidars_moved(self.lidar_offset_m, self.lidar_turn_deg)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """One drive of a plan."""

    index: int
    name: str
    """As its data set calls it: ``"000"``, ``"scene-0001"``, ``"08"``."""
    district: str
    split: str
    """``"train"`` or ``"val"``."""


def plan_drives(config: SimulationConfig) -> tuple[Drive, ...]:
    """All drives, training ones first; districts are taken in turn, names from official lists."""
    wanted = [
        (split, i, names[i % len(names)])
        for split, count, names in (
            ("train", config.train_drives, config.train_districts),
            ("val", config.val_drives, config.val_districts),
        )
        for i in range(count)
    ]
    return tuple(
        Drive(index=index, name=_name(config.format, split, i, index), district=place, split=split)
        for index, (split, i, place) in enumerate(wanted)
    )


def _name(dataset: Format, split: str, position: int, index: int) -> str:
    if dataset == "pandaset":
        return f"{index:03d}"
    room = "kitti" if dataset == "semantic_kitti" else dataset
    lists = resources.files("lidistill").joinpath("datasets", room, "splits.yaml")
    member = yaml.safe_load(lists.read_text("utf-8"))[split][position]
    return f"{member:02d}" if isinstance(member, int) else str(member)
