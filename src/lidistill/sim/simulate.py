"""From a configuration to a folder of drives, its frames simulated in parallel."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from lidistill.compiled import is_kept
from lidistill.distributed.helpers import helper_processes
from lidistill.errors import ConfigError, require
from lidistill.sim.classes import Format
from lidistill.sim.files import remove_cut_files
from lidistill.sim.nuscenes_writer import NuScenesWriter
from lidistill.sim.pandaset_writer import PandaSetWriter
from lidistill.sim.plan import Drive, SimulationConfig, plan_drives
from lidistill.sim.recording import DriveLog, FrameRecord, recorder
from lidistill.sim.semantic_kitti_writer import SemanticKittiWriter
from lidistill.sim.shading import light_surfaces

Progress: TypeAlias = Callable[[int, int], None]
Result = TypeVar("Result")

_RECORD: Final = "simulation.json"
_PACKAGES: Final = ("embreex", "pandas")


class Writer(Protocol):
    """Files of one data set."""

    def is_complete(self, root: Path, drive: Drive, index: int) -> bool:
        """Whether a frame has been written to its end."""
        ...

    def write_frame(self, root: Path, log: DriveLog, record: FrameRecord) -> None:
        """Write a frame, so that ``is_complete`` is true only after the last file."""
        ...

    def write_tables(self, root: Path, logs: list[DriveLog]) -> None:
        """Write everything else, once all frames are there."""
        ...


WRITERS: dict[Format, Writer] = {
    "pandaset": PandaSetWriter(),
    "nuscenes": NuScenesWriter(),
    "semantic_kitti": SemanticKittiWriter(),
}


def simulate(
    root: Path, config: SimulationConfig, *, workers: int = 1, progress: Progress | None = None
) -> None:
    """Write drives in a data set's format; complete frames of an earlier, cut run are kept.

    Tables and calibration come last: a reader finds all of a simulation, or says that it is none.

    Args:
        root: Folder of the data set; made if absent.
        config: What to simulate.
        workers: Processes. With more than one, a script must guard its entry by ``__name__``.
        progress: Told how many frames are done, of how many.

    Raises:
        ConfigError: If ``root`` holds a simulation of another configuration, or other files.
        MissingPackageError: If the extra ``sim`` is not installed.
    """
    for package in _PACKAGES:
        require(package, extra="sim")
    _claim(root, config)
    remove_cut_files(root)
    writer, drives = WRITERS[config.format], plan_drives(config)
    jobs = [(drive, i) for drive in drives for i in range(config.frames)]
    missing = [job for job in jobs if not writer.is_complete(root, *job)]
    done = len(jobs) - len(missing)
    report = progress or _silent
    report(done, len(jobs))
    with _pool(min(workers, len(jobs))) as pool:
        frames = pool.each(simulate_frame, [(root, config, *job) for job in missing])
        for number, _ in enumerate(frames, start=done + 1):
            report(number, len(jobs))
        logs = list(pool.each(_log, [(config, drive) for drive in drives]))
    writer.write_tables(root, sorted(logs, key=lambda log: log.drive.index))


def simulate_frame(root: Path, config: SimulationConfig, drive: Drive, index: int) -> None:
    """Simulate and write one frame."""
    vehicle = recorder(config, drive)
    WRITERS[config.format].write_frame(root, vehicle.log, vehicle.frame(index))


def _log(config: SimulationConfig, drive: Drive) -> DriveLog:
    return recorder(config, drive).log


def _silent(done: int, total: int) -> None:
    del done, total


def _claim(root: Path, config: SimulationConfig) -> None:
    record = root / _RECORD
    settings = json.dumps(config.recorded(), indent=1) + "\n"
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


class _Here:
    """One process: the one that asks."""

    def each(
        self, function: Callable[..., Result], jobs: Sequence[tuple[Any, ...]]
    ) -> Iterator[Result]:
        """Results of all jobs."""
        for job in jobs:
            yield function(*job)


class _Processes:
    """Several processes, which keep what they have prepared between calls."""

    def __init__(self, executor: ProcessPoolExecutor) -> None:
        self._executor = executor

    def each(
        self, function: Callable[..., Result], jobs: Sequence[tuple[Any, ...]]
    ) -> Iterator[Result]:
        """Results of all jobs, as they come.

        Where the compiled loops are not on disk yet the first job is done alone: it compiles what
        all the others would compile, too, each process for itself.
        """
        alone = 0 if is_kept(light_surfaces) else 1
        for some in (jobs[:alone], jobs[alone:]):
            futures = [self._executor.submit(function, *job) for job in some]
            for future in as_completed(futures):
                yield future.result()


@contextmanager
def _pool(workers: int) -> Iterator[_Here | _Processes]:
    """This process, or several; where the caller is interrupted they end in the middle of a frame.

    Nothing is seen of such a frame.
    """
    if workers <= 1:
        yield _Here()
        return
    with helper_processes(workers) as executor:
        yield _Processes(executor)
