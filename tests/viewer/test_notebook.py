import html
import re

import numpy as np
import pytest

import lidistill
from lidistill.errors import ConfigError, FileFormatError


def arrays():
    points = np.random.default_rng(0).uniform(3, 20, (50, 3))
    return points, np.full(50, 20.0)


def test_a_model_and_arrays_become_an_iframe(world, tmp_path):
    model = lidistill.load(world / "pretrain", "cpu")
    page = lidistill.view(model, [arrays(), arrays()], height="400px")
    shown = page._repr_html_()
    found = re.fullmatch(
        r'<iframe sandbox="allow-scripts allow-downloads" '
        r'style="width:100%;height:400px;border:0" srcdoc="([^"]*)"></iframe>',
        shown,
    )
    assert html.unescape(found[1]) == page.html
    assert 'data-name="features/0/head/1"' in page.html
    assert page.save(tmp_path / "a.html").read_text() == page.html


def test_scans_are_given_in_any_way(world, tmp_path):
    file = tmp_path / "a.npy"
    np.save(file, np.column_stack(arrays()).astype(np.float32))
    for scans in (file, str(file), [file], [(arrays()[0], None)]):
        assert 'data-name="frame/0"' in lidistill.view(None, scans).html
    two = [lidistill.load(world / name, "cpu") for name in ("pretrain", "probe-backbone")]
    assert (
        'data-name="features/1/backbone/1"' in lidistill.view(two, world / "set", max_frames=2).html
    )


@pytest.mark.parametrize("points", [np.zeros((0, 3)), np.full((5, 3), np.nan)])
def test_frames_without_a_point_are_one_clear_line(world, points):
    model = lidistill.load(world / "pretrain", "cpu")
    with pytest.raises(FileFormatError, match="sees no point of these frames"):
        lidistill.view(model, [(points, None)])


@pytest.mark.parametrize("scans", [[], [1, 2], [(1, 2, 3)], 7.5])
def test_what_is_no_scan_is_said(scans):
    with pytest.raises((ConfigError, TypeError)):
        lidistill.view(None, scans)


@pytest.mark.parametrize("max_frames", [0, -3])
def test_no_frame_at_all_is_no_page(max_frames):
    with pytest.raises(ConfigError, match=f"at most {max_frames} frames"):
        lidistill.view(None, [arrays()], max_frames=max_frames)


def test_a_height_is_no_way_into_the_page():
    with pytest.raises(ConfigError, match="640px"):
        lidistill.view(None, [arrays()], height='1px"><script>')
