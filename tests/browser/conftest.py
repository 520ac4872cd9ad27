"""A browser, and pages of a small simulated street with made-up features."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.street_view import scans_of
from fakes.view_page import View, write_folder

from lidistill.datasets.kitti.semantic import SemanticKittiConfig
from lidistill.sim import SimulationConfig, simulate

CHROMIUM = os.environ.get("LIDISTILL_CHROMIUM") or shutil.which("chromium")
REQUIRED = os.environ.get("LIDISTILL_BROWSER_TESTS") == "required"
"""Set by CI, so that a missing browser is an error there."""
FLAGS = ["--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox"]
SIZE = {"width": 1000, "height": 600}


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    """Chromium for the tests of a file.

    Not for all: a data worker that another test forks meanwhile and leaves behind would keep the
    pipe to Playwright's driver open, which then waits for ever for its end.
    """
    if CHROMIUM is None:
        reason = "Chromium is not here: apt-get install chromium, or LIDISTILL_CHROMIUM=its path"
        (pytest.fail if REQUIRED else pytest.skip)(reason)
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as engine:
        opened = engine.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield opened
        opened.close()


class Page:
    """A page of the browser that has shown its first scan, and what went wrong in it."""

    def __init__(self, browser, size=SIZE):
        self.context = browser.new_context(viewport=size, reduced_motion="reduce")
        self.tab = self.context.new_page()
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.home = "file:"
        self.tab.on("pageerror", lambda error: self.errors.append(str(error)))
        self.tab.on("console", self._note_error)
        self.tab.on("request", lambda request: self.requests.append(request.url))

    def _note_error(self, message):
        if message.type == "error":
            self.errors.append(message.text)

    def open(self, address: str):
        self.home = "file:" if address.startswith("file:") else address
        self.tab.goto(address)
        alert = self.tab.get_by_role("alert")
        begun = "window.lidistill !== undefined || document.querySelector('[role=alert]') !== null"
        while not self.js(
            begun
        ):  # wait_for_function evaluates in the page, whose policy forbids it
            self.tab.wait_for_timeout(20)
        assert alert.count() == 0, alert.inner_text()
        self.js("lidistill.ready")
        return self

    def js(self, code: str, argument=None):
        return self.tab.evaluate(code, argument)

    def numbers(self, code: str) -> list[float]:
        """A typed array of the page."""
        return self.js(f"Array.from({code})")

    def settle(self):
        self.js("lidistill.settled()")

    def key(self, name: str):
        self.tab.keyboard.press(name)
        self.settle()

    def click(self, point: int, **how):
        """Clicks where the point is drawn; the camera must see it."""
        at = self.js("p => lidistill.pixelOf(p)", point)
        assert at["depth"] > 0
        self.tab.locator("main canvas").click(position={"x": at["x"], "y": at["y"]}, **how)
        self.settle()

    def close(self):
        """No page may end with an error, or ask anybody but its own place for anything."""
        self.context.close()
        assert self.errors == []
        assert [r for r in self.requests if not r.startswith((self.home, "data:", "blob:"))] == []


@pytest.fixture
def new_page(browser):
    """Opens pages of its own for one test."""
    pages: list[Page] = []

    def make(address: str, size=SIZE) -> Page:
        pages.append(Page(browser, size))
        return pages[-1].open(address)

    yield make
    for page in pages:
        page.close()


@pytest.fixture(scope="session")
def street(tmp_path_factory) -> View:
    """Three frames through a simulated street; its features are made from the true labels."""
    root = tmp_path_factory.mktemp("street") / "drive"
    settings = {"train_drives": 0, "val_drives": 1, "frames": 3, "column_step": 6, "seed": 7}
    simulate(root, SimulationConfig(format="semantic_kitti", image_size_hw=(120, 396), **settings))
    drive = SemanticKittiConfig(root=root, split="val", labels="required", missing="skip").build()
    scans = scans_of([drive[i] for i in range(3)], full_scale=1.0)
    names = drive.label_map.class_names
    return View(scans=scans, class_names=names, title="street", models=("made up", "another"))


@pytest.fixture(scope="session")
def street_page(street, tmp_path_factory) -> str:
    return write_folder(tmp_path_factory.mktemp("page"), street).as_uri()


@pytest.fixture(scope="module")
def shared_page(browser, street_page):
    page = Page(browser).open(street_page)
    page.js("window.at_start = lidistill.state(), 0")
    yield page
    page.close()


@pytest.fixture
def page(shared_page) -> Page:
    """The street as it opens; one page serves the tests of a file one after the other."""
    shared_page.js("lidistill.look(null), lidistill.set(at_start)")
    return shared_page


@pytest.fixture(scope="session")
def web() -> Path:
    """Where the page's sources are: in a checkout only."""
    folder = Path(__file__).parents[2] / "viewer" / "web"
    if not folder.is_dir():
        pytest.skip("the page's sources are in a checkout only")
    return folder
