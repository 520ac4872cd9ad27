"""``lidistill study``: which of students, teachers and data makes distilled features good?"""

import os
from typing import Annotated

import tyro

from lidistill.cli.output import Overrides, positive
from lidistill.errors import ConfigError

_TASK = "SLURM_ARRAY_TASK_ID"
_StudyName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY")]


def study(
    name: _StudyName,
    overrides: Overrides = (),
    /,
    *,
    jobs: int = 1,
    cell: str = "",
    list: bool = False,  # noqa: A002  the option's name
    table: bool = False,
    json: bool = False,
) -> None:
    """Run a study: axes, seeds and yardsticks, scored by probes, in one table and one figure.

    Example: lidistill study study/pillars-small --jobs 2
        benchmarks.pandaset-002.roots.pandaset=/data/pandaset

    What is done is not done again; the same command goes on where one was killed. On Slurm, one
    cell for each task of an array: lidistill study STUDY --list prints the sbatch line.

    Args:
        name: A study of `lidistill recipes`, or a YAML file.
        overrides: Changes to it, with dots between keys: seeds=[0],
            changes.pretrain.train.steps=100 for all distillations, benchmarks.sim-street=null or
            axes.teacher=null without that part.
        jobs: Cells at a time, each in a process of its own; they share the cores.
        cell: Run this one alone, by number from 0 or by name; SLURM_ARRAY_TASK_ID where it is set.
        list: Show the cells and where they stand; run nothing.
        table: Write table and figure of what is done so far; run nothing.
        json: Print one JSON object instead of text.
    """
    from lidistill.cli.study_parts import end_with_study, print_cells, run_cells, run_chosen
    from lidistill.studies.config import load_study
    from lidistill.studies.plan import plan_study

    end_with_study()
    if sum((list, table, bool(cell))) > 1:
        msg = "--list, --table and --cell exclude one another; give one."
        raise ConfigError(msg)
    if jobs != 1 and (list or table or cell):
        msg = f"--jobs {jobs} is for a call that runs all cells; leave it out."
        raise ConfigError(msg)
    words = (name, *overrides)
    plan = plan_study(load_study(name, overrides))
    if list:
        print_cells(plan, words, as_json=json)
    elif cell:
        run_chosen(plan, cell, said_by="--cell", as_json=json)
    elif (task := os.environ.get(_TASK, "")) and not table:
        run_chosen(plan, task, said_by=_TASK, as_json=json)
    else:
        run_cells(plan, words, jobs=0 if table else positive("jobs", jobs), as_json=json)
