"""The table of deliberate faults, which must keep up with the code that it damages."""

import runpy
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_every_fault_finds_its_text_and_its_tests():
    table = runpy.run_path(str(ROOT / "benchmarks" / "mutation_table.py"))
    mutants = list(table["read_mutants"](ROOT / "benchmarks" / "mutants.yaml"))
    assert len(mutants) > 100
    for mutant in mutants:
        for test in mutant.tests:
            assert (ROOT / "tests" / test.split("::")[0]).exists(), test
