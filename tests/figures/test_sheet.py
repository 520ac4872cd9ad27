import numpy as np
import pytest
from PIL import Image

from lidistill.figures.sheet import Panel, mark_cross, sheet, write_png


def _panel(height, width, value, title="a title"):
    return Panel(image=np.full((height, width, 3), value, dtype=np.uint8), title=title)


def test_every_panel_is_on_the_sheet_pixel_by_pixel():
    page = sheet([[_panel(40, 300, 200, ""), _panel(60, 200, 210, "")], [_panel(50, 400, 220, "")]])
    for value, height, width in ((200, 40, 300), (210, 60, 200), (220, 50, 400)):
        rows, columns = np.nonzero((page == value).all(axis=2))
        assert len(rows) == height * width
        assert np.ptp(rows) + 1 == height
        assert np.ptp(columns) + 1 == width


def test_titles_and_the_headline_are_written():
    bare = sheet([[_panel(40, 300, 0, title="")]])
    titled = sheet([[_panel(40, 300, 0, title="student")]])
    headed = sheet([[_panel(40, 300, 0, title="student")]], title="frame 12")
    assert (titled.max(axis=2) > 150).sum() > (bare.max(axis=2) > 150).sum() + 50
    assert headed.shape[0] > titled.shape[0]


def test_a_cross_leaves_its_point_and_the_original_alone():
    image = np.full((100, 100, 3), 90, dtype=np.uint8)
    marked = mark_cross(image, (50.0, 40.0))
    assert (image == 90).all()
    assert (marked[40, 50] == 90).all()
    assert (marked[40, 50 + 10] != 90).any()
    assert (marked[40 - 10, 50] != 90).any()
    assert (marked[70:] == 90).all()


def test_a_cross_at_the_border_is_cut():
    marked = mark_cross(np.zeros((20, 20, 3), dtype=np.uint8), (0.0, 19.0))
    assert marked.any()


def test_a_written_figure_is_read_back_unchanged(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, size=(7, 9, 3), dtype=np.uint8)
    path = write_png(image, tmp_path / "new" / "figure.png")
    with Image.open(path) as figure:
        np.testing.assert_array_equal(np.array(figure), image)


@pytest.mark.parametrize("shape", [(4, 4), (4, 4, 4)])
def test_a_panel_of_another_form_is_an_error(shape):
    with pytest.raises(ValueError, match="uint8"):
        Panel(image=np.zeros(shape, dtype=np.uint8), title="")
