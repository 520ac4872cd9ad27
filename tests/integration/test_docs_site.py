"""The docs as a site: what `make docs` cannot tell."""

import tomllib

from golden_cases import ROOT


def pages(entries):
    for entry in entries:
        for target in entry.values():
            yield from pages(target) if isinstance(target, list) else [target]


def test_the_sites_menu_names_every_page_once():
    site = tomllib.loads((ROOT / "zensical.toml").read_text(encoding="utf-8"))["project"]
    on_disk = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    named = list(pages(site["nav"]))
    assert sorted(named) == sorted(on_disk)
