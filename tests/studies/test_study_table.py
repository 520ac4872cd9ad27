"""Numbers of the table and the figure, from scores that are written down here."""

import json

import numpy as np
import pytest
from matplotlib.figure import Figure

from lidistill.figures.panels import Panel, panel_figure
from lidistill.studies.config import SCORES, load_study
from lidistill.studies.plan import KINDS, plan_study
from lidistill.studies.report import write_report
from lidistill.studies.settings import Place
from lidistill.studies.table import csv_text, lines_of, markdown, scores_at, tables


@pytest.fixture
def done(values, write):
    """A grid of two widths and two lengths whose distilled cells are done."""
    values |= {"design": "grid", "score": "seen"}
    values["axes"]["student"] = {"one": {"a": {}, "b": {"pretrain.backbone.width": 16}}}
    values["axes"]["length"] = {"one": {"long": {}, "short": {"pretrain.train.steps": 2}}}
    plan = plan_study(load_study(write(values)))
    for number, variant in enumerate(plan.variants):
        for seed, name in variant.cells["distilled"].items():
            scores = {
                probe: dict.fromkeys(SCORES, base + 10.0 * number + seed)
                for probe, base in (("all", 0.0), ("late", 4.0))
            }
            folder = plan.cells[name].folder
            folder.mkdir(parents=True)
            (folder / "cell.json").write_text(json.dumps({"scores": scores, "seconds": 3}))
    return plan


def test_means_are_over_probes_for_each_seed_and_spread_is_over_seeds(done):
    ((benchmark, (header, *rows)),) = tables(lines_of(done), "seen")
    assert benchmark == "street"
    assert header[:6] == ("axis", "value", "seeds", "all", "late", "mean")
    assert header[6:] == ("random", "teacher", "from scratch")
    last = rows[3]  # 30 and 31 on all, 34 and 35 on late; 0.707 = sqrt(1/2)
    assert last[:3] == ("combined", "one b, one short", "2")
    assert last[3:6] == ("30.5 ± 0.7", "34.5 ± 0.7", "32.5 ± 0.7")
    assert last[6:] == ("–", "–", "–")


def test_a_point_of_a_grid_is_the_mean_over_the_other_axes(done):
    lines = lines_of(done)
    place = Place(axis="length", series="one", value="short")
    # variants 1 and 3: (10 + 30) / 2, the two probes 2 above, and the seed
    assert scores_at(lines, "street", place, "distilled", "seen") == {0: 22.0, 1: 23.0}
    for what in KINDS[1:]:
        assert scores_at(lines, "street", place, what, "seen") == {}


def test_a_seed_without_all_probes_or_all_settings_is_left_out(done):
    name = done.variants[3].cells["distilled"][1]
    (done.cells[name].folder / "cell.json").unlink()
    lines = lines_of(done)
    place = Place(axis="length", series="one", value="short")
    assert scores_at(lines, "street", place, "distilled", "seen") == {0: 22.0}
    assert "0:32.0," not in csv_text(lines)  # singles have all their digits
    assert "street,combined" in csv_text(lines)


def test_a_probe_with_nothing_to_score_is_no_zero(done):
    name = done.variants[0].cells["distilled"][0]
    file = done.cells[name].folder / "cell.json"
    record = json.loads(file.read_text())
    record["scores"]["late"]["seen"] = None
    file.write_text(json.dumps(record))
    _, rows = next(iter(tables(lines_of(done), "seen")))
    assert rows[1][2:6] == ("1", "0.5 ± 0.7", "5.0", "3.0")


def test_the_report_is_written_while_cells_are_missing(done):
    report = write_report(done)
    record = json.loads(report.results.read_text())
    assert sum(cell["done"] for cell in record["cells"].values()) == 8
    assert report.best == ()  # no run can be looked at
    assert report.figure.read_bytes().startswith(b"\x89PNG")


def test_each_line_of_a_panel_has_the_yardsticks_of_its_own_networks(values, write, monkeypatch):
    values["axes"]["student"] = {
        "one": {"a": {}},
        "two": {"a": {"pretrain.backbone.width": 16}},
    }
    plan = plan_study(load_study(write(values | {"seeds": [0]})))
    for number, variant in enumerate(plan.variants):
        for what, base in (("distilled", 40.0), ("random", 20.0)):
            cell = plan.cells[variant.cells[what][0]]
            scores = {probe: dict.fromkeys(SCORES, base + number) for probe in ("all", "late")}
            cell.folder.mkdir(parents=True)
            (cell.folder / "cell.json").write_text(json.dumps({"scores": scores}))
    drawn = []
    monkeypatch.setattr(
        "lidistill.studies.report.panel_figure", lambda rows, *_, **__: drawn.append(rows)
    )
    write_report(plan)
    ((panel,),) = drawn[0].values()
    assert panel.series == {"one": {"a": (40.0, 0.0)}, "two": {"a": (41.0, 0.0)}}
    assert panel.yardsticks == {"random": {"one": {"a": 20.0}, "two": {"a": 21.0}}}


def test_a_bar_in_a_name_ends_no_column(values, write):
    values["axes"]["student"] = {"a|b": {"c": {}}}
    text = markdown(lines_of(plan_study(load_study(write(values)))), "seen")
    assert r"| student | a\|b c | 0 |" in text


def test_no_legend_hides_a_mark(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(Figure, "savefig", lambda self, *_, **__: figures.append(self))
    values = tuple("abcdefgh")
    marks = {f"s{n}": dict.fromkeys(values, 18.0 + n) for n in range(4)}
    panel = Panel(
        title="many",
        values=values,
        series={name: {value: (y + 9, 1.0) for value, y in m.items()} for name, m in marks.items()},
        yardsticks={"random": marks, "teacher": {"s0": dict.fromkeys(values, 31.0)}},
    )
    panel_figure({"a": [panel, panel], "b": [panel, panel]}, tmp_path / "x.png", label="mIoU")
    (figure,) = figures
    figure.canvas.draw()
    for axis in figure.axes:
        points = [line.get_xydata() for line in axis.lines]
        points += [marks.get_offsets() for marks in axis.collections if len(marks.get_offsets())]
        heights = axis.transData.transform(np.concatenate(points))[:, 1]
        assert heights.max() < axis.get_legend().get_window_extent().y0


def test_panels_of_rows_are_as_many(tmp_path):
    panel = Panel(title="a", values=("x",), series={"one": {"x": (1.0, 0.0)}})
    with pytest.raises(ValueError, match=r"rows of \[1, 2\] panels"):
        panel_figure({"a": [panel], "b": [panel, panel]}, tmp_path / "x.png", label="mIoU")
