"""What the tests notice: one deliberate fault at a time in a copy of the package.

    python benchmarks/mutation_table.py --output runs/mutations.md

Every fault of ``mutants.yaml`` is put into a scratch copy, the tests named beside it are run until
the first one fails, and the copy is mended again. Without a fault they must pass, and a fault whose
tests do not even start counts as an error of this table, not as caught. Each fault has a process of
its own, forked from one that has loaded the libraries but nothing of the package. Some ten minutes
of one core; exit status 1 where more than ``--allowed`` faults survive.
"""

import argparse
import importlib
import multiprocessing
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]
_PARTS = ("src", "tests", "docs", "benchmarks", "pyproject.toml", "README.md")
_LIBRARIES = (
    "torch",
    "transformers",
    "scipy.spatial",
    "numba",
    "pydantic",
    "pandas",
    "PIL.Image",
    "matplotlib.figure",
    "rich.table",
    "tyro",
    "tensorboard",
    "yaml",
    "pytest",
)
_PASSED, _FAILED, _ANOTHER_PACKAGE = 0, 1, 99
_LONGEST_S = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One fault."""

    what: str
    file: str
    """Below ``src/lidistill``."""
    old: str
    new: str
    tests: tuple[str, ...]
    """Below ``tests``."""


def read_mutants(file: Path) -> Iterator[Mutant]:
    """The faults of a table, each of which must have its text exactly once in its file.

    Raises:
        ValueError: If one has not.
    """
    for group in yaml.safe_load(file.read_text(encoding="utf-8")):
        text = (ROOT / "src" / "lidistill" / group["file"]).read_text(encoding="utf-8")
        for what, old, new in group["mutants"]:
            if text.count(old) != 1 or old == new:
                msg = f"{group['file']}: {what!r}: {old!r} is there {text.count(old)} times"
                raise ValueError(msg)
            tests = tuple(group["tests"])
            yield Mutant(what=what, file=group["file"], old=old, new=new, tests=tests)


class Copy:
    """A scratch copy of the checkout, in which the tests run.

    Args:
        folder: Empty.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        skip = shutil.ignore_patterns("__pycache__", "*.pyc")
        for part in _PARTS:
            source, target = ROOT / part, folder / part
            if source.is_dir():
                shutil.copytree(source, target, ignore=skip)
            else:
                shutil.copy2(source, target)

    def test(self, tests: tuple[str, ...]) -> tuple[int, str]:
        """Exit status of pytest, and the first test that failed."""
        log = self._folder / "pytest.log"
        process = multiprocessing.get_context("fork").Process(
            target=_run_tests, args=(self._folder, tests, log)
        )
        process.start()
        process.join(_LONGEST_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            return _FAILED, f"still running after {_LONGEST_S} s"
        lines = log.read_text(encoding="utf-8").splitlines()
        failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
        named = failed[0].split(" - ")[0].split("::")[-1] if failed else ""
        return process.exitcode, named

    def log(self) -> str:
        """What pytest last printed, its end."""
        return (self._folder / "pytest.log").read_text(encoding="utf-8")[-2000:]

    def test_with(self, mutant: Mutant) -> tuple[int, str]:
        """The same with a fault in the package."""
        path = self._folder / "src" / "lidistill" / mutant.file
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
        try:
            return self.test(mutant.tests)
        finally:
            path.write_text(text, encoding="utf-8")


def _run_tests(folder: Path, tests: tuple[str, ...], log: Path) -> None:
    """Run pytest in this process, which is then over; its status is that of pytest."""
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    for stream in (1, 2):
        os.dup2(descriptor, stream)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it would be ignored in tests, too
    os.chdir(folder)
    os.environ["PYTHONPATH"] = str(folder / "src")
    sys.path.insert(0, str(folder / "src"))
    sys.dont_write_bytecode = True
    quiet = ("-W", "ignore:Module already imported", "-p", "no:cacheprovider", "--tb=no")
    options = ("-x", "-q", "-m", "not slow", *quiet)
    status = importlib.import_module("pytest").main([*options, *(f"tests/{one}" for one in tests)])
    package = importlib.import_module("lidistill").__file__ or ""
    sys.stdout.flush()
    os._exit(int(status) if Path(package).is_relative_to(folder) else _ANOTHER_PACKAGE)


def table(copy: Copy, mutants: list[Mutant]) -> Iterator[tuple[str, Mutant, str]]:
    """Verdict, fault and the test that noticed, one by one."""
    for mutant in mutants:
        status, noticed = copy.test_with(mutant)
        verdict = {_PASSED: "SURVIVED", _FAILED: "caught"}.get(status, f"error {status}")
        print(f"{verdict:10}{mutant.file}: {mutant.what}  {noticed}", flush=True)
        yield verdict, mutant, noticed


def main() -> int:
    """Try every fault and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("runs/mutations.md"))
    parser.add_argument(
        "--only", nargs="+", default=[""], help="texts that a fault's file or name holds"
    )
    parser.add_argument("--allowed", type=int, default=5, help="how many may survive")
    arguments = parser.parse_args()
    mutants = list(read_mutants(ROOT / "benchmarks" / "mutants.yaml"))
    mutants = [m for m in mutants if any(part in f"{m.file} {m.what}" for part in arguments.only)]
    begin = time.monotonic()
    for library in _LIBRARIES:
        importlib.import_module(library)
    with tempfile.TemporaryDirectory() as scratch:
        copy = Copy(Path(scratch))
        for tests in sorted({mutant.tests for mutant in mutants}):
            status, failed = copy.test(tests)
            if status != _PASSED:
                print(f"without any fault {' '.join(tests)} do not pass: {failed}\n{copy.log()}")
                return 2
        rows = list(table(copy, mutants))
    survived = [row for row in rows if row[0] != "caught"]
    lines = ["| verdict | file | fault | noticed by |", "|---|---|---|---|"]
    lines += [f"| {v} | `{m.file}` | {m.what} | {by} |" for v, m, by in rows]
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text("\n".join(lines) + "\n", encoding="utf-8")
    minutes, used = (time.monotonic() - begin) / 60, os.times()
    cpu = (used.user + used.system + used.children_user + used.children_system) / 60
    counts = f"{len(rows)} faults, {len(rows) - len(survived)} caught"
    print(f"{counts}; {minutes:.1f} minutes, {cpu:.1f} of CPU")
    broken = any(verdict.startswith("error") for verdict, _, _ in rows)
    return 1 if broken or len(survived) > arguments.allowed else 0


if __name__ == "__main__":
    sys.exit(main())
