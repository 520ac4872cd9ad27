"""From a configuration to a folder of drives, its frames simulated in parallel."""

import json
import math
import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from lidistill.config import Config, Size
from lidistill.errors import ConfigError, require
from lidistill.geometry import rigid, transform_points
from lidistill.sim.camera import render
from lidistill.sim.districts import district
from lidistill.sim.lidar import sweep
from lidistill.sim.pandaset_writer import (
    DriveTables,
    FrameRecord,
    is_complete,
    write_frame,
    write_tables,
)
from lidistill.sim.raycast import RayScene
from lidistill.sim.rig import PANDASET
from lidistill.sim.scene import Street
from lidistill.sim.street import build_street

Float64: TypeAlias = NDArray[np.float64]
Progress: TypeAlias = Callable[[int, int], None]

_SWEEP_S = 0.1
_EPOCH_S = 1.5e9
_RECORD = "simulation.json"


class SimulationConfig(Config):
    """What to simulate; the same configuration gives the same bytes."""

    seed: Annotated[int, Field(ge=0)] = 0
    train_drives: Annotated[int, Field(ge=0)] = 2
    val_drives: Annotated[int, Field(ge=0)] = 1
    frames: Annotated[int, Field(ge=1, le=100)] = 10  # per drive
    frame_rate: Annotated[float, Field(gt=0)] = 2.0  # per second
    image_size_hw: Size = (270, 480)
    azimuth_step_deg: Annotated[float, Field(gt=0, le=10)] = 0.2  # real: 0.2
    train_districts: tuple[str, ...] = ("rowhouses", "industrial", "suburb")  # in turn
    val_districts: tuple[str, ...] = ("downtown",)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for count, names in (
            (self.train_drives, self.train_districts),
            (self.val_drives, self.val_districts),
        ):
            if count and not names:
                msg = f"{count} drives need at least one district, found none"
                raise ValueError(msg)
            for name in names:
                district(name)
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Drive:
    """One drive of a plan."""

    index: int
    district: str
    split: str
    """``"train"`` or ``"val"``."""

    @property
    def name(self) -> str:
        """Its folder."""
        return f"{self.index:03d}"

    @property
    def latitude(self) -> float:
        """Where it is said to lie; PandaSet's splits are told apart by it."""
        return 37.77 if self.split == "train" else 37.45


def plan_drives(config: SimulationConfig) -> tuple[Drive, ...]:
    """All drives, training ones first; districts are taken in turn."""
    wanted = [
        (split, names[i % len(names)])
        for split, count, names in (
            ("train", config.train_drives, config.train_districts),
            ("val", config.val_drives, config.val_districts),
        )
        for i in range(count)
    ]
    return tuple(
        Drive(index=i, district=name, split=split) for i, (split, name) in enumerate(wanted)
    )


def simulate_pandaset(
    root: Path, config: SimulationConfig, *, workers: int = 1, progress: Progress | None = None
) -> None:
    """Write drives in PandaSet's format; complete frames of an earlier, cut run are kept.

    Args:
        root: Folder of the drives; made if absent.
        config: What to simulate.
        workers: Processes. With more than one, a script must guard its entry by ``__name__``.
        progress: Told how many frames are done, of how many.

    Raises:
        ConfigError: If ``root`` holds a simulation of another configuration, or other files.
        MissingPackageError: If the extra ``sim`` is not installed.
    """
    for package in ("embreex", "pandas"):
        require(package, extra="sim")
    _claim(root, config)
    jobs = [(drive, i) for drive in plan_drives(config) for i in range(config.frames)]
    missing = [job for job in jobs if not is_complete(root / job[0].name, job[1])]
    done = len(jobs) - len(missing)
    report = progress or _silent
    report(done, len(jobs))
    for number, _ in enumerate(_run(root, config, missing, workers), start=done + 1):
        report(number, len(jobs))


def _silent(done: int, total: int) -> None:
    del done, total


def _claim(root: Path, config: SimulationConfig) -> None:
    record = root / _RECORD
    settings = json.dumps(config.model_dump(mode="json"), indent=1) + "\n"
    if record.is_file():
        if record.read_text("utf-8") != settings:
            msg = (
                f"{root} holds a simulation with other settings (see {_RECORD}); "
                "choose another folder, or delete this one."
            )
            raise ConfigError(msg)
        return
    if root.exists() and not root.is_dir():
        msg = f"{root} is a file, expected a folder to write drives into; choose another."
        raise ConfigError(msg)
    if root.is_dir() and any(root.iterdir()):
        msg = f"{root} is not empty and holds no {_RECORD}; choose a new folder for the simulation."
        raise ConfigError(msg)
    root.mkdir(parents=True, exist_ok=True)
    record.write_text(settings, "utf-8")


def _run(
    root: Path, config: SimulationConfig, jobs: list[tuple[Drive, int]], workers: int
) -> Iterator[None]:
    if workers <= 1 or len(jobs) <= 1:
        for drive, index in jobs:
            simulate_frame(root, config, drive, index)
            yield
        return
    with _pool(min(workers, len(jobs))) as pool:
        futures = [pool.submit(simulate_frame, root, config, *job) for job in jobs]
        for future in as_completed(futures):
            future.result()
            yield


@contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Fresh processes, since forking a process that runs threads may hang it."""
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@lru_cache(maxsize=2)
def _street(config: SimulationConfig, drive: Drive) -> Street:
    seconds = config.frames / config.frame_rate
    return build_street(drive.district, seconds=seconds, seed=(config.seed, drive.index))


def simulate_frame(root: Path, config: SimulationConfig, drive: Drive, index: int) -> None:
    """Simulate and write one frame; the first of a drive brings the drive's tables along."""
    tables, T_world_street = _tables(config, drive)
    if index == 0:
        write_tables(root / drive.name, tables)
    street = _street(config, drive)
    time_s = index / config.frame_rate
    scene = RayScene(street.static, street.moving(time_s))
    T_street_body = street.T_street_ego(time_s) @ PANDASET.T_ego_body
    rng = np.random.default_rng((config.seed, drive.index, index))
    images = {
        camera.name: render(
            scene, camera, T_street_body @ camera.T_body_camera, sky=street.sky, rng=rng
        ).image
        for camera in tables.cameras
    }
    scans = [
        sweep(scene, lidar, T_street_body, azimuth_step_deg=config.azimuth_step_deg, rng=rng)
        for lidar in PANDASET.lidars
    ]
    phase = np.concatenate([scan.phase for scan in scans])
    record = FrameRecord(
        points=transform_points(T_world_street, np.concatenate([s.points for s in scans])),
        intensity=np.concatenate([scan.intensity for scan in scans]),
        time=tables.timestamps[index] + _SWEEP_S * (phase - 0.5),
        sensor=np.repeat(np.arange(len(scans)), [len(scan.points) for scan in scans]),
        label=np.concatenate([scan.label for scan in scans]),
        images=images,
    )
    write_frame(root / drive.name, index, record)


def _tables(config: SimulationConfig, drive: Drive) -> tuple[DriveTables, Float64]:
    """Calibration and poses of a drive, and its (4, 4) street to world transform."""
    street = _street(config, drive)
    times = np.arange(config.frames) / config.frame_rate
    T_street_body = np.stack([street.T_street_ego(t) @ PANDASET.T_ego_body for t in times])
    T_world_street = _world(T_street_body[0], config.seed, drive.index)
    tables = DriveTables(
        T_world_ego=T_world_street @ T_street_body,
        timestamps=_EPOCH_S + 1000 * drive.index + times,
        cameras=tuple(camera.resized(config.image_size_hw) for camera in PANDASET.cameras),
        latitude=drive.latitude,
    )
    return tables, T_world_street


def _world(T_street_first: Float64, seed: int, drive_index: int) -> Float64:
    """(4, 4) street to world: the first pose at the origin, north anywhere, as in PandaSet."""
    turn = np.random.default_rng((seed, drive_index, 1_000_003)).uniform(0, 2 * math.pi)
    c, s = math.cos(turn), math.sin(turn)
    about_z = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1.0]])
    return rigid(about_z, -about_z @ T_street_first[:3, 3])
