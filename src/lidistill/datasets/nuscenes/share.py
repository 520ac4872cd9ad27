"""Which part of nuScenes' frames is learned from: every n-th frame or scene, or a list's.

The authors of ScaLR load lists of their own for 1 % and 10 % of the labels, which are not public.
"""

from pathlib import Path
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from lidistill.datasets.nuscenes.index import KeyFrames
from lidistill.errors import DatasetNotFoundError, FileFormatError
from lidistill.reading.files import MAX_JSON_BYTES, parse_json, read_file
from lidistill.reading.names import shown
from lidistill.reading.text import decode_text

Share: TypeAlias = Literal["every-frame", "every-scene"] | Path
"""What ``every`` counts; or a file that lists scenes or sample tokens."""

_WAYS: Final = "share is every-frame, every-scene, or a file that lists scenes or sample tokens"


def scenes_of_share(scenes: list[str], share: Share, every: int) -> list[str]:
    """Of scenes in order, those that hold the wanted frames."""
    return scenes[::every] if share == "every-scene" else scenes


def frames_of_share(
    index: KeyFrames, frames: NDArray[np.int64], share: Share, every: int
) -> NDArray[np.int64]:
    """Of the frames of the wanted scenes, by scene and time, those that are wanted.

    Raises:
        DatasetNotFoundError: If there is no such list, or it names what is not among them.
        FileFormatError: If it is no list of names.
    """
    if not isinstance(share, Path):
        return frames[::every] if share == "every-frame" else frames
    names = np.array(sorted(read_names(share)))
    scene, token = index.scene[frames], index.token[frames].astype(np.str_)
    unknown = names[~(np.isin(names, scene) | np.isin(names, token))]
    if len(unknown):
        msg = (
            f"{share}: {len(unknown)} of its {len(names)} names are no scene and no sample token "
            f"of the wanted split, first {shown(str(unknown[0]))}; set split to the one it is of."
        )
        raise DatasetNotFoundError(msg)
    return frames[np.isin(scene, names) | np.isin(token, names)]


def read_names(path: Path) -> frozenset[str]:
    """Names in a list: one a line (``#`` begins a comment), or a list in JSON.

    Raises:
        DatasetNotFoundError: If there is no such file.
        FileFormatError: If it holds no names, or something else.
    """
    if not path.exists():
        msg = f"share: there is no file {path}; {_WAYS}."
        raise DatasetNotFoundError(msg)
    try:
        text = decode_text(read_file(path, max_bytes=MAX_JSON_BYTES)).strip()
        names = parse_json(text) if text.startswith(("[", "{")) else _lines(text)
    except ValueError as error:
        msg = f"{path} is no list of names ({error}); {_WAYS}."
        raise FileFormatError(msg) from error
    if not (isinstance(names, list) and names and all(isinstance(name, str) for name in names)):
        msg = f"{path} holds {shown(names)}, expected a list of names; {_WAYS}."
        raise FileFormatError(msg)
    return frozenset(names)


def _lines(text: str) -> list[str]:
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]
