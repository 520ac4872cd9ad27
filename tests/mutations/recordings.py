"""A user's own recordings and KITTI's raw ones, to be damaged: one miniature for each format."""

import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
from fakes import folder, kitti_raw
from fakes.bag import POINTS, RAW, BagMaker
from fakes.scan_writers import WRITERS, cloud
from fakes.surveys import e57, las
from mutations.damage import Mutation, Spot

from lidistill.datasets.kitti.raw import KittiRawConfig
from lidistill.datasets.own.dataset import FolderConfig
from lidistill.datasets.own.unpack import unpack_bag
from lidistill.errors import FileFormatError
from lidistill.records import Frame

SURVEYS = {".las": las, ".laz": las, ".e57": e57}
ENDINGS = (*WRITERS, *SURVEYS)
"""Every kind of scan file, by the end of its name."""
BAGS = {".bag": (1, False), ".db3": (2, False), ".mcap": (2, True)}
"""Version of ROS, and whether MCAP holds the messages, by the end of the file's name."""


def write_recording(root: Path, ending: str) -> None:
    """A drive of two scans that look around, with times, poses, labels and images."""
    folder.write_folder(root, drives=("",))
    rng = np.random.default_rng(0)
    for number in range(2):
        table = cloud(200, seed=number)
        table["z"] = rng.uniform(-2, 2, 200)
        (root / "scans" / f"{number:06d}.pcd").unlink()
        path = root / "scans" / f"{number:06d}{ending}"
        if ending in SURVEYS:
            SURVEYS[ending](path, table)
        else:
            path.write_bytes(WRITERS[ending](table))
        ids = np.resize([(3 << 16) + 10, 40, 0], 200).astype("<u4")
        (root / "labels" / f"{number:06d}.label").unlink()
        (root / "labels" / f"{number:06d}{_inner(ending)}.label").write_bytes(ids.tobytes())
        for camera in ("front", "back"):
            image = root / "cameras" / camera / f"{number:06d}.png"
            image.rename(image.with_name(f"{number:06d}{_inner(ending)}.png"))
    _write_times(root, _inner(ending))


def _inner(ending: str) -> str:
    """What the name of a scan ends with besides the ending of its format: ``_ascii``."""
    return ending[: ending.index(".")]


def _write_times(root: Path, inner: str) -> None:
    """Times and poses, so that the motion between scan and image counts."""
    times = {f"{number:06d}{inner}": f"17000000{number:02d}.000000000" for number in range(2)}
    for place in ("scans", "cameras/front", "cameras/back"):
        folder.write_times(root / place, times)
    lines = [f"{1700000000 + i}.0 {i} 0 0 0 0 0 1" for i in range(2)]
    (root / "poses.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    folder.write_yaml(root / "calibration.yaml", folder.calibration(match="time"))


def open_recording(root: Path) -> list[Frame]:
    """Both frames, as a recipe would read them."""
    dataset = FolderConfig(root=root, labels="required", images="required").build()
    return [dataset[i] for i in range(len(dataset))]


def write_bag(root: Path, ending: str) -> None:
    """A bag of either version, twice."""
    root.mkdir()
    version, mcap = BAGS[ending]
    for name in ("a", "b"):
        written = BagMaker(version).write(
            root / (f"{name}.bag" if version == 1 else name), mcap=mcap
        )
        if mcap:
            (found,) = written.glob("*.mcap")
            found.rename(root / f"{name}.mcap")
            shutil.rmtree(written)


def open_bag(root: Path, ending: str) -> list[Frame]:
    """What unpacking the first bag gives; it lies beside the root, which ``clear`` knows."""
    mine = root.parent / f"{root.name}-unpacked"
    shutil.rmtree(mine, ignore_errors=True)
    bag = root / ("a" if ending == ".db3" else f"a{ending}")
    report = unpack_bag(bag, mine, points=POINTS, images=(RAW,))
    if report.notes:  # a bag that is cut off is read as far as it goes, and that is said
        msg = f"{bag}: {report.notes}"
        raise FileFormatError(msg)
    folder.write_yaml(mine / "statistics.yaml", {"intensity_mean": 127.0, "intensity_std": 74.0})
    dataset = FolderConfig(root=mine, images="required").build()
    return [dataset[i] for i in range(len(dataset))]


def write_kitti_raw(root: Path) -> None:
    """A drive of two frames with one camera."""
    kitti_raw.write_drive(root)


def open_kitti_raw(root: Path) -> list[Frame]:
    """Both frames."""
    dataset = KittiRawConfig(root=root, images="required", cameras=("image_02",)).build()
    return [dataset[i] for i in range(len(dataset))]


def _header_number(value: str) -> Mutation:
    """Another number in the text in front of the points of a PCD or PLY file."""

    def replace(spot: Spot, rng: random.Random) -> None:
        content = spot.path.read_bytes()
        end = max(content.find(b"end_header"), content.find(b"DATA"))
        words = content[:end].split(b" ")
        places = [i for i, word in enumerate(words) if word.split(b"\n")[0].isdigit()]
        place = rng.choice(places)
        rest = words[place].partition(b"\n")
        words[place] = value.encode() + rest[1] + rest[2]
        spot.path.write_bytes(b" ".join(words) + content[end:])

    return replace


def _header_line(line: str) -> Mutation:
    """One more line in that text."""

    def insert(spot: Spot, rng: random.Random) -> None:
        lines = spot.path.read_bytes().split(b"\n")
        lines.insert(rng.randrange(1, 8), line.encode())
        spot.path.write_bytes(b"\n".join(lines))

    return insert


HEADER_FILE = {
    **{
        f"header {text[:12]}": _header_number(text)
        for text in ("0", "-1", "3", "999999999999", "9" * 5000, "1e9")
    },
    "list property": _header_line("property list uchar int vertex_indices"),
    "line of 1 MiB": _header_line("comment " + "x" * (1 << 20)),
}


def zip_bomb(spot: Spot, rng: random.Random) -> None:
    with (
        zipfile.ZipFile(spot.path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        archive.open("points.npy", "w", force_zip64=True) as member,
    ):
        header = np.lib.format.header_data_from_array_1_0(np.zeros((1, 4), "<f4"))
        np.lib.format.write_array_header_1_0(member, header | {"shape": (40 << 20, 4)})
        for _ in range(40):
            member.write(bytes(1 << 24))


def pickled_array(spot: Spot, rng: random.Random) -> None:
    with spot.path.open("wb") as file:
        np.save(file, np.array([_Marker(spot.outside / "executed")], dtype=object))


class _Marker:
    """Writes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return (Path.touch, (self._path,))


def laughs(spot: Spot, rng: random.Random) -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    spot.path.write_text("\n".join(lines))


def tagged(spot: Spot, rng: random.Random) -> None:
    call = f'!!python/object/apply:pathlib.Path.touch [["{spot.outside / "executed"}"]]'
    spot.path.write_text(f"cameras: {call}\n")


def nested_yaml(spot: Spot, rng: random.Random) -> None:
    spot.path.write_text("cameras: " + "[" * 50_000)


YAML_FILE = {"billion laughs": laughs, "python tag": tagged, "nested 50,000 deep": nested_yaml}
ARRAY_FILE: dict[str, Mutation] = {"pickled array": pickled_array}
ARCHIVE_FILE: dict[str, Mutation] = {"zip bomb": zip_bomb}
KINDS: dict[str, dict[str, Mutation]] = {
    "_ascii.pcd": HEADER_FILE,
    "_binary.pcd": HEADER_FILE,
    "_compressed.pcd": HEADER_FILE,
    "_ascii.ply": HEADER_FILE,
    "_little.ply": HEADER_FILE,
    "_big.ply": HEADER_FILE,
    ".npy": ARRAY_FILE,
    ".npz": ARCHIVE_FILE | ARRAY_FILE,
}
"""What more can be done to a scan file of a format."""
