"""A study on simulated drives: run, killed, run again; cells alone; what fails, and the report."""

import csv
import json
import signal
import statistics
import subprocess
import sys
import time

import pytest
import yaml
from fakes.command import run
from fakes.runs import GRID
from PIL import Image

from lidistill.studies.cells import failure_of, result_of, state_of
from lidistill.studies.config import SCORES, load_study
from lidistill.studies.plan import plan_study
from lidistill.training.run_lock import RunLock

SMALL = {  # the debug recipes in seconds
    "pretrain": {
        "data.sets": [{"kind": "pandaset", "root": "street", "split": "train"}],
        "data.sampling.image_size_hw": [28, 56],
        "backbone": {"kind": "waffleiron", "width": 8, "depth": 3, "grid": GRID},
        "target.center_batches": 2,
        "train": {"steps": 6, "checkpoint_every": 2},
        "schedule.warmup_steps": 2,
        "figures.enabled": False,
    },
    "probe": {"train.steps": 6, "schedule.warmup_steps": 2, "sampling.image_size_hw": [28, 56]},
    "all.device": "cpu",
}
DRIVES = {"train_drives": 1, "val_drives": 1, "frames": 2, "image_size_hw": [36, 64]}


def simulated(world, tmp_path):
    """One distillation for each of two seeds, on drives that are simulated first."""
    teacher = {"kind": "vit", "model": str(world / "vit"), "layers": [-1]}
    return {
        "kind": "study",
        "name": "simulated",
        "output": str(tmp_path / "study"),
        "seeds": [0, 1],
        "changes": SMALL,
        "yardsticks": {"random": "none", "teacher": "none", "scratch": "none"},
        "benchmarks": {
            "street": {
                "pretrain": "pretrain/debug",
                "simulate": [DRIVES | {"column_step": 8}],
                "probes": {"pandar64": {"probe": "probe/debug"}},
            }
        },
        "axes": {"teacher": {"one": {"small": {"pretrain.teacher": teacher}}}},
    }


def start(file, *options):
    return subprocess.Popen(
        [sys.executable, "-m", "lidistill", "study", file, *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def until(true, seconds=300.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it has not happened"
        time.sleep(0.02)


@pytest.mark.slow
def test_a_killed_study_goes_on_where_it_was(world, tmp_path, capsys, write):
    file = write(simulated(world, tmp_path))
    plan = plan_study(load_study(file))
    first, second = plan.cells.values()
    study = start(file)
    try:  # the first cell is in the middle of its distillation
        until((first.folder / "student" / "checkpoints").is_dir)
        study.send_signal(signal.SIGKILL)
        study.wait()
        until(lambda: state_of(first) != "running")  # a cell ends with its study
        assert (state_of(first), state_of(second)) == ("begun", "to do")
    finally:
        study.kill()
        study.wait()
    status, out, err = run(capsys, "study", file, "--jobs", 2)
    assert status == 0, err
    assert (state_of(first), state_of(second)) == ("done", "done")
    check_report(plan, out)
    # Nothing is left to do, and nothing is done.
    before = (first.folder / "output.txt").stat().st_mtime_ns
    assert run(capsys, "study", file)[0] == 0
    assert (first.folder / "output.txt").stat().st_mtime_ns == before


def check_report(plan, out):
    """Table, JSON, CSV and figure hold what the runs' own results say."""
    folder = plan.study.output
    singles = []
    for cell in plan.cells.values():
        results = json.loads((cell.folder / "pandar64" / "results.json").read_text())
        singles.append(results["all_points"]["mean_iou_of_truth"])
    both = f"{statistics.mean(singles):.1f} ± {statistics.stdev(singles):.1f}"
    assert f"│ teacher │ one small │ 2     │ {both}" in out
    assert f"| teacher | one small | 2 | {both} |" in (folder / "study.md").read_text()
    record = json.loads((folder / "study.json").read_text())
    line = next(x for x in record["lines"] if x["score"] == "mean_iou_of_truth")
    assert line["mean"] == pytest.approx(statistics.mean(singles), abs=1e-3)
    assert line["std"] == pytest.approx(statistics.stdev(singles), abs=1e-3)
    assert line["single"] == {"0": singles[0], "1": singles[1]}
    with (folder / "study.csv").open(newline="") as text:
        row = next(row for row in csv.DictReader(text) if row["score"] == "mean_iou_of_truth")
    assert (row["value"], row["num_seeds"], float(row["mean"])) == ("small", "2", line["mean"])
    with Image.open(folder / "study.png") as figure:
        assert figure.width > 500


CELL = """#!/bin/sh
for cell; do :; done
echo "from $cell"
case $cell in
  *teacher*) kill -9 $$ ;;
  *scratch*) echo "error: no such thing"; exit 2 ;;
esac
cp {scores} {cells}/$cell/cell.json
"""
"""In place of Python: a cell that ends at once, well or not, by what it is."""


def test_a_failed_cell_stops_no_other_and_is_named(values, write, tmp_path, capsys, monkeypatch):
    values["seeds"] = [0]
    file = write(values)
    plan = plan_study(load_study(file))
    scores = {probe: dict.fromkeys(SCORES, 50.0) for probe in ("all", "late")}
    (tmp_path / "scores.json").write_text(json.dumps({"scores": scores}))
    script = tmp_path / "python"
    script.write_text(CELL.format(scores=tmp_path / "scores.json", cells=tmp_path / "study/cells"))
    script.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(script))
    status, out, err = run(capsys, "study", file, "--jobs", 2)
    assert status == 2
    states = {cell.what: state_of(cell) for cell in plan.cells.values()}
    assert states == {
        "distilled": "done",
        "random": "done",
        "teacher": "failed",
        "scratch": "failed",
    }
    lost, refused = (next(c for c in plan.cells.values() if c.what == w) for w in FAILING)
    assert f"2 of 6 cells failed, the first is {lost.name} (WaffleIron 8)" in err
    assert f"{refused.name} (base) failed, status 2" in err
    assert f"  from {refused.name}\n  error: no such thing" in err
    assert failure_of(lost) == f"its process ended with signal 9: from {lost.name}."
    assert "50.0" in out
    status, out, _ = run(capsys, "study", file, "--list")
    assert "6 cells: 4 done, 2 failed" in out
    assert "failed: its process ended with status 2: error: no such thing." in out


FAILING = ("teacher", "scratch")


@pytest.mark.slow
def test_cells_of_an_array_write_the_report_when_the_last_is_done(
    values, write, tmp_path, capsys, monkeypatch
):
    values |= {"seeds": [0], "yardsticks": {"random": "base", "teacher": "none", "scratch": "none"}}
    del values["axes"]["student"]["WaffleIron"]["16"]
    file = write(values)
    plan = plan_study(load_study(file))
    distilled, random = plan.cells.values()
    assert run(capsys, "study", file, "--table")[0] == 0  # nothing is there yet, and nothing is run
    assert [state_of(cell) for cell in (distilled, random)] == ["to do", "to do"]
    status, out, err = run(capsys, "study", file, "--cell", 1)
    assert (status, out.split()) == (0, ["cell", str(random.folder)]), err
    status, out, _ = run(capsys, "study", file, "--list", "--json")
    listed = json.loads(out)["cells"]
    assert [(cell["number"], cell["state"]) for cell in listed] == [(0, "to do"), (1, "done")]
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "0")
    status, out, err = run(capsys, "study", file)
    assert status == 0, err
    assert out.splitlines()[-1].split() == ["results", str(tmp_path / "study" / "study.json")]
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID")
    status, out, _ = run(capsys, "study", file, "--table")
    folders = " ".join(str(cell.folder / "all") for cell in (distilled, random))
    assert f"lidistill view {folders} --most-different" in out
    scores = result_of(distilled).scores
    assert set(scores) == {"all", "late"}
    status, out, _ = run(capsys, "study", file, "--list")
    assert "2 cells: 2 done" in out
    assert f"sbatch --array=0-1 '--wrap=lidistill study {file}'" in out


def test_data_that_are_nowhere_are_said_before_the_first_cell(values, write, tmp_path, capsys):
    cells = plan_study(load_study(write(values))).cells.values()
    (kind,) = {one.kind for cell in cells for one in cell.data_sets()}
    values["benchmarks"]["street"]["roots"] = {kind: str(tmp_path / "nowhere")}
    file = write(values)
    status, _, err = run(capsys, "study", file)
    assert status == 2
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert f"there is no folder {tmp_path / 'nowhere'} for the data set {kind}" in line
    assert f"benchmarks.street.roots.{kind}=" in line
    assert not (tmp_path / "study/cells").exists()
    assert run(capsys, "study", file, "--table")[0] == 0


def test_a_cell_that_runs_elsewhere_is_left_to_it(values, write, capsys):
    file = write(values)
    cell = next(iter(plan_study(load_study(file)).cells.values()))
    with RunLock(cell.folder):
        assert state_of(cell) == "running"
        status, _, err = run(capsys, "study", file, "--cell", cell.name)
    assert status == 2
    assert "is in use by another run (this process)" in err
    assert state_of(cell) == "begun"


def test_damaged_scores_are_said(values, write, capsys):
    file = write(values)
    cell = next(iter(plan_study(load_study(file)).cells.values()))
    cell.folder.mkdir(parents=True)
    score = '{"mean_iou": 1, "mean_iou_of_truth": 1, "seen": %s}'
    numbers = [
        f'{{"scores": {{"all": {score % said}, "late": {score % said}}}}}'
        for said in ("NaN", "true", "1e999", "-5", "100.1", "9" * 400, '"3"')
    ]
    for text in ("{", "[]", '{"scores": {}}', '{"scores": {"all": 3, "late": 4}}', *numbers):
        (cell.folder / "cell.json").write_text(text)
        status, _, err = run(capsys, "study", file, "--table")
        assert (status, len(err.splitlines())) == (2, 1)
        assert "cell.json" in err
        assert "delete this file, and the same command scores the cell again" in err
    (cell.folder / "cell.json").write_text(numbers[0].replace("NaN", "null"))
    for text in ("{", "[]", '{"why": 3}'):  # a note about a failure stops nobody
        (cell.folder / "failed.json").write_text(text)
        assert failure_of(cell) == "its failed.json is damaged."
    assert run(capsys, "study", file, "--list")[0] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--cell", "99"), "there is no cell '99' (--cell): this study has 11, counted from 0"),
        (("--cell", "-1"), "there is no cell '-1'"),
        (("--cell", "9" * 5000), "there is no cell '99999"),
        (("--cell", "٣"), "there is no cell '٣'"),
        (("--list", "--table"), "exclude one another"),
        (("--cell", "0", "--jobs", "2"), "--jobs 2 is for a call that runs all cells"),
        (("--jobs", "0"), "--jobs 0: expected 1 or more"),
    ],
)
def test_wrong_options_are_one_line(values, write, capsys, options, said):
    status, _, err = run(capsys, "study", write(values), *options)
    assert (status, len(err.splitlines())) == (2, 1)
    assert said in err


def test_a_task_of_an_array_that_is_no_cell_is_named(values, write, capsys, monkeypatch):
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "11")
    status, _, err = run(capsys, "study", write(values))
    assert (status, len(err.splitlines())) == (2, 1)
    assert "there is no cell '11' (SLURM_ARRAY_TASK_ID): this study has 11" in err


def test_recipes_list_studies_and_print_them(capsys):
    status, out, _ = run(capsys, "recipes")
    assert status == 0
    assert "study/pillars-small" in out
    status, out, _ = run(capsys, "recipes", "study/pillars-small")
    assert yaml.safe_load(out)["kind"] == "study"
    status, out, _ = run(capsys, "recipes", "study/pillars-small", "--json")
    assert json.loads(out)["recipe"]["seeds"] == [0, 1, 2]
