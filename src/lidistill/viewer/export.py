"""Pages that open without a server: a folder, or a single file."""

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from lidistill.atomic_write import replacing, side_of
from lidistill.errors import ConfigError, LidistillError
from lidistill.reading.names import listed
from lidistill.viewer.content import Content
from lidistill.viewer.page import built_page, transport, with_inline_data, with_source

logger = logging.getLogger(__name__)
_MARK = "lidistill-page"
"""File in an exported folder that says that it may be replaced."""


def export(
    content: Content,
    target: Path,
    *,
    overwrite: bool = False,
    on_part: Callable[[], None] = lambda: None,
) -> Path:
    """Write a static page.

    Args:
        content: What it shows.
        target: ``NAME.html`` for one file with everything in it, else a folder, new or empty.
        overwrite: Replace a page that is there.
        on_part: Called after each part, for a progress bar.

    Returns:
        The file to open.

    Raises:
        ConfigError: If something else lies there.
    """
    if _is_page_name(target):
        if target.exists() and not overwrite:
            raise _taken(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        page = with_source(built_page(), "inline")
        with replacing(target) as side, side.open("w", encoding="utf-8") as file:
            file.writelines(with_inline_data(page, _parts(content, on_part)))
        return target
    may_go = _is_empty_folder(target) or (overwrite and (target / _MARK).is_file())
    if target.exists() and not may_go:
        raise _taken(target)
    if target.exists():
        _check_own(target)
    return _export_folder(content, target, on_part)


def single_page(content: Content) -> str:
    """The HTML of a page that holds everything."""
    page = with_source(built_page(), "inline")
    return "".join(with_inline_data(page, _parts(content, lambda: None)))


def _export_folder(content: Content, target: Path, on_part: Callable[[], None]) -> Path:
    """A folder, written beside its place; an earlier page there goes when this one is whole."""
    page = with_source(built_page(), "folder")
    target.parent.mkdir(parents=True, exist_ok=True)
    side = side_of(target)
    try:
        side.mkdir()
        (side / _MARK).write_text("written by lidistill view --export\n", encoding="utf-8")
        (side / "index.html").write_text(page, encoding="utf-8")
        for name, text in _parts(content, on_part):
            file = side / "data" / f"{name}.js"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(b'lidistill_data("%s","%s");\n' % (name.encode(), text))
        if target.exists():
            shutil.rmtree(target)
        side.rename(target)
    finally:
        shutil.rmtree(side, ignore_errors=True)
    return target / "index.html"


def _parts(content: Content, on_part: Callable[[], None]) -> Iterator[tuple[str, bytes]]:
    for name in content.names():
        try:
            block = content.get(name)
        except LidistillError as error:
            if not name.startswith("image/"):
                raise
            logger.warning("left out: %s", error)
            continue
        assert block is not None  # noqa: S101  what names() gives is there
        yield name, transport(block.content, packed=block.is_packed)
        on_part()


def _check_own(target: Path) -> None:
    """See to it that replacing a page deletes nothing else.

    Raises:
        ConfigError: If there is something in its folder that no export writes.
    """
    own = {_MARK, "index.html", "data"}
    if others := sorted(path.name for path in target.iterdir() if path.name not in own):
        msg = (
            f"{target} holds {listed(others, limit=5)} beside its page, which --overwrite would "
            "delete; move them away, or choose another place."
        )
        raise ConfigError(msg)


def _is_empty_folder(target: Path) -> bool:
    return target.is_dir() and not any(target.iterdir())


def _taken(target: Path) -> ConfigError:
    replaceable = (target / _MARK).is_file() if target.is_dir() else _is_page_name(target)
    if replaceable:
        msg = f"{target} is there already; choose another place, or give --overwrite."
    else:
        msg = f"{target} is there already and no exported page; choose another place for it."
    return ConfigError(msg)


def _is_page_name(target: Path) -> bool:
    """Whether a path names a page in one file; any other names a folder."""
    return target.suffix.lower() in {".html", ".htm"}
