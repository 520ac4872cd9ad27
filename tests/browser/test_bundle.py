"""The built page is what its sources give, in one file, with the licence of what it holds."""

import hashlib
import os
import shutil
import subprocess

import pytest
from fakes.view_page import BUNDLE, PLACE

SOURCES = ("index.html", "package-lock.json", "tsconfig.json", "vite.config.ts", "src")
REQUIRED = os.environ.get("LIDISTILL_BROWSER_TESTS") == "required"


@pytest.fixture(scope="module")
def packages(web):
    """Where the page's packages are installed, as the lock file says."""
    if shutil.which("npm") is None or not (web / "node_modules" / "vite").is_dir():
        reason = "the page's packages are not installed: `npm ci` in viewer/web (make page does it)"
        (pytest.fail if REQUIRED else pytest.skip)(reason)
    return web


def source_hash(web) -> str:
    files = [path for name in SOURCES for path in (web / name, *(web / name).rglob("*"))]
    names = sorted(path.relative_to(web).as_posix() for path in files if path.is_file())
    digest = hashlib.sha256()
    for name in names:
        digest.update(f"{name}\0".encode() + (web / name).read_bytes() + b"\0")
    return digest.hexdigest()


def test_the_page_says_which_sources_it_was_built_from(web):
    assert f"sources {source_hash(web)}." in BUNDLE.read_text("utf-8"), "run `make page`"


def test_the_page_is_one_file_with_its_licences_that_asks_nobody():
    page = BUNDLE.read_text("utf-8")
    assert page.count(PLACE) == 1
    assert page.index(PLACE) < page.index('<script type="module">')
    assert page.index("<meta charset") < 1000
    assert "Copyright © 2010-" in page
    assert "three.js authors" in page
    for outside in ('src="http', 'href="http', "@import", 'url("http', "url(http", "eval("):
        assert outside not in page
    assert len(page) < 700_000


def test_the_sources_give_this_page_again(packages, tmp_path):
    environment = os.environ | {"LIDISTILL_PAGE": str(tmp_path)}
    command = ["npm", "run", "--silent", "build"]
    subprocess.run(command, cwd=packages, env=environment, check=True, capture_output=True)
    assert (tmp_path / "index.html").read_bytes() == BUNDLE.read_bytes(), "run `make page`"


@pytest.mark.parametrize("command", ["check", "test"])
def test_the_page_passes_its_own_checks(packages, command):
    done = subprocess.run(
        ["npm", "run", "--silent", command],
        cwd=packages,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
