"""Seeds from words and example images, of a server that has them, and of an export's own list.

The server is played by the browser: every address is answered from the files of an export.
"""

import base64
import json
from urllib.parse import urlsplit

import numpy as np
import pytest
from fakes.view_page import BUNDLE, PLACE, Scan, View, class_directions, payloads, write_folder

from browser.conftest import Page

HOME = "http://viewer.test/token/"
TOLD = '<script id="lidistill-data">lidistill_source="server";</script>'


def vector(of: int) -> list[int]:
    """What a text partner would say of a class: its direction."""
    return np.rint(127 * class_directions(2, 0)[of]).astype(int).tolist()


def view(**extra) -> View:
    generator = np.random.default_rng(0)
    xyz = generator.uniform((4, -6, -1.5), (20, 6, 2), size=(300, 3)).astype(np.float32)
    scan = Scan(xyz=xyz, labels=(xyz[:, 1] > 0).astype(np.uint8), columns={})
    return View(scans=[scan], class_names=("left", "right"), extra=extra)


@pytest.fixture
def served(browser):
    """A page of a server that takes queries, and what it was asked."""
    able = {"query": {"text": [0], "image": [0]}}
    data, _ = payloads(view(capabilities=able))
    asked = []

    def answer(route):
        name = urlsplit(route.request.url).path.removeprefix("/token/")
        if name == "query":
            asked.append(json.loads(route.request.post_data))
            route.fulfill(json={"vector": vector(1)})
        elif name in data:
            route.fulfill(body=data[name])
        else:
            page_text = BUNDLE.read_text("utf-8").replace(PLACE, TOLD)
            route.fulfill(body=page_text, content_type="text/html")

    page = Page(browser)
    page.context.route(f"{HOME}**", answer)
    yield page.open(HOME), asked
    page.close()


def is_right(page, scan) -> bool:
    heat = np.array(page.numbers("lidistill.heat()"))
    return heat[scan.labels == 1].min() > heat[scan.labels == 0].max()


def test_words_become_a_seed(served):
    page, asked = served
    field = page.tab.get_by_label("Seed from words")
    field.fill("<b>to the right</b>")
    field.press("Enter")
    page.tab.locator(".seeds li", has_text="<b>to the right</b>").wait_for()
    page.settle()
    assert asked == [{"format": 1, "model": 0, "text": "<b>to the right</b>"}]
    assert page.js("lidistill.state().choice.space") == "head"
    assert is_right(page, view().scans[0])


def test_an_example_image_becomes_a_seed(served, tmp_path):
    page, asked = served
    (tmp_path / "car.png").write_bytes(b"\x89PNG and so on")
    page.tab.get_by_label("Seed from an image").set_input_files(tmp_path / "car.png")
    page.tab.locator(".seeds li", has_text="car.png").wait_for()
    page.settle()
    assert base64.b64decode(asked[0]["image"]) == b"\x89PNG and so on"
    assert is_right(page, view().scans[0])


def test_an_export_brings_its_queries_along(new_page, tmp_path):
    plain = json.loads(payloads(view())[0]["manifest"])
    models = [
        model | {"queries": [{"name": "right", "vector": vector(1)}]} for model in plain["models"]
    ]
    page = new_page(write_folder(tmp_path, view(models=models)).as_uri())
    assert page.tab.get_by_label("Seed from words").count() == 0
    page.js("lidistill.set({choice: {model: 0, space: 'head'}})")
    page.tab.get_by_role("button", name="right", exact=True).click()
    page.settle()
    assert is_right(page, view().scans[0])
