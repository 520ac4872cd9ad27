"""`lidistill view` as a user meets it: its server, a network, and what is saved from the page.

The network is tiny and hardly trained: what counts is that the page shows its cosines.
"""

import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import yaml
from fakes.runs import pretrain_values, write_world

import lidistill
from browser.conftest import Page
from lidistill.datasets.pandaset.dataset import PandaSetConfig
from lidistill.distill.run import pretrain
from lidistill.recipes import apply_overrides


@pytest.fixture(scope="module")
def world(browser, tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    write_world(folder)
    pretrain(apply_overrides(pretrain_values(folder), ("train.steps=2",), source="tiny"))
    return folder


@pytest.fixture(scope="module")
def address(world):
    """Of a server that runs as long as the tests of this file."""
    words = ["view", world / "pretrain", world / "set", "--output", world / "saved"]
    command = [sys.executable, "-m", "lidistill", *map(str, words)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        found = None
        while found is None:
            line = server.stdout.readline()
            assert line, "the server ended before it said where it is"
            found = re.search(r"http://127\.0\.0\.1:\d+/\S+/", line)
        yield found[0]
        server.send_signal(signal.SIGINT)


def test_the_heat_is_the_networks_own_cosine(new_page, address, world):
    page = new_page(address)
    page.js("lidistill.pick(10)")
    heat = np.array(page.numbers("lidistill.heat()"))
    drive = PandaSetConfig(root=world / "set", split="all").build()
    frame = drive[0]
    model = lidistill.load(world / "pretrain", "cpu")
    features = np.asarray(model.features(frame.points, frame.intensity))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    assert len(heat) == len(features)
    known = np.isfinite(heat)
    assert known.mean() > 0.9
    assert np.abs(heat[known] - (features @ features[10])[known]).max() < 0.03


def test_labels_and_heads_are_saved_by_the_server(new_page, address, world):
    page = new_page(address)
    page.tab.locator("summary", has_text="Label by a few clicks").click()
    for point, key in ((10, "m"), (20, "m"), (30, "n")):
        page.js("p => lidistill.pick(p)", point)
        page.key(key)
    page.tab.get_by_role("textbox", name="Name of the class").fill("<b>bus</b>")
    page.tab.keyboard.press("Tab")
    for what in ("Save labels", "Save head"):
        page.tab.get_by_role("button", name=what).click()
        page.tab.locator(".message", has_text="Saved").wait_for()
        page.js("document.querySelector('.message').textContent = ''")
    (labels,) = (world / "saved" / "labels").glob("*.npy")
    saved = np.load(labels)
    names = yaml.safe_load((world / "saved" / "labels" / "labels.yaml").read_text())
    assert "<b>bus</b>" in str(names)
    assert (saved != 255).sum() == 3
    assert saved[10] == saved[20] != saved[30]
    (head,) = (world / "saved" / "heads").glob("*.head.json")
    assert "<b>bus</b>" in head.read_text()


def test_without_the_token_there_is_no_page(browser, address):
    page = Page(browser)
    for wrong in (address.rsplit("/", 2)[0] + "/", address[:-3] + "xx/"):
        answer = page.tab.goto(wrong)
        assert answer.status in (403, 404)
        assert page.js("window.lidistill === undefined")
    page.context.close()


def test_a_foreign_page_gets_nothing(browser, address, tmp_path):
    page = Page(browser)
    foreign = tmp_path / "foreign.html"
    foreign.write_text("<title>elsewhere</title>")
    page.tab.goto(foreign.as_uri())
    ask = "a => fetch(a + 'manifest').then(r => r.text()).catch(e => 'refused: ' + e)"
    assert page.js(ask, address).startswith("refused")
    post = """a => fetch(a + 'labels', {method: 'POST', mode: 'no-cors', body: '{}'})
        .then(r => r.type).catch(e => 'refused')"""
    page.js(post, address)
    image = """a => new Promise(done => {
        const image = new Image();
        image.onload = () => done("shown");
        image.onerror = () => done("refused");
        image.src = a + "image/0/0";
    })"""
    assert page.js(image, address) == "refused"
    page.context.close()
