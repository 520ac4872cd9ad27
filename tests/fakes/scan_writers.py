"""One writer for every format that a scan may have on disk, from the formats' own descriptions."""

import io
import struct

import numpy as np

NAMES = ("x", "y", "z", "intensity", "ring", "time")
PLY_TYPES = {
    "f4": "float",
    "f8": "double",
    "u2": "ushort",
    "u1": "uchar",
    "i4": "int",
    "i8": "int64",
}


def cloud(num_points=40, seed=0):
    """Structured points with columns of several widths."""
    rng = np.random.default_rng(seed)
    types = ["f4", "f4", "f4", "f4", "u2", "f8"]
    table = np.zeros(num_points, dtype=list(zip(NAMES, types, strict=True)))
    for axis in "xyz":
        table[axis] = rng.uniform(-30, 30, num_points)
    table["intensity"] = rng.integers(0, 256, num_points)
    table["ring"] = rng.integers(0, 64, num_points)
    table["time"] = np.linspace(0, 0.1, num_points)
    return table


def columns_of(table):
    return {name: np.ascontiguousarray(table[name]) for name in table.dtype.names}


def flat(table, names):
    return np.stack([table[name].astype("<f4") for name in names], axis=1).tobytes()


def npy(table):
    stream = io.BytesIO()
    np.save(stream, table)
    return stream.getvalue()


def npz(table, *, compressed=True):
    stream = io.BytesIO()
    columns = columns_of(table)
    points = np.stack([columns.pop(name) for name in ("x", "y", "z", "intensity")], axis=1)
    (np.savez_compressed if compressed else np.savez)(stream, points=points, **columns)
    return stream.getvalue()


def text_rows(table):
    return "".join(" ".join(repr(v.item()) for v in row) + "\n" for row in table).encode()


def pcd_header(table, encoding, **changes):
    codes = [table.dtype[name].str for name in table.dtype.names]
    lines = {
        "VERSION": "0.7",
        "FIELDS": " ".join(table.dtype.names),
        "SIZE": " ".join(code[2:] for code in codes),
        "TYPE": " ".join(code[1].upper() for code in codes),
        "COUNT": " ".join("1" for _ in codes),
        "WIDTH": len(table),
        "HEIGHT": 1,
        "VIEWPOINT": "0 0 0 1 0 0 0",
        "POINTS": len(table),
        "DATA": encoding,
    } | changes
    text = "".join(f"{key} {value}\n" for key, value in lines.items() if value is not None)
    return b"# .PCD v0.7 - Point Cloud Data file format\n" + text.encode()


def pcd(table, encoding, **changes):
    header = pcd_header(table, encoding, **changes)
    if encoding == "ascii":
        return header + text_rows(table)
    packed = table.astype([(name, table.dtype[name].str) for name in table.dtype.names])
    if encoding == "binary":
        return header + packed.tobytes()
    columns = b"".join(column.tobytes() for column in columns_of(packed).values())
    squeezed = compress_lzf(columns)
    return header + struct.pack("<II", len(squeezed), len(columns)) + squeezed


def compress_lzf(data):
    """Plain greedy LZF: literal runs of up to 32 bytes, repeats of 3 to 264."""
    out, literal, seen, position = bytearray(), bytearray(), {}, 0

    def flush():
        for start in range(0, len(literal), 32):
            run = literal[start : start + 32]
            out.append(len(run) - 1)
            out.extend(run)
        literal.clear()

    while position < len(data):
        key = data[position : position + 3]
        start = seen.get(key, -1)
        seen[key] = position
        distance = position - start - 1
        if start < 0 or len(key) < 3 or distance >= 8192:
            literal.append(data[position])
            position += 1
            continue
        length = 3
        while (
            length < 264
            and position + length < len(data)
            and data[start + length] == data[position + length]
        ):
            length += 1
        flush()
        code = length - 2
        out.append((min(code, 7) << 5) | (distance >> 8))
        if code >= 7:
            out.append(code - 7)
        out.append(distance & 255)
        position += length
    flush()
    return bytes(out)


def ply(table, encoding, *, after="", header_changes=()):
    lines = [
        "ply",
        f"format {encoding} 1.0",
        "comment written by a test",
        f"element vertex {len(table)}",
        *[f"property {PLY_TYPES[table.dtype[n].str[1:]]} {n}" for n in table.dtype.names],
        *([after] if after else []),
        "end_header",
    ]
    text = "\n".join(lines) + "\n"
    for old, new in header_changes:
        assert old in text
        text = text.replace(old, new)
    if encoding == "ascii":
        return text.encode() + text_rows(table)
    order = "<" if encoding == "binary_little_endian" else ">"
    names = table.dtype.names
    return (
        text.encode() + table.astype([(n, order + table.dtype[n].str[1:]) for n in names]).tobytes()
    )


WRITERS = {
    ".bin": lambda table: flat(table, NAMES[:4]),
    ".pcd.bin": lambda table: flat(table, NAMES[:5]),
    ".npy": npy,
    ".npz": npz,
    "_ascii.pcd": lambda table: pcd(table, "ascii"),
    "_binary.pcd": lambda table: pcd(table, "binary"),
    "_compressed.pcd": lambda table: pcd(table, "binary_compressed"),
    "_ascii.ply": lambda table: ply(table, "ascii"),
    "_little.ply": lambda table: ply(table, "binary_little_endian"),
    "_big.ply": lambda table: ply(table, "binary_big_endian"),
}
"""Content of a scan file, by the end of its name."""
