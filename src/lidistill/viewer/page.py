"""The built page of the package, filled with where its data are."""

import base64
import gzip
import hashlib
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from lidistill.errors import FileFormatError

BUILT: Final = Path(__file__).parent / "page" / "index.html"
"""The page as Vite built it from viewer/web."""
_PLACE: Final = re.compile(r'<script id="lidistill-data">\s*</script>')
_SCRIPT: Final = re.compile(r"<script(?:\s[^>]*)?>(.*?)</script>", re.DOTALL | re.IGNORECASE)
_END: Final = "</body>"


def built_page() -> str:
    """The HTML of the page, everything in it.

    Raises:
        FileFormatError: If the package was installed without it.
    """
    if not BUILT.is_file():
        msg = (
            "this lidistill has no built page (lidistill/viewer/page/index.html); install a wheel, "
            "or build it: npm ci && npm run build in viewer/web."
        )
        raise FileFormatError(msg)
    return BUILT.read_text(encoding="utf-8")


def with_source(page: str, source: str) -> str:
    """The page, told where its data come from: ``server``, ``folder`` or ``inline``.

    Raises:
        FileFormatError: If the page has no place for it, or several.
    """
    if len(_PLACE.findall(page)) != 1:
        msg = (
            'the built page has not exactly one <script id="lidistill-data"></script>; build it '
            "again (npm run build in viewer/web)."
        )
        raise FileFormatError(msg)
    told = f'<script id="lidistill-data">lidistill_source="{source}";</script>'
    return _PLACE.sub(lambda _: told, page)


def with_inline_data(page: str, data: Iterable[tuple[str, bytes]]) -> Iterator[str]:
    """Pieces of a page that holds its data itself.

    Args:
        page: Told that they are ``inline``.
        data: Name and text of each part, as ``transport`` makes them.

    Raises:
        FileFormatError: If the page has no end.
    """
    before, end, after = page.rpartition(_END)
    if not end:
        msg = f"the built page has no {_END}; build it again (npm run build in viewer/web)."
        raise FileFormatError(msg)
    yield before
    for name, text in data:
        # Names are made here, of letters, digits, / and -; the text is base64.
        yield f'<script type="application/octet-stream" data-name="{name}">'
        yield text.decode("ascii")
        yield "</script>\n"
    yield end + after


def transport(content: bytes, *, packed: bool) -> bytes:
    """What a static page unpacks: base64 of the content, gzipped unless it is packed already."""
    # mtime=0: the same content gives the same file.
    return base64.b64encode(content if packed else gzip.compress(content, 6, mtime=0))


def script_hashes(page: str) -> tuple[str, ...]:
    """What a Content-Security-Policy names the scripts of a page by."""
    return tuple(
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in _SCRIPT.findall(page)
    )
