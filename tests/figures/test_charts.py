import numpy as np
import pytest
from PIL import Image

from lidistill.figures.charts import (
    confusion_figure,
    iou_bars,
    loss_curve,
    matrix_figure,
    smooth,
)


def _pixels(path):
    with Image.open(path) as figure:
        return np.array(figure.convert("RGB")).astype(int)


def _records(num_steps, **more):
    rng = np.random.default_rng(0)
    loss = 1 / np.sqrt(1 + np.arange(num_steps)) + rng.normal(scale=0.02, size=num_steps)
    return [{"step": i + 1, "loss": float(v), **more} for i, v in enumerate(loss)]


@pytest.mark.parametrize("num_steps", [1, 2, 500])
def test_a_loss_curve_is_drawn_for_any_number_of_steps(tmp_path, num_steps):
    path = tmp_path / "new" / "loss.png"
    loss_curve(_records(num_steps, cosine=0.5, lr=1e-3), path)
    pixels = _pixels(path)
    assert pixels.shape[1] > 900
    blue = (pixels[:, :, 2] > pixels[:, :, 0] + 60).sum()
    assert blue > 10


def test_every_logged_quantity_has_its_own_panel(tmp_path):
    loss_curve(_records(50), tmp_path / "one.png")
    loss_curve(_records(50, accuracy=0.3, lr=1e-3), tmp_path / "three.png")
    assert _pixels(tmp_path / "three.png").shape[0] > 1.5 * _pixels(tmp_path / "one.png").shape[0]


def test_a_log_without_loss_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="none of the 1 records has a loss"):
        loss_curve([{"step": 1, "lr": 0.1}], tmp_path / "x.png")


def test_a_running_mean_equals_the_loop_of_its_definition():
    values = np.random.default_rng(1).normal(size=20)
    expected = [values[max(0, i - 2) : i + 3].mean() for i in range(20)]
    np.testing.assert_allclose(smooth(values, 5), expected)


def test_a_running_mean_keeps_a_straight_line_away_from_its_ends():
    line = np.linspace(3, -1, 41)
    np.testing.assert_allclose(smooth(line, 9)[4:-4], line[4:-4])


@pytest.mark.parametrize("num_classes", [1, 2, 17])
def test_a_confusion_matrix_is_drawn_for_any_number_of_classes(tmp_path, num_classes):
    counts = np.eye(num_classes, dtype=np.int64) * 1000 + 7
    path = tmp_path / "confusion.png"
    confusion_figure(counts, [f"class {i}" for i in range(num_classes)], path)
    assert min(_pixels(path).shape[:2]) > 400


def test_a_diagonal_matrix_and_a_scattered_one_look_different(tmp_path):
    names = ["a", "b", "c", "d"]
    confusion_figure(np.eye(4, dtype=np.int64) * 10, names, tmp_path / "good.png")
    confusion_figure(np.ones((4, 4), dtype=np.int64), names, tmp_path / "bad.png")
    good, bad = _pixels(tmp_path / "good.png"), _pixels(tmp_path / "bad.png")

    def num_dark_blue(pixels):
        return ((pixels[:, :, 2] - pixels[:, :, 0] > 60) & (pixels[:, :, 0] < 40)).sum()

    assert num_dark_blue(good) > 4 * num_dark_blue(bad) + 1000


def test_classes_without_a_point_do_no_harm(tmp_path):
    counts = np.zeros((3, 3), dtype=np.int64)
    confusion_figure(counts, ["a", "b", "c"], tmp_path / "empty.png")
    counts[1, 1] = 5
    confusion_figure(counts, ["a", "b", "c"], tmp_path / "one.png")
    assert (_pixels(tmp_path / "empty.png") != _pixels(tmp_path / "one.png")).any()


def test_names_that_look_like_formulas_are_drawn_as_they_are(tmp_path):
    confusion_figure(np.eye(2, dtype=np.int64), ["$\\frac$", "_b"], tmp_path / "odd.png")
    iou_bars({"_a $x": np.array([0.1, 0.2])}, ["$\\frac$", "_b"], tmp_path / "bars.png")
    assert (tmp_path / "odd.png").is_file()
    assert (tmp_path / "bars.png").is_file()


def test_a_matrix_of_another_size_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="3 classes"):
        confusion_figure(np.eye(2, dtype=np.int64), ["a", "b", "c"], tmp_path / "x.png")


def test_every_result_has_bars_of_its_own_colour(tmp_path):
    iou = np.array([0.5, np.nan, 0.7])
    path = tmp_path / "bars.png"
    iou_bars({"distilled": iou, "random": iou / 2}, ["a", "b", "c"], path)
    pixels = _pixels(path)
    blue, orange = (31, 119, 180), (255, 127, 14)
    num_blue, num_orange = ((pixels == color).all(axis=2).sum() for color in (blue, orange))
    assert num_blue > 1.5 * num_orange > 1000


def test_results_without_any_score_do_no_harm(tmp_path):
    iou_bars({"nothing": np.full(2, np.nan)}, ["a", "b"], tmp_path / "bars.png")
    assert (tmp_path / "bars.png").is_file()


@pytest.mark.parametrize("results", [{}, {"a": np.zeros(2)}])
def test_bars_of_another_number_of_classes_are_an_error(tmp_path, results):
    with pytest.raises(ValueError, match="one IoU for each of 3 classes"):
        iou_bars(results, ["a", "b", "c"], tmp_path / "x.png")


def test_a_matrix_is_darker_where_the_score_is_higher_and_empty_cells_are_grey(tmp_path):
    values = [[0.9, 0.1], [float("nan"), 0.5]]
    matrix_figure(values, ("a_set", "b"), tmp_path / "m.png", rows="learned", columns="scored")
    pixels = _pixels(tmp_path / "m.png")
    grey = (np.ptp(pixels, axis=2) == 0) & (np.abs(pixels[:, :, 0] - 237) < 3)
    dark_blue = (pixels[:, :, 2] > 100) & (pixels[:, :, 0] < 40)
    assert grey.sum() > 1000
    assert dark_blue.sum() > 1000
    rows, columns = np.nonzero(dark_blue)
    grey_rows, grey_columns = np.nonzero(grey)
    assert rows.mean() < grey_rows.mean()
    assert abs(columns.mean() - grey_columns.mean()) < 20


def test_a_matrix_that_does_not_fit_its_names_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"shape \(1, 2\) for 2 names"):
        matrix_figure([[0.1, 0.2]], ("a", "b"), tmp_path / "m.png", rows="r", columns="c")
