"""Screenshots of every mode of an exported page: those of the documentation, or of any other.

    python benchmarks/viewer_screenshots.py runs/demo/view.html docs/figures
    python benchmarks/viewer_screenshots.py look.html /tmp/shots --label pedestrian

Needs Debian's Chromium and the development group (Playwright).
"""

import argparse
import base64
import gzip
import io
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Page, sync_playwright

_MODES = ("pca", "pca-without-position", "intensity", "height", "range", "class")
_LEARNED = ("prediction", "error", "confidence", "cluster")
_LOOK = {"position": [-13, -6, 10.5], "target": [5, 0.5, -1.5]}  # metres, from behind the car
_FLAGS = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox")
# The point of a class that is nearest, in the middle of the picture, and seen by a camera.
_SEEN = """label => {
    const classes = lidistill.column("class"), x = lidistill.pixels();
    let best = 0, nearest = 1e9;
    for (let i = 0; i < x.length / 3; i++) {
        if (classes?.[i] !== label || x[3 * i + 2] >= nearest) continue;
        const inside = x[3 * i] > 60 && x[3 * i] < 660 && x[3 * i + 1] > 150 && x[3 * i + 1] < 500;
        if (!inside || x[3 * i + 2] < 0) continue;
        for (let view = 0; view < 6; view++) {
            if (lidistill.pointPixel(i, view)?.visible) [nearest, best] = [x[3 * i + 2], i];
        }
    }
    return best;
}"""
# Marks as a person would: the seed's point as the class, every 997th point of another as other.
_MARK = """async seed => {
    const classes = lidistill.column("class"), others = [];
    for (let i = 0; i < classes.length; i += 997) {
        if (!Number.isNaN(classes[i]) && classes[i] !== classes[seed]) others.push(i);
    }
    for (const [key, points] of [["m", [seed]], ["n", others]]) {
        const seeds = points.map(point => ({kind: "point", frame: 0, point}));
        await lidistill.set({seeds});
        document.dispatchEvent(new KeyboardEvent("keydown", {key}));
        await lidistill.settled();
    }
    await lidistill.set({seeds: []});
}"""


@dataclass(frozen=True)
class Camera:
    """Takes the pictures of one page."""

    tab: Page
    output: Path

    def show(self, **state: Any) -> None:
        """Change what the page shows, and wait for it."""
        self.tab.evaluate("state => lidistill.set(state)", state)
        self.tab.evaluate("lidistill.settled()")

    def take(self, name: str, *, width: int = 800) -> None:
        """Write one screenshot."""
        self.tab.wait_for_timeout(500)  # the last frame of the software renderer
        image = Image.open(io.BytesIO(self.tab.screenshot())).convert("RGB")
        size = (width, round(width * image.height / image.width))
        file = self.output / f"view-{name}.jpg"
        image.resize(size, Image.Resampling.LANCZOS).save(file, quality=78, optimize=True)
        print(file)

    def key(self, key: str) -> None:
        """Press a key on the scan."""
        self.tab.locator("main canvas").first.focus()
        self.tab.keyboard.press(key)


def similarity(camera: Camera, seed: int, space: dict[str, Any]) -> None:
    """The heat of one click, in both colourings, and two spaces side by side."""
    seeds = [{"kind": "point", "frame": 0, "point": seed}]
    camera.show(choice=space, seeds=seeds, mode="similarity")
    camera.take("similarity", width=1000)
    camera.show(palette="cividis", theme="light")
    camera.take("similarity-cividis")
    both = [space | {"space": name} for name in ("head", "teacher")]
    camera.show(palette="blue-red", theme="dark", choice=both[0], other=both[1])
    camera.take("two-models")
    camera.show(choice=space, other=None, seeds=[])


def modes(camera: Camera, seed: int, space: dict[str, Any], probe: dict[str, Any]) -> None:
    """Everything else that a page can show."""
    for name in _MODES:
        camera.show(mode=name)
        camera.take(name)
    camera.show(choice=probe)
    for name in _LEARNED:
        camera.show(mode=name)
        camera.take(name)
    camera.show(choice=space)
    if camera.tab.evaluate("lidistill.column('class') !== null"):
        camera.tab.locator("summary", has_text="Label by a few clicks").click()
        camera.tab.evaluate(_MARK, seed)
        camera.show(mode="probability")
        camera.take("probability")
    camera.show(mode="range", hidden=True)
    camera.key("w")
    camera.take("image")


def class_id(page: Path, name: str) -> int:
    """Number of a class on a page of one file."""
    found = re.search('data-name="manifest">([^<]*)<', page.read_text("utf-8"))
    if found is None:
        sys.exit(f"{page} is no page of one file; make it with --export NAME.html")
    manifest = json.loads(gzip.decompress(base64.b64decode(found[1])))
    return [one["name"] for one in manifest["classes"]].index(name)


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("page", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--label", default="car", help="class whose nearest point is clicked")
    parser.add_argument("--student", type=int, default=0, help="number of a distillation")
    parser.add_argument("--probe", type=int, default=1, help="number of a network with classes")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    space, probe = (
        {"model": number, "space": "backbone"} for number in (given.student, given.probe)
    )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_FLAGS)
        tab = browser.new_page(viewport={"width": 1280, "height": 720}, color_scheme="dark")
        tab.on("pageerror", lambda error: print(f"error on the page: {error}"))
        tab.goto(given.page.resolve().as_uri())
        tab.wait_for_function("window.lidistill !== undefined", timeout=60_000)
        tab.evaluate("lidistill.ready")
        tab.evaluate("look => lidistill.look(look)", _LOOK)
        camera = Camera(tab, given.output)
        seed = tab.evaluate(_SEEN, class_id(given.page, given.label))
        similarity(camera, seed, space)
        modes(camera, seed, space, probe)
        browser.close()


if __name__ == "__main__":
    main()
