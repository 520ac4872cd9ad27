import base64
import gzip
import json
import re

import pytest
from fakes.page import STAND_IN

from lidistill.errors import ConfigError, FileFormatError
from lidistill.viewer.export import export
from lidistill.viewer.page import with_inline_data, with_source


def opened(text):
    return gzip.decompress(base64.b64decode(text))


def test_a_folder_holds_what_the_server_hands_out(content, tmp_path):
    target = tmp_path / "page"
    assert export(content, target) == target / "index.html"
    assert 'lidistill_source="folder";' in (target / "index.html").read_text()
    files = {p.relative_to(target).as_posix() for p in target.rglob("*.js")}
    assert files == {f"data/{name}.js" for name in content.names()}
    for name in content.names():
        script = (target / "data" / f"{name}.js").read_text()
        found = re.fullmatch(r'lidistill_data\("([^"]*)","([A-Za-z0-9+/=]*)"\);\n', script)
        assert found[1] == name
        block = content.get(name)
        if name == "manifest":
            assert json.loads(opened(found[2]))["title"] == "<b>tiny</b>"
        elif block.media_type == "image/jpeg":
            assert base64.b64decode(found[2]) == block.content
        else:
            assert opened(found[2]) == block.content


def test_a_single_file_holds_everything(content, tmp_path):
    file = export(content, tmp_path / "a" / "page.html")
    text = file.read_text()
    parts = dict(
        re.findall(
            r'<script type="application/octet-stream" data-name="([^"]*)">([^<]*)</script>', text
        )
    )
    assert list(parts) == list(content.names())
    assert opened(parts["frame/0"]) == content.get("frame/0").content
    assert text.index('lidistill_source="inline"') < text.index("data-name")
    assert text.endswith("</script>\n</body></html>\n")
    assert "<b>tiny" not in text
    assert [p.name for p in file.parent.iterdir()] == ["page.html"]


def test_what_is_there_stays(content, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    (tmp_path / "page.html").write_text("x")
    for target, overwrite in [("mine", True), ("mine", False), ("page.html", False)]:
        with pytest.raises(ConfigError, match="there already"):
            export(content, tmp_path / target, overwrite=overwrite)
    assert (tmp_path / "mine" / "thesis.tex").read_text() == "x"
    export(content, tmp_path / "page.html", overwrite=True)
    export(content, tmp_path / "new")
    with pytest.raises(ConfigError, match="--overwrite"):
        export(content, tmp_path / "new")
    (tmp_path / "new" / "index.html").write_text("old")
    (tmp_path / "new" / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds notes\.txt beside its page, which --overwrite"):
        export(content, tmp_path / "new", overwrite=True)
    (tmp_path / "new" / "notes.txt").unlink()
    export(content, tmp_path / "new", overwrite=True)
    assert "folder" in (tmp_path / "new" / "index.html").read_text()


def test_an_empty_folder_is_free_and_only_pages_are_said_to_be_replaceable(content, tmp_path):
    (tmp_path / "empty").mkdir()
    export(content, tmp_path / "empty")
    assert (tmp_path / "empty" / "index.html").is_file()
    (tmp_path / "notes").write_text("x")
    with pytest.raises(ConfigError, match="no exported page; choose another place"):
        export(content, tmp_path / "notes")


def test_an_export_that_fails_leaves_nothing(content, tmp_path, monkeypatch):
    monkeypatch.setattr(content, "get", {}.__getitem__)
    for target in ("page", "page.html"):
        with pytest.raises(KeyError):
            export(content, tmp_path / target)
    assert not list(tmp_path.iterdir())


def test_a_package_without_a_page_says_how_to_get_one(content, tmp_path, page):
    page.write_text(STAND_IN.replace("lidistill-data", "other"))
    with pytest.raises(FileFormatError, match="npm run build"):
        export(content, tmp_path / "page.html")
    page.unlink()
    with pytest.raises(FileFormatError, match="install a wheel"):
        export(content, tmp_path / "page.html")


def test_data_stand_at_the_end_of_the_page():
    text = "".join(with_inline_data(with_source(STAND_IN, "inline"), [("a/0", b"QQ==")]))
    assert text.endswith('data-name="a/0">QQ==</script>\n</body></html>\n')
    with pytest.raises(FileFormatError, match="no </body>"):
        "".join(with_inline_data("<html>", []))
