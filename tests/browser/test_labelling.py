"""A few marks teach a class; what is saved can be read by NumPy and names its basis."""

import io
import json
import zipfile

import numpy as np
import pytest
from fakes.scoring import area_under_curve
from fakes.view_page import point_features

from browser.conftest import Page
from lidistill.datasets.own.files import read_label_table

CAR = 0


@pytest.fixture(scope="module")
def labelled(browser, street_page, street):
    """A page on which six points of cars are marked, and sixty of what is no car."""
    page = Page(browser).open(street_page)
    cars = np.flatnonzero(street.scans[0].labels == CAR)
    page.tab.locator("summary", has_text="Label by a few clicks").click()
    page.key("2")
    for point in cars[:: len(cars) // 6][:6].tolist():
        page.js("p => lidistill.pick(p)", point)
        page.key("m")
    others = np.flatnonzero((street.scans[0].labels != CAR) & (street.scans[0].labels != 255))
    page.js("lidistill.set({seeds: []})")
    seeds = [{"kind": "point", "frame": 0, "point": int(p)} for p in others[:: len(others) // 60]]
    page.js("seeds => lidistill.set({seeds})", seeds)
    page.key("n")
    yield page
    page.close()


def test_a_few_marks_find_the_class_on_every_frame(labelled, street):
    assert labelled.js("lidistill.state().mode") == "probability"
    assert "6 object" in labelled.tab.locator(".taught").inner_text()
    for frame in (0, 2):
        labelled.js("frame => lidistill.setFrame(frame)", frame)
        probability = labelled.numbers("lidistill.heat()")
        labels = street.scans[frame].labels
        known = labels != 255
        assert area_under_curve(np.array(probability)[known], labels[known] == CAR) > 0.99


def test_a_lasso_marks_what_it_holds(new_page, street_page):
    page = new_page(street_page)
    page.tab.locator("summary", has_text="Label by a few clicks").click()
    page.key("2")
    canvas = page.tab.locator("main canvas").bounding_box()
    corners = [(100, 200), (300, 200), (300, 350), (100, 350), (100, 200)]
    page.tab.keyboard.down("Shift")
    page.tab.mouse.move(canvas["x"] + 100, canvas["y"] + 200)
    page.tab.mouse.down()
    for x, y in corners[1:]:
        page.tab.mouse.move(canvas["x"] + x, canvas["y"] + y, steps=3)
    page.tab.mouse.up()
    page.tab.keyboard.up("Shift")
    page.settle()
    pixels = np.array(page.numbers("lidistill.pixels()")).reshape(-1, 3)
    inside = (pixels[:, 2] > 0) & (abs(pixels[:, 0] - 200) < 100) & (abs(pixels[:, 1] - 275) < 75)
    count = int(page.tab.locator(".taught").inner_text().split(", ")[1].split()[0])
    assert inside.sum() > 50
    assert count == pytest.approx(inside.sum(), abs=3)
    page.key("u")
    assert page.tab.locator(".taught").inner_text() == ""


def test_labels_are_an_archive_that_own_recordings_take(labelled, street, tmp_path):
    labelled.tab.get_by_role("textbox", name="Name of the class").fill("car")
    labelled.tab.keyboard.press("Tab")
    with labelled.tab.expect_download() as download:
        labelled.tab.get_by_role("button", name="Save labels").click()
    archive = zipfile.ZipFile(download.value.path())
    assert archive.testzip() is None
    archive.extract("labels/labels.yaml", tmp_path)
    assert read_label_table(tmp_path / "labels/labels.yaml").classes == ("other", "car")
    (name,) = [n for n in archive.namelist() if n.endswith(".npy")]
    labels = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
    truth = street.scans[0].labels
    assert labels.shape == truth.shape
    assert (labels == 1).sum() == 6
    assert (truth[labels == 1] == CAR).all()
    assert (truth[labels == 0] != CAR).all()


def test_predicted_labels_cover_all_loaded_frames(labelled, street):
    labelled.js("lidistill.setFrame(1)")
    labelled.js("lidistill.setFrame(0)")
    labelled.tab.get_by_label("also what the head predicts").check()
    with labelled.tab.expect_download() as download:
        labelled.tab.get_by_role("button", name="Save labels").click()
    archive = zipfile.ZipFile(download.value.path())
    names = [n for n in archive.namelist() if n.endswith(".npy")]
    assert len(names) >= 2
    for name, scan in zip(names, street.scans, strict=False):
        labels = np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
        known = scan.labels != 255
        assert ((labels == 1)[known] == (scan.labels == CAR)[known]).mean() > 0.95
        assert (labels[~known] == 255).all()


def test_a_head_says_what_lidistill_needs_to_use_it(labelled, street):
    with labelled.tab.expect_download() as download:
        labelled.tab.get_by_role("button", name="Save head").click()
    head = json.loads(download.value.path().read_text("utf-8"))
    assert head["lidistill_head"] == 1
    assert head["classes"][0] == "other"
    weights, bias = np.array(head["weights"]), np.array(head["bias"])
    assert weights.shape == (2, 64)
    scores = point_features(street, 0, street.scans[1]) / 127 @ weights.T + bias
    known = street.scans[1].labels != 255
    assert ((scores.argmax(1) == 1) == (street.scans[1].labels == CAR))[known].mean() > 0.95
