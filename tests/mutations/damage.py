"""Ways to damage a file, or to put something hostile in its place; every one is a pure draw."""

import io
import json
import os
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image


@dataclass(frozen=True, kw_only=True)
class Spot:
    """Where a mutant is made."""

    path: Path
    peer: Path  # another sound file of the set
    outside: Path  # a folder that is not in the data set


Mutation = Callable[[Spot, random.Random], None]


def truncated(spot: Spot, rng: random.Random) -> None:
    content = spot.path.read_bytes()
    spot.path.write_bytes(content[: rng.randrange(1, len(content))])


def extended(spot: Spot, rng: random.Random) -> None:
    spot.path.write_bytes(spot.path.read_bytes() + rng.randbytes(rng.randrange(1, 64)))


def flipped(spot: Spot, rng: random.Random, num_bits: int = 1) -> None:
    content = bytearray(spot.path.read_bytes())
    for _ in range(num_bits):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    spot.path.write_bytes(content)


def flipped_often(spot: Spot, rng: random.Random) -> None:
    flipped(spot, rng, num_bits=rng.randrange(8, 200))


def zeroed(spot: Spot, rng: random.Random) -> None:
    content = bytearray(spot.path.read_bytes())
    start = rng.randrange(len(content))
    length = min(rng.randrange(8, 600), len(content) - start)
    content[start : start + length] = bytes(length)
    spot.path.write_bytes(content)


def empty(spot: Spot, rng: random.Random) -> None:
    spot.path.write_bytes(b"")


def garbage(spot: Spot, rng: random.Random) -> None:
    spot.path.write_bytes(rng.randbytes(rng.randrange(1, 5000)))


def swapped(spot: Spot, rng: random.Random) -> None:
    spot.path.write_bytes(spot.peer.read_bytes())


def missing(spot: Spot, rng: random.Random) -> None:
    spot.path.unlink()


def folder(spot: Spot, rng: random.Random) -> None:
    spot.path.unlink()
    spot.path.mkdir()


def unreadable(spot: Spot, rng: random.Random) -> None:
    spot.path.chmod(0)


def pipe(spot: Spot, rng: random.Random) -> None:
    spot.path.unlink()
    os.mkfifo(spot.path)


def endless_device(spot: Spot, rng: random.Random) -> None:
    spot.path.unlink()
    spot.path.symlink_to("/dev/zero")


def link_to_itself(spot: Spot, rng: random.Random) -> None:
    spot.path.unlink()
    spot.path.symlink_to(spot.path)


def link_outside(spot: Spot, rng: random.Random) -> None:
    moved = spot.outside / spot.path.name
    spot.path.rename(moved)
    spot.path.symlink_to(moved)


def sparse_giant(spot: Spot, rng: random.Random) -> None:
    os.truncate(spot.path, 20 << 30)


ANY_FILE: dict[str, Mutation] = {
    "truncated": truncated,
    "extended": extended,
    "1 bit flipped": flipped,
    "many bits flipped": flipped_often,
    "zeroed": zeroed,
    "empty": empty,
    "random bytes": garbage,
    "another file": swapped,
    "missing": missing,
    "folder": folder,
    "unreadable": unreadable,
    "named pipe": pipe,
    "link to /dev/zero": endless_device,
    "link to itself": link_to_itself,
    "link out of the root": link_outside,
    "20 GiB of nothing": sparse_giant,
}


def _floats(value: float) -> Mutation:
    def set_one(spot: Spot, rng: random.Random) -> None:
        numbers = np.frombuffer(spot.path.read_bytes(), dtype="<f4").copy()
        numbers[rng.randrange(len(numbers))] = value
        spot.path.write_bytes(numbers.tobytes())

    return set_one


def one_record_less(spot: Spot, rng: random.Random) -> None:
    content = spot.path.read_bytes()
    spot.path.write_bytes(content[: len(content) // 50 * 49])


SCAN_FILE = {
    "NaN": _floats(np.nan),
    "infinity": _floats(np.inf),
    "1e30": _floats(1e30),
    "-5e4": _floats(-5e4),
    "one record less": one_record_less,
}


def label_of_no_class(spot: Spot, rng: random.Random) -> None:
    content = bytearray(spot.path.read_bytes())
    content[4 * rng.randrange(len(content) // 4)] = 251
    spot.path.write_bytes(content)


LABEL_FILE = {"unknown class": label_of_no_class, "one record less": one_record_less}


def _leaves(value: object, place: tuple[object, ...] = ()) -> list[tuple[object, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)  # type: ignore[arg-type]
    found = []
    for key, item in items:
        inner = isinstance(item, dict | list) and item
        found += _leaves(item, (*place, key)) if inner else [(*place, key)]
    return found


def _json_leaf(text: str) -> Mutation:
    def replace(spot: Spot, rng: random.Random) -> None:
        content = json.loads(spot.path.read_text())
        place = rng.choice(_leaves(content))
        parent = content
        for key in place[:-1]:
            parent = parent[key]
        parent[place[-1]] = "@@"
        spot.path.write_text(json.dumps(content, indent=0).replace('"@@"', text))

    return replace


def repeated_key(spot: Spot, rng: random.Random) -> None:
    lines = json.dumps(json.loads(spot.path.read_text()), indent=0).splitlines()
    number = rng.choice(
        [i for i, line in enumerate(lines) if '":' in line and line[-1] not in "[{"]
    )
    key = lines[number].split(":")[0]
    lines.insert(number, f"{key}: 7,")
    spot.path.write_text("\n".join(lines))


def dropped_key(spot: Spot, rng: random.Random) -> None:
    content = json.loads(spot.path.read_text())
    place = rng.choice([p for p in _leaves(content) if isinstance(p[-1], str)])
    parent = content
    for key in place[:-1]:
        parent = parent[key]
    del parent[place[-1]]
    spot.path.write_text(json.dumps(content))


def wide_json(spot: Spot, rng: random.Random) -> None:
    spot.path.write_text("[" + "{}," * 8_000_000 + "{}]")


def nested_json(spot: Spot, rng: random.Random) -> None:
    spot.path.write_text("[" * 200_000 + "]" * 200_000)


JSON_FILE = {
    **{
        f"value {text[:12]}": _json_leaf(text)
        for text in ("NaN", "-Infinity", "-1", "0", "1e308", "1e999", "null", "[]", '"text"')
    },
    "value ../..": _json_leaf('"../../../../etc/hostname"'),
    "value /etc": _json_leaf('"/etc/hostname"'),
    "value of 400 digits": _json_leaf("9" * 400),
    "value of 9,000 digits": _json_leaf("9" * 9000),
    "value nested deep": _json_leaf("[" * 100_000 + "]" * 100_000),
    "repeated key": repeated_key,
    "dropped key": dropped_key,
    "8 million objects": wide_json,
    "nested 200,000 deep": nested_json,
}


def _number_in_text(value: str) -> Mutation:
    def replace(spot: Spot, rng: random.Random) -> None:
        words = spot.path.read_text().split(" ")
        words[rng.randrange(1, len(words))] = value
        spot.path.write_text(" ".join(words))

    return replace


TEXT_FILE = {
    f"value {text[:12]}": _number_in_text(text)
    for text in ("nan", "inf", "1e300", "1e999", "-1", "0", "text", "9" * 5000)
}


def _png(width: int, height: int, data: bytes) -> bytes:
    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    compressed = zlib.compress(data, 9)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", compressed) + chunk(b"IEND", b"")


def png_bomb(spot: Spot, rng: random.Random) -> None:
    side = 12_000  # below Pillow's own limit
    spot.path.write_bytes(_png(side, side, bytes(1 << 20)))


def jpeg_bomb(spot: Spot, rng: random.Random) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "JPEG")
    content = bytearray(buffer.getvalue())
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", 65_000, 65_000)
    spot.path.write_bytes(content)


def progressive_scans(spot: Spot, rng: random.Random) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (6000, 5000)).save(buffer, "JPEG", progressive=True)
    content = buffer.getvalue()
    last = content.rindex(b"\xff\xda")
    spot.path.write_bytes(content[:last] + content[last:-2] * 2000 + b"\xff\xd9")


def other_size(spot: Spot, rng: random.Random) -> None:
    with Image.open(spot.path) as image:
        small = image.resize((image.width - 7, image.height + 5))
        kind = image.format
    small.save(spot.path, kind)


def postscript(spot: Spot, rng: random.Random) -> None:
    marker = spot.outside / "executed"
    program = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 32\n({marker}) (w) file\n%%EOF\n"
    spot.path.write_text(program)


IMAGE_FILE = {
    "PNG of 12,000 x 12,000": png_bomb,
    "JPEG of 65,000 x 65,000": jpeg_bomb,
    "JPEG of 2,000 scans": progressive_scans,
    "of another size": other_size,
    "PostScript": postscript,
}
