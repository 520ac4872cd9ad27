"""Running the server: one socket on 127.0.0.1, clients that get so much time and no more."""

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from lidistill.errors import ConfigError

HOST: Final = "127.0.0.1"
_MAX_CLIENTS: Final = 200
_MAX_HEADER: Final = 1 << 14  # bytes
_PATIENCE: Final = 10.0  # seconds from a connection to its first whole header


class PatientProtocol(H11Protocol):
    """HTTP to clients that begin to talk within some seconds."""

    patience: float = _PATIENCE

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See ``asyncio.Protocol.connection_made``."""
        super().connection_made(transport)
        self._end = self.loop.call_later(self.patience, self._hang_up)

    def connection_lost(self, exc: Exception | None) -> None:
        """See ``asyncio.Protocol.connection_lost``."""
        self._end.cancel()
        super().connection_lost(exc)

    def _hang_up(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            self.transport.abort()


def listen(port: int) -> socket.socket:
    """A socket on this machine's own address.

    Args:
        port: 0 takes a free one.

    Raises:
        ConfigError: If the port is taken.
    """
    one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        one.bind((HOST, port))
    except (OSError, OverflowError) as error:
        one.close()
        msg = f"port {port} cannot be used ({error}); give another --port, or 0 for a free one."
        raise ConfigError(msg) from error
    return one


def hosts_of(one: socket.socket) -> frozenset[str]:
    """What browsers call a listening socket."""
    port = one.getsockname()[1]
    return frozenset({f"{HOST}:{port}", f"localhost:{port}"})


def serve(app: ASGIApp, one: socket.socket, *, on_start: Callable[[], None] = lambda: None) -> None:
    """Serve until Ctrl-C.

    Args:
        app: The application.
        one: See ``listen``.
        on_start: Called once the server answers.
    """
    server = build_server(app)
    started = server.startup

    async def startup(sockets: list[socket.socket] | None = None) -> None:
        await started(sockets=sockets)
        on_start()

    server.startup = startup  # type: ignore[method-assign]
    with contextlib.suppress(KeyboardInterrupt):
        server.run(sockets=[one])


def build_server(app: ASGIApp, **changed: Any) -> uvicorn.Server:
    """A server with bounds on everything that a client can do."""
    settings: dict[str, Any] = {
        "http": PatientProtocol,
        "ws": "none",
        "lifespan": "off",
        "log_level": "error",
        "access_log": False,
        "server_header": False,
        "proxy_headers": False,
        "limit_concurrency": _MAX_CLIENTS,
        "headers": [("connection", "close")],  # so that the first header is the only one
        "timeout_graceful_shutdown": 1,
        "h11_max_incomplete_event_size": _MAX_HEADER,
    }
    return uvicorn.Server(uvicorn.Config(app, **settings | changed))
