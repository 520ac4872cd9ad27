"""What damaged and hostile files do to the readers: each ends clearly, or changes nothing.

Writes a miniature of every data set, damages one file at a time and reads it the way training
does, in a process of its own that has ten seconds of CPU time and 512 MiB:

    python tests/mutations/every_mutant.py --count 200 --output runs/mutants

A mutant may end in an error that names the file or the frame, be read as if nothing had happened,
or hold another value that the sensor could have written. Everything else is a fault, and the
script ends with status 1.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

sys.path[0] = str(Path(__file__).parents[1])  # the tests, not this folder

import torch
from mutations.mutants import TARGETS, Reading, Target, clear, judge, mutate, read

SECONDS = 10
MEBIBYTES = 512
_NOBODY = 65534
_COLUMNS = ("names file", "names frame", "equal", "plausible")


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one mutant."""

    target: str
    kind: str
    seed: int
    outcome: str
    detail: str
    mebibytes: float
    """Memory beyond that of the process before it read."""


def main() -> int:
    """Run all mutants, print the table, write it as JSON."""
    options = _options()
    torch.set_num_threads(1)
    work = Path(tempfile.mkdtemp(prefix="mutants-"))
    work.chmod(0o755)
    results = []
    for name, target in TARGETS.items():
        if not options.only or options.only in name:
            results += list(_mutants(name, target, options.count, options.seed, work))
            print(_row(name, [result for result in results if result.target == name]), flush=True)
    shutil.rmtree(work)
    faults = [result for result in results if result.outcome.endswith("!")]
    for fault in faults:
        print(f"{fault.target}, {fault.kind}, seed {fault.seed}: {fault.outcome} {fault.detail}")
    if options.output is not None:
        _write(options.output, results)
    print(f"{len(results)} mutants, {len(faults)} faults")
    return 1 if faults else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=200, help="mutants of every kind of file")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="kinds of file whose name contains this")
    parser.add_argument("--output", type=Path, help="folder for table.md and table.json")
    return parser.parse_args()


def _mutants(name: str, target: Target, count: int, seed: int, work: Path) -> Iterator[Result]:
    miniature = work / "miniature"
    target.write(miniature)
    sound = read(target, miniature)
    kinds = list(target.kinds)
    for number in range(count):
        kind = kinds[number % len(kinds)]
        root = work / f"{number}"
        shutil.copytree(miniature, root)
        path = mutate(target, kind, root, seed + number)
        outcome, detail, mebibytes = _apart(target, kind, root, path, sound)
        if (work / f"{number}-outside" / "executed").exists():
            outcome, detail = "executed!", "code in the file was run"
        yield Result(
            target=name,
            kind=kind,
            seed=seed + number,
            outcome=outcome,
            detail=detail.replace(str(root), "<root>"),
            mebibytes=mebibytes,
        )
        clear(root)
    shutil.rmtree(miniature)


def _apart(
    target: Target, kind: str, root: Path, path: Path, sound: Reading
) -> tuple[str, str, float]:
    """Judge a mutant in a child process, which may hang, crash or swell."""
    receiver, sender = os.pipe()
    child = os.fork()
    if not child:
        os.close(receiver)
        _child(target, kind, root, path, sound, sender)
    os.close(sender)
    with os.fdopen(receiver, "rb") as pipe:
        told = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        return (
            ("hangs!" if number in {signal.SIGALRM, signal.SIGXCPU} else "crashes!"),
            f"signal {number}",
            0.0,
        )
    outcome, detail, mebibytes = json.loads(told)
    if mebibytes > MEBIBYTES:
        outcome, detail = "memory!", f"{mebibytes:.0f} MiB; {outcome} {detail}"
    return outcome, detail, mebibytes


def _child(target: Target, kind: str, root: Path, path: Path, sound: Reading, sender: int) -> None:
    signal.alarm(6 * SECONDS)  # on the clock, for what waits; a busy machine is no fault
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 1))
    before = _peak(reset=True)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = in_use + 4 * MEBIBYTES * (1 << 20)  # a bomb shall not take the machine down
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    if kind == "unreadable" and os.geteuid() == 0:
        os.seteuid(_NOBODY)  # root may read everything
    try:
        outcome, detail = judge(target, kind, root, path, sound)
    except BaseException as error:  # noqa: BLE001  whatever it is, it is the finding
        outcome, detail = "crashes!", f"{type(error).__name__}: {str(error)[:200]}"
    os.write(sender, json.dumps([outcome, detail, _peak() - before]).encode())
    os._exit(0)


def _peak(*, reset: bool = False) -> float:
    """Largest resident memory since the last reset, MiB."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def _row(name: str, results: list[Result]) -> str:
    counts = Counter(result.outcome for result in results)
    faults = sum(counts[outcome] for outcome in counts if outcome.endswith("!"))
    cells = [len(results), *(counts[column] for column in _COLUMNS), faults]
    peak = max(result.mebibytes for result in results)
    return f"| {name} | {' | '.join(map(str, cells))} | {peak:.0f} |"


def _write(folder: Path, results: list[Result]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(result.target for result in results))
    head = f"| file | n | {' | '.join(_COLUMNS)} | faults | most MiB |\n"
    lines = [_row(name, [r for r in results if r.target == name]) for name in names]
    rule = "|---|" + "---|" * (len(_COLUMNS) + 3) + "\n"
    (folder / "table.md").write_text(head + rule + "\n".join(lines) + "\n")
    record = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        "seconds": SECONDS,
        "mebibytes": MEBIBYTES,
        "results": [asdict(result) for result in results],
    }
    (folder / "table.json").write_text(json.dumps(record, indent=1))


if __name__ == "__main__":
    raise SystemExit(main())
