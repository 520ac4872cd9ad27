"""Each key draws what it says: colours of points, and of the pixels on the screen."""

import io

import numpy as np
import pytest
from fakes.view_page import COLORS, class_directions, point_features
from PIL import Image

KEYS = {
    "s": "similarity", "p": "pca", "P": "pca-without-position", "i": "intensity", "h": "height",
    "r": "range", "c": "class", "d": "prediction", "e": "error", "f": "confidence",
    "k": "cluster", "b": "probability",
}  # fmt: skip
GREY = [112, 112, 116]
VIRIDIS_ENDS = ([65, 68, 135], [253, 231, 37])


def colors(page):
    return np.array(page.numbers("lidistill.colors()")).reshape(-1, 4)[:, :3]


def test_every_mode_has_its_key(page):
    page.tab.locator("main canvas").focus()
    for key, mode in KEYS.items():
        page.key(key)
        assert page.js("lidistill.state().mode") == mode
        pressed = page.tab.locator(".modes button[aria-pressed=true]")
        assert pressed.get_attribute("aria-keyshortcuts") == key


def test_classes_have_the_colours_of_the_manifest(page, street):
    page.key("c")
    wanted = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLORS])
    labels = street.scans[0].labels
    expected = np.where((labels == 255)[:, None], GREY, wanted[labels % len(COLORS)])
    assert (colors(page) == expected).all()
    legend = page.tab.locator(".legend .name").all_inner_texts()
    assert set(legend) == {street.class_names[i] for i in np.unique(labels) if i != 255}


def test_errors_are_those_of_the_prediction(page, street):
    page.key("d")
    predicted = colors(page)
    page.key("e")
    wrong = np.array(page.numbers("lidistill.colors()")).reshape(-1, 4)[:, 3] == 255
    page.key("c")
    truth = colors(page)
    known = street.scans[0].labels != 255
    assert 0.05 < wrong[known].mean() < 0.15
    assert not wrong[~known].any()
    differs = (predicted != truth).any(axis=1)
    assert (differs[known] <= wrong[known]).all()  # some classes share a colour


def test_numbers_run_from_one_end_of_the_palette_to_the_other(page, street):
    page.key("h")
    z = street.scans[0].xyz[:, 2]
    shown = colors(page)
    low, high = np.flatnonzero(z < -1.51), np.flatnonzero(z > 1.01)
    assert len(low) > 0
    assert len(high) > 0
    assert (shown[low] == VIRIDIS_ENDS[0]).all()
    assert (shown[high] == VIRIDIS_ENDS[1]).all()


def test_gamma_lifts_small_intensities(page, street):
    page.key("i")
    page.js("lidistill.set({gamma: 1})")
    linear = colors(page)
    page.js("lidistill.set({gamma: 0.5})")
    lifted = colors(page)
    small = (street.scans[0].columns["intensity"] > 0.05) & (
        street.scans[0].columns["intensity"] < 0.6
    )
    assert (lifted[small, 1] >= linear[small, 1]).mean() > 0.99
    assert (lifted[small, 1] > linear[small, 1] + 10).mean() > 0.9


def test_principal_components_are_read_by_one_basis(page, street):
    page.key("p")
    scan, shown = street.scans[0], colors(page)
    directions = class_directions(len(street.class_names), 0)
    features = point_features(street, 0, scan)
    expected = np.clip(features / 127 @ directions[:3].T, 0, 1) * 255
    known = scan.labels != 255
    assert np.abs(shown[known] - expected[known]).max() < 1
    assert (shown[~known] == GREY).all()


@pytest.mark.parametrize("shading", [False, True])
def test_the_pixels_on_the_screen_have_the_points_colours(page, street, shading):
    page.js("shading => lidistill.set({mode: 'class', shading, pointSize: 8})", shading)
    screenshot = page.js(
        "lidistill.screenshot().then(b => b.arrayBuffer()).then(b => Array.from(new Uint8Array(b)))"
    )
    image = np.asarray(Image.open(io.BytesIO(bytes(screenshot))).convert("RGB")).astype(int)
    shown = colors(page)
    hits, looked = 0, 0
    screen = np.array(page.numbers("lidistill.pixels()")).reshape(-1, 3)
    in_view = (screen[:, 2] > 0) & (screen[:, :2] >= 0).all(axis=1)
    in_view &= (screen[:, :2] < image.shape[1::-1]).all(axis=1)
    for point in np.flatnonzero(in_view):
        x, y = screen[point, :2].astype(int)
        looked += 1
        hue, wanted = image[y, x], shown[point]
        part = hue @ wanted / (wanted @ wanted)  # eye-dome lighting darkens, and keeps the hue
        hits += np.abs(hue - part * wanted).max() < 6 and (part > 0.1 if shading else part > 0.98)
    assert looked > 1000
    assert hits / looked > 0.75  # the rest stands behind nearer points
