"""Click a car: the other cars are hot, the road is cold, by true labels of a simulated street.

The features are made up from these labels (fakes.view_page), so what is tested is the page: that
the click finds its point, that each number gets to its own point, on all frames and in the image.
"""

import re

import numpy as np
import pytest
from fakes.scoring import area_under_curve

CAR, ROAD = 0, 8


@pytest.fixture(scope="module")
def car(street) -> int:
    """A point of a car that is near, and seen in the image."""
    scan = street.scans[0]
    near = np.linalg.norm(scan.xyz, axis=1)
    wanted = (scan.labels == CAR) & (scan.visible[0] == 1) & (scan.xyz[:, 0] > 0)
    return int(np.flatnonzero(wanted)[near[wanted].argmin()])


def look_at(page, scan, point):
    x, y, z = (float(v) for v in scan.xyz[point])
    camera = {"position": [x - 5, y - 1, z + 3], "target": [x, y, z]}
    page.js("camera => lidistill.look(camera)", camera)


def cars_against_road(heat, labels):
    known = np.isin(labels, (CAR, ROAD))
    return area_under_curve(np.asarray(heat)[known], labels[known] == CAR)


def test_a_click_on_a_car_lights_the_other_cars(page, street, car, record_property):
    scan = street.scans[0]
    look_at(page, scan, car)
    page.click(car)
    (seed,) = page.js("lidistill.state().seeds")
    assert scan.labels[seed["point"]] == CAR
    heat = page.numbers("lidistill.heat()")
    area = cars_against_road(heat, scan.labels)
    record_property("AUC of cars against the road", area)
    assert area > 0.999
    text = page.tab.locator("#counts").inner_text()
    count, total, _, frames, _ = (int(n) for n in re.findall(r"\d+", text))
    assert total == len(scan.xyz)
    assert frames == 1
    assert abs(count - (scan.labels == CAR).sum()) < 0.02 * total


def test_the_other_frames_are_lit_too(page, street, car):
    page.js("point => lidistill.pick(point)", car)
    page.tab.get_by_role("button", name="Search all frames").click()
    page.tab.wait_for_function("document.querySelector('#counts').innerText.includes('on 3 of 3')")
    for frame in (1, 2):
        page.js("frame => lidistill.setFrame(frame)", frame)
        heat = page.numbers("lidistill.heat()")
        assert cars_against_road(heat, street.scans[frame].labels) > 0.999


def test_a_click_on_the_image_does_the_same(page, street, car):
    scan = street.scans[0]
    page.js("lidistill.set({choice: {model: 0, space: 'backbone'}})")
    u, v = scan.uv[0][car]
    image = page.tab.locator(".images .image").first
    box = image.bounding_box()
    size = scan.images[0].shape
    image.click(position={"x": u * box["width"] / size[1], "y": v * box["height"] / size[0]})
    page.settle()
    assert page.js("lidistill.state().seeds[0].kind") == "pixel"
    assert cars_against_road(page.numbers("lidistill.heat()"), scan.labels) > 0.999


@pytest.mark.parametrize("space", ["head", "teacher"])
def test_a_pixel_is_compared_by_its_own_feature_where_it_has_one(page, street, car, space):
    scan = street.scans[0]
    u, v = scan.uv[0][car] / scan.images[0].shape[1::-1]
    box = [float(u), float(v), float(u), float(v)]
    page.js("space => lidistill.set({choice: {model: 0, space}})", space)
    seed = {"kind": "pixel", "frame": 0, "view": 0, "box": box}
    page.js("seed => lidistill.set({mode: 'similarity', seeds: [seed]})", seed)
    heat = np.array(page.numbers("lidistill.heat()"))
    known = np.isfinite(heat)
    expected = (scan.labels != 255) if space == "head" else (scan.visible[0] == 1)
    assert (known == expected).mean() > (0.999 if space == "head" else 0.95)
    assert cars_against_road(heat[known], scan.labels[known]) > 0.9


def test_arrow_keys_move_the_seed_and_shift_adds_one(page, street, car):
    look_at(page, street.scans[0], car)
    page.click(car)
    before = page.js("lidistill.state().seeds[0].point")
    at = page.js("p => lidistill.pixelOf(p)", before)
    page.key("ArrowRight")
    (seed,) = page.js("lidistill.state().seeds")
    moved = page.js("p => lidistill.pixelOf(p)", seed["point"])
    assert moved["x"] > at["x"] + 1
    page.click(before, modifiers=["Shift"])
    assert [s["point"] for s in page.js("lidistill.state().seeds")] == [seed["point"], before]
    page.key("Backspace")
    assert page.js("lidistill.state().seeds") == []


def test_the_threshold_counts(page, street, car):
    page.js("point => lidistill.pick(point)", car)
    heat = np.array(page.numbers("lidistill.heat()"))
    for threshold in (0.9, 0.5):
        page.js("threshold => lidistill.set({threshold})", threshold)
        expected = f"{(heat >= np.float32(threshold)).sum()} of {len(heat)} points here"
        page.tab.wait_for_function(
            "text => document.querySelector('#counts').innerText.startsWith(text)", arg=expected
        )
        large = np.array(page.numbers("lidistill.colors()")).reshape(-1, 4)[:, 3] == 255
        assert large.sum() == (heat >= np.float32(threshold)).sum()


def test_two_models_stand_beside_each_other_under_one_camera(page, street, car):
    page.js("point => lidistill.pick(point)", car)
    page.js("lidistill.set({other: {model: 1, space: 'backbone'}})")
    first, second = (page.numbers(f"lidistill.heat({panel})") for panel in (0, 1))
    labels = street.scans[0].labels
    assert first != second
    assert min(cars_against_road(first, labels), cars_against_road(second, labels)) > 0.999
    names = page.tab.locator(".panel-names span").all_inner_texts()
    assert [name.split(":")[0] for name in names] == ["made up", "another"]
