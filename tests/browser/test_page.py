"""The page as a whole: from a disk, from a link, by keyboard, with hostile names."""

import dataclasses
import json
from urllib.parse import quote

import numpy as np
import pytest
from fakes.view_page import Scan, View, write_file, write_folder

from browser.conftest import Page
from lidistill.viewer.notebook import Page as Notebook

HOSTILE = '<img src=x onerror="window.broken=1"><script>window.broken=1</script>\u202e"\'`</script>'
AXE = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa")


def small_view(**changed) -> View:
    """Two classes side by side and one image, quick to open."""
    generator = np.random.default_rng(0)
    xyz = generator.uniform((4, -6, -1.5), (20, 6, 2), size=(400, 3)).astype(np.float32)
    labels = (xyz[:, 1] > 0).astype(np.uint8)
    uv = np.stack([160 - 10 * xyz[:, 1], 60 - 10 * xyz[:, 2]], axis=1)
    scan = Scan(
        xyz=xyz, labels=labels, columns={"intensity": generator.random(400)},
        images=[np.full((120, 320, 3), 90, np.uint8)], uv=[uv], visible=[np.ones(400, np.uint8)],
    )  # fmt: skip
    second = dataclasses.replace(scan, name="1", xyz=xyz + np.float32(0.5))
    return View(scans=[scan, second], class_names=("left", "right"), **changed)


@pytest.fixture(scope="module")
def small_page(tmp_path_factory):
    return write_folder(tmp_path_factory.mktemp("small"), small_view()).as_uri()


def test_one_file_does_what_the_folder_does(new_page, small_page, tmp_path):
    file = write_file(tmp_path / "a page #1.html", small_view()).as_uri()
    heats = []
    for address in (small_page, file):
        page = new_page(address)
        page.js("lidistill.pick(5)")
        page.js("lidistill.setFrame(1)")
        heats.append(page.numbers("lidistill.heat()"))
    assert heats[0] == heats[1]


def test_a_page_inside_a_notebook_works_within_its_walls(browser, tmp_path):
    shown = Notebook(write_file(tmp_path / "page.html", small_view()).read_text("utf-8"))
    outer = tmp_path / "notebook.html"
    outer.write_text(f"<!doctype html><title>notebook</title>{shown._repr_html_()}", "utf-8")
    page = Page(browser)
    page.tab.goto(outer.as_uri())
    (frame,) = page.tab.main_frame.child_frames
    frame.wait_for_function("window.lidistill !== undefined")
    frame.evaluate("lidistill.ready.then(() => lidistill.pick(5))")
    page.tab.wait_for_timeout(500)  # the time after which a page of its own writes its address
    assert frame.evaluate("lidistill.heat().length") == 400
    page.close()


def test_a_link_restores_the_view(new_page, small_page):
    page = new_page(small_page)
    page.js("lidistill.pick(5)")
    page.js("lidistill.pick(9, true)")
    page.js(
        "lidistill.set({frame: 1, threshold: 0.4, palette: 'cividis', theme: 'light',"
        " pointSize: 5, other: {model: 0, space: 'head'}})"
    )
    page.tab.locator("main canvas").focus()
    for key in ("Control+ArrowLeft", "Control+Shift+ArrowUp", "+"):
        page.key(key)
    state = page.js("lidistill.state()")
    page.tab.wait_for_function("location.hash.length > 2")
    page.tab.wait_for_timeout(400)  # the address is written once nothing has changed for a moment
    again = new_page(page.tab.url)
    assert again.js("lidistill.state()") == state
    assert again.numbers("lidistill.heat()") == page.numbers("lidistill.heat()")
    seen, before = (p.numbers("lidistill.pixels()") for p in (again, page))
    assert np.abs(np.subtract(seen, before)).max() < 0.5


@pytest.mark.parametrize(
    "link",
    ["%", "[1]", quote('{"frame": 99, "mode": "constructor", "seeds": [{"kind": "point"}]}'),
     quote(json.dumps({"column": HOSTILE, "theme": HOSTILE, "camera": {"position": HOSTILE}}))],
)  # fmt: skip
def test_a_broken_link_opens_the_page_as_usual(new_page, small_page, link):
    page = new_page(f"{small_page}#{link}")
    assert page.js("lidistill.state().frame") == 0
    assert page.js("lidistill.state().mode") == "pca"


def test_names_of_data_are_text_and_nothing_else(new_page, tmp_path):
    scans = [
        dataclasses.replace(scan, name=HOSTILE, drive=HOSTILE, columns={"odd": scan.labels * 1.0})
        for scan in small_view().scans
    ]
    finding = {"severity": HOSTILE, "text": HOSTILE, "frame": 0, "view": HOSTILE, "drive": HOSTILE}
    view = dataclasses.replace(
        small_view(), scans=scans, class_names=(HOSTILE, "__proto__"), title=HOSTILE,
        models=(HOSTILE, "constructor"), findings=[finding],
    )  # fmt: skip
    page = new_page(write_folder(tmp_path, view).as_uri())
    for key in "scdekoPb":
        page.key(key)
    page.js("lidistill.pick(3)")
    page.key("c")
    page.tab.locator(".findings button").click()
    page.settle()
    page.key("?")
    assert page.js("window.broken === undefined")
    assert page.tab.locator("h1").inner_text().startswith("<img src=x")
    assert page.tab.locator("img").count() == 0
    assert page.tab.locator(".legend .name").first.inner_text().startswith(("<img", "__proto__"))


def test_data_that_are_missing_or_broken_are_said_in_words(browser, small_page, tmp_path):
    page_file = write_folder(tmp_path, small_view())
    (tmp_path / "data/frame/1.js").unlink()
    page = Page(browser).open(page_file.as_uri())
    page.js("lidistill.setFrame(1)")
    assert "data/frame/1.js is missing" in page.tab.locator(".message").inner_text()
    page.js("lidistill.setFrame(0)")
    assert page.js("lidistill.column('class').length") == 400
    page.context.close()
    (tmp_path / "data/manifest.js").write_text('lidistill_data("manifest","AAAA");')
    broken = Page(browser)
    broken.tab.goto(page_file.as_uri())
    broken.tab.get_by_role("alert").wait_for()
    assert "cannot show its data" in broken.tab.get_by_role("alert").inner_text()
    broken.context.close()


def test_the_keyboard_alone_is_enough(new_page, small_page):
    page = new_page(small_page)
    reached = []
    for _ in range(60):
        page.tab.keyboard.press("Tab")
        reached.append(
            page.js("document.activeElement.tagName + (document.activeElement.title || '')")
        )
    assert any(name.startswith("CANVAS") for name in reached)
    assert any("Enlarge" in name for name in reached)
    page.tab.locator("main canvas").focus()
    page.key("Enter")
    (seed,) = page.js("lidistill.state().seeds")
    page.key("Shift+ArrowLeft")
    assert page.js("lidistill.state().seeds[0].point") != seed["point"]
    page.key("w")
    dialog = page.tab.locator("dialog.enlarged")
    assert dialog.is_visible()
    page.key("ArrowRight")
    page.key("Enter")
    assert page.js("lidistill.state().seeds[0].kind") == "pixel"
    page.key("Escape")
    assert not dialog.is_visible()
    page.key("?")
    assert page.tab.locator("dialog.help").is_visible()
    page.tab.get_by_label("Keys of one character work").uncheck()
    page.key("Escape")
    page.tab.locator("main canvas").focus()
    page.key("h")
    assert page.js("lidistill.state().mode") == "similarity"


def test_time_runs_and_stops(new_page, small_page):
    page = new_page(small_page)
    page.tab.locator("main canvas").focus()
    page.key(".")
    assert page.js("lidistill.state().frame") == 1
    page.key(".")
    assert page.js("lidistill.state().frame") == 0
    page.key("Space")
    page.tab.wait_for_function("lidistill.state().frame === 1")
    page.key("Space")
    assert page.tab.get_by_role("button", name="Play").get_attribute("aria-pressed") == "false"


def test_hovering_shows_the_point_here_and_in_the_image(new_page, small_page):
    page = new_page(small_page)
    pixels = np.array(page.numbers("lidistill.pixels()")).reshape(-1, 3)
    point = int(np.abs(pixels[:, :2] - [200, 300]).sum(axis=1).argmin())
    page.tab.locator("main canvas").hover(position={"x": pixels[point, 0], "y": pixels[point, 1]})
    page.tab.locator("#hover").wait_for()
    facts = page.tab.locator("#hover").inner_text().split("\n")
    found = int(facts[facts.index("index") + 1])
    scan = small_view().scans[0]
    assert [float(x) for x in facts[facts.index("x y z (m)") + 1].split()] == pytest.approx(
        scan.xyz[found], abs=0.01
    )
    assert facts[facts.index("class") + 1] == ("left", "right")[scan.labels[found]]
    cross = page.js("document.querySelector('.images .cross.down').style.left")
    assert float(cross.rstrip("%")) == pytest.approx(scan.uv[0][found][0] / 3.2, abs=0.2)


def test_pictures_and_a_video_can_be_taken(new_page, small_page):
    page = new_page(small_page)
    page.tab.locator("summary", has_text="Display").click()
    with page.tab.expect_download() as shot:
        page.tab.get_by_role("button", name="Screenshot").click()
    assert shot.value.suggested_filename == "0-pca.png"
    before = page.js("lidistill.state().camera")
    video = "lidistill.turntable(0.5).then(b => b.slice(0, 4).arrayBuffer())"
    start = page.js(f"{video}.then(b => Array.from(new Uint8Array(b)))")
    assert start == [0x1A, 0x45, 0xDF, 0xA3]  # EBML, as WebM begins
    after = page.js("lidistill.state().camera")
    if before is not None:
        assert after["position"] == pytest.approx(before["position"], abs=0.01)


def test_a_finding_leads_to_its_frame_and_image(new_page, tmp_path):
    finding = {"severity": "warning", "text": "an extrinsic looks wrong", "frame": 1,
               "view": "camera 0", "drive": None}  # fmt: skip
    page = new_page(write_folder(tmp_path, small_view(findings=[finding])).as_uri())
    page.tab.get_by_role("button", name="an extrinsic looks wrong").click()
    page.tab.locator("dialog.enlarged h2", has_text="camera 0").wait_for()
    assert page.js("lidistill.state().frame") == 1


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_axe_finds_nothing(new_page, small_page, web, theme):
    script = web / "node_modules" / "axe-core" / "axe.min.js"
    if not script.is_file():
        pytest.skip("axe-core is not installed: `npm ci` in viewer/web (make browser does it)")
    page = new_page(small_page)
    page.js("theme => lidistill.set({theme})", theme)
    page.js("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.js("lidistill.pick(5)")
    page.tab.evaluate(script.read_text("utf-8"))
    told = "v => v.id + ': ' + v.nodes.map(n => n.html).join(' ').slice(0, 400)"
    look = f"tags => axe.run(document, {{runOnly: tags}}).then(r => r.violations.map({told}))"
    assert page.js(look, list(AXE)) == []
    for key in ("w", "?"):
        page.tab.locator("main canvas").focus()
        page.key(key)
        assert page.js(look, list(AXE)) == []
        page.key("Escape")


def test_memory_stays_flat_over_a_hundred_clicks(new_page, small_page):
    page = new_page(small_page, size={"width": 950, "height": 250})
    devtools = page.context.new_cdp_session(page.tab)

    def used():
        devtools.send("HeapProfiler.collectGarbage")
        return devtools.send("Runtime.getHeapUsage")["usedSize"]

    clicks = """async count => {
        for (let i = 0; i < count; i++) {
            await lidistill.pick(i);
            if (i % 10 === 0) await lidistill.setFrame(i / 10 % 2);
        }
    }"""
    whole = """async frame => {
        await lidistill.setFrame(frame);
        // Images come after the points, where the panel is in sight: wait until nothing comes.
        for (let before = -1; before !== lidistill.bytes(); ) {
            before = lidistill.bytes();
            await new Promise(resolve => setTimeout(resolve, 1000));
        }
    }"""
    page.js(clicks, 30)
    for frame in (1, 0):
        page.js(whole, frame)
    before, kept = used(), page.js("lidistill.bytes()")
    page.js(clicks, 100)
    assert page.js("lidistill.bytes()") == kept
    assert used() < before + 1_000_000


def test_nothing_is_drawn_while_nothing_changes(new_page, small_page):
    page = new_page(small_page)
    page.tab.wait_for_timeout(500)
    before = page.js("lidistill.drawn().count")
    page.tab.wait_for_timeout(500)
    assert page.js("lidistill.drawn().count") == before
