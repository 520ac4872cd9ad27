"""Size, build time, query time and recall of an index of many objects.

    python benchmarks/fleet_index.py INDEX --rows 10000000 --folder /scratch/large

Takes the vectors of an index that `lidistill index` made, repeats them with noise until there are
as many as wanted, writes them into a table of their own, and builds what a search uses. So rows
are real ones with noise, not objects of as many frames. Queries are rows with noise of their own.
Recall: which share of the 10 nearest of a look at every row a search finds.
"""

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from measure import spread, write_record
from numpy.typing import NDArray

from lidistill.errors import require
from lidistill.fleet.table import FleetIndex, build_vectors, nearest

_BLOCK = 100_000
_NEAREST = 10


def with_noise(
    vectors: NDArray[np.float32], count: int, noise: float, rng: np.random.Generator
) -> NDArray[np.float32]:
    """(count, C) rows drawn from some, turned a little each, of length one."""
    drawn = vectors[rng.integers(0, len(vectors), count)]
    size = noise / np.sqrt(vectors.shape[1])
    drawn = drawn + size * rng.standard_normal(drawn.shape, dtype=np.float32)
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def tables(
    vectors: NDArray[np.float32], rows: int, noise: float, rng: np.random.Generator
) -> Iterator[Any]:
    """The rows, block by block, for Arrow."""
    arrow = require("pyarrow", extra="fleet")
    for first in range(0, rows, _BLOCK):
        count = min(_BLOCK, rows - first)
        made = with_noise(vectors, count, noise, rng)
        flat = arrow.FixedSizeListArray.from_arrays(arrow.array(made.ravel()), made.shape[1])
        number = np.arange(first, first + count)
        frames = [f"frame/{one // 40}" for one in number]
        yield arrow.table(
            {"frame": frames, "object": (number % 40).astype(np.int32), "vector": flat}
        )


def ask(
    table: Any, queries: NDArray[np.float32], *, exact: bool
) -> tuple[list[set[tuple[str, int]]], list[float]]:
    """What is found for each query, and the milliseconds that it takes."""
    found, milliseconds = [], []
    for query in queries:
        begin = time.perf_counter()
        rows = nearest(table, query, "vector", _NEAREST, exact=exact)
        milliseconds.append(1e3 * (time.perf_counter() - begin))
        found.append({(row["frame"], row["object"]) for row in rows})
    return found, milliseconds


def main() -> None:
    """Build, measure, print, and write a record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("index", help="made by `lidistill index`")
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--noise", type=float, default=0.3, help="length beside the rows' 1")
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--folder", type=Path, required=True, help="for the large table; new")
    parser.add_argument("--output", type=Path, default=Path("runs/benchmarks/fleet-index.json"))
    options = parser.parse_args()
    if options.folder.exists():
        parser.error(f"{options.folder} is there already; give a new folder")
    vectors = FleetIndex.open(options.index).column_arrays()[0]
    rng = np.random.default_rng(0)
    database = require("lancedb", extra="fleet").connect(str(options.folder))
    begin = time.perf_counter()
    blocks = tables(vectors, options.rows, options.noise, rng)
    table = database.create_table("objects", next(blocks))
    for block in blocks:
        table.add(block)
    table.optimize()
    written = time.perf_counter() - begin
    begin = time.perf_counter()
    build_vectors(table, "vector", vectors.shape[1])
    built = time.perf_counter() - begin
    queries = with_noise(vectors, options.queries, options.noise, rng)
    ask(table, queries[:3], exact=False)  # warm up
    quick, quick_ms = ask(table, queries, exact=False)
    exact, exact_ms = ask(table, queries, exact=True)
    recall = np.mean([len(a & b) / _NEAREST for a, b in zip(quick, exact, strict=True)])
    size = sum(path.stat().st_size for path in options.folder.rglob("*") if path.is_file())
    results: dict[str, object] = {
        "real_rows": len(vectors),
        "rows": options.rows,
        "channels": vectors.shape[1],
        "noise": options.noise,
        "write_s": written,
        "build_s": built,
        "gigabytes": size / 1e9,
        "query_ms": spread(quick_ms),
        "exact_query_ms": spread(exact_ms),
        "recall_at_10": float(recall),
    }
    write_record(options.output, results)
    sys.stdout.write(json.dumps(results, indent=1) + "\n")
    shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
