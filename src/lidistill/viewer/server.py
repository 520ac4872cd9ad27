"""The small server behind ``lidistill view``: for this machine's own browser, and nobody else.

It listens on 127.0.0.1. Every address holds a random token; requests that name another host, come
from another site, lack the token, say too much or say it too slowly are refused. Nothing that a
request says becomes a path to read: names are looked up among those of the content.
"""

import asyncio
import hmac
import json
import logging
import re
import secrets
from collections.abc import Callable
from typing import Any, Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from lidistill.errors import LidistillError
from lidistill.viewer.asking import Asker
from lidistill.viewer.content import Content
from lidistill.viewer.page import script_hashes
from lidistill.viewer.saving import Saver

logger = logging.getLogger(__name__)
MAX_BODY: Final = 8 << 20  # bytes
PATIENCE: Final = 10.0  # seconds that a client has for a request
_NAME: Final = re.compile(r"[a-z0-9]+(?:/[a-z0-9]+){0,3}")
_FIXED: Final = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


def new_token() -> str:
    """A token that nobody guesses."""
    return secrets.token_urlsafe(24)


class Guard:
    """Lets requests through that come from the page itself, or from who knows its address.

    Args:
        app: What they are let through to.
        token: First part of every path.
        hosts: What the header Host may say.
    """

    def __init__(self, app: ASGIApp, token: str, hosts: frozenset[str]) -> None:
        self._app, self._token, self._hosts = app, token.encode(), hosts
        self._origins = frozenset(f"http://{host}" for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return  # no websockets, no lifespan
        response = self._refusal(scope)
        if response is not None:
            await response(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers: dict[bytes, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name, []).append(value.decode("latin-1").lower())
        if len(headers.get(b"host", [])) != 1 or headers[b"host"][0] not in self._hosts:
            return _error(421, "this server answers to 127.0.0.1 and localhost only")
        if any(origin not in self._origins for origin in headers.get(b"origin", [])):
            return _error(403, "requests of other sites are refused")
        if any(s not in {"same-origin", "none"} for s in headers.get(b"sec-fetch-site", [])):
            return _error(403, "requests of other sites are refused")
        first = scope["path"].encode("utf-8", "surrogateescape").split(b"/")[1:2]
        if not hmac.compare_digest(first[0] if first else b"", self._token):
            return _error(404, "nothing here; open the address that lidistill view has printed")
        return None


def application(
    content: Content, saver: Saver, page: str, *, token: str, hosts: frozenset[str]
) -> ASGIApp:
    """The server as an ASGI application.

    Args:
        content: What the page asks for.
        saver: Where it saves.
        page: HTML, told that its data come from a server.
        token: See ``new_token``.
        hosts: ``127.0.0.1:PORT`` and ``localhost:PORT``.
    """
    policy = _policy(page)

    async def index(request: Request) -> Response:
        del request
        headers = _FIXED | {"Content-Security-Policy": policy}
        return Response(page, media_type="text/html; charset=utf-8", headers=headers)

    async def data(request: Request) -> Response:
        name = request.path_params["name"]
        if not _NAME.fullmatch(name):
            return _error(404, "there is no such part of the page")
        try:
            block = await run_in_threadpool(content.get, name)
        except LidistillError as error:
            return _error(422, str(error))
        if block is None:
            return _error(404, "there is no such part of the page")
        return Response(block.content, media_type=block.media_type, headers=_FIXED)

    root = f"/{token}"
    routes = [
        Route(f"{root}/", index, methods=["GET"]),
        Route(f"{root}/labels", _posted(saver.save_labels), methods=["POST"]),
        Route(f"{root}/head", _posted(saver.save_head), methods=["POST"]),
        Route(f"{root}/query", _posted(Asker(content).ask), methods=["POST"]),
        Route(f"{root}/{{name:path}}", data, methods=["GET"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(Guard, token=token, hosts=hosts)])


class _RefusedError(Exception):
    """A body that is not taken, with the status that says so."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def _posted(answer: Callable[[Any], dict[str, Any]]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            values = await _json_body(request)
            return JSONResponse(await run_in_threadpool(answer, values), headers=_FIXED)
        except _RefusedError as error:
            return _error(error.status, str(error))
        except LidistillError as error:
            return _error(422, str(error))
        except OSError as error:
            return _error(507, f"cannot be saved: {error.strerror}")

    return endpoint


async def _json_body(request: Request) -> Any:
    if request.headers.get("content-type", "").partition(";")[0] != "application/json":
        raise _RefusedError(415, "expected application/json")
    try:
        async with asyncio.timeout(PATIENCE):
            return json.loads(await _bounded(request))
    except TimeoutError as error:
        raise _RefusedError(408, f"the request took more than {PATIENCE:g} seconds") from error
    except ClientDisconnect as error:
        raise _RefusedError(400, "the request ended early") from error
    except (ValueError, RecursionError) as error:
        raise _RefusedError(400, "the body is no JSON") from error


async def _bounded(request: Request) -> bytes:
    told = request.headers.get("content-length", "0")
    too_large = _RefusedError(413, f"expected at most {MAX_BODY} bytes")
    if not told.isdigit() or len(told) > 12 or int(told) > MAX_BODY:
        raise too_large
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY:
            raise too_large
    return bytes(body)


def _policy(page: str) -> str:
    """What the page may load: itself, and its own data from here."""
    scripts = " ".join(f"'sha256-{one}'" for one in script_hashes(page))
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src {scripts}",
            "style-src 'unsafe-inline'",
            "img-src 'self' data: blob:",
            "connect-src 'self'",
            "worker-src blob:",
            "media-src blob:",
            "font-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def _error(status: int, reason: str) -> Response:
    headers = _FIXED | {"Connection": "close"}
    return JSONResponse({"error": reason}, status_code=status, headers=headers)
