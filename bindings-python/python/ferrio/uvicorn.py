"""A WebSocket protocol for uvicorn that hands Socket.IO's connections over to the core.

`uvicorn --ws ferrio.uvicorn:WebSocketProtocol`, or `ferrio.run(app)`. The core then reads and writes the connection
itself: no other thread, no message of it passes through Python. Every other WebSocket is served as uvicorn would.

A connection is handed over only when nothing between uvicorn and the `ASGIApp` could want to see it: applications
mounted in Starlette or FastAPI, and middleware that leaves WebSockets alone. It stays with uvicorn when there is unknown
middleware, and when uvicorn encrypts it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware
from uvicorn.protocols.websockets.auto import AutoWebSocketsProtocol

from ferrio.asgi import EngineApp

if TYPE_CHECKING:
    from uvicorn import Config
    from uvicorn.server import ServerState

    from ferrio.serving import Serving

TRANSPARENT = {
    ("uvicorn.middleware.proxy_headers", "ProxyHeadersMiddleware"),
    ("uvicorn.middleware.message_logger", "MessageLoggerMiddleware"),
    ("starlette.middleware.cors", "CORSMiddleware"),
    ("starlette.middleware.gzip", "GZipMiddleware"),
    ("starlette.middleware.base", "BaseHTTPMiddleware"),
    ("starlette.middleware.errors", "ServerErrorMiddleware"),
    ("starlette.middleware.exceptions", "ExceptionMiddleware"),
}
"""Middleware classes that pass WebSockets on untouched."""


class WebSocketProtocol(asyncio.Protocol):
    """What uvicorn makes for every request to upgrade."""

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self._config = config
        self._server_state = server_state
        self._app_state = app_state
        self._transport: Any = None
        self._standard: Any = None
        self._is_handed_over = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._standard is not None:
            self._standard.data_received(data)
        elif not self._is_handed_over and not self._hand_over(data):
            self._serve_as_usual(data)

    def eof_received(self) -> bool | None:
        return bool(self._standard.eof_received()) if self._standard is not None else None

    def pause_writing(self) -> None:
        if self._standard is not None:
            self._standard.pause_writing()

    def resume_writing(self) -> None:
        if self._standard is not None:
            self._standard.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._standard is not None:
            self._standard.connection_lost(exc)

    def _hand_over(self, request: bytes) -> bool:
        """Lets the core have the connection, whose upgrade request this is, if it is meant for it."""
        connection = self._transport.get_extra_info("socket")
        if connection is None or self._transport.get_extra_info("sslcontext") is not None:
            return False
        target = request.split(b" ", 2)[1].decode("latin-1")
        path = unquote(target.partition("?")[0])
        server = find_server(self._config.loaded_app, self._config.root_path + path, self._config.root_path)
        if server is None:
            return False
        address = self._client(request)
        # Nothing may be read any more from here on, and the loop must not wait for this descriptor.
        self._transport.pause_reading()
        server._running().adopt(connection.fileno(), request, address)
        self._is_handed_over = True
        # The core has a descriptor of its own: this closes ours and nothing else.
        self._transport.abort()
        return True

    def _client(self, request: bytes) -> tuple[str, int] | None:
        """Who the client is; a proxy that uvicorn trusts may name another than itself."""
        peer = self._transport.get_extra_info("peername")
        client = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None
        if not self._config.proxy_headers or b"\r\nx-forwarded-" not in request.lower():
            return client
        lines = request.split(b"\r\n")[1:]
        pairs = [line.split(b":", 1) for line in lines if line]
        headers = [(name.lower(), value.strip()) for name, value in pairs]
        scope: Any = {"type": "websocket", "scheme": "ws", "client": client, "headers": headers}

        async def application(scope: Any, receive: Any, send: Any) -> None:
            """Stands for what the middleware would pass the scope on to."""

        middleware: Any = ProxyHeadersMiddleware(application, trusted_hosts=self._config.forwarded_allow_ips)
        with contextlib.suppress(StopIteration):
            middleware(scope, None, None).send(None)
        return cast("tuple[str, int] | None", scope["client"])

    def _serve_as_usual(self, request: bytes) -> None:
        make: Any = AutoWebSocketsProtocol
        if make is None:
            self._transport.close()
            return
        self._standard = make(config=self._config, server_state=self._server_state, app_state=self._app_state)
        self._standard.connection_made(self._transport)
        self._standard.data_received(request)


def find_server(app: Any, path: str, root_path: str = "") -> Serving | None:
    """The server that a WebSocket of this path would reach in an application, if nothing else has to see it."""
    while not isinstance(app, EngineApp):
        kind = type(app)
        if any((base.__module__, base.__name__) in TRANSPARENT for base in kind.__mro__):
            app = app.app
        elif hasattr(app, "routes"):
            mounted = _mounted(app, path, root_path)
            if mounted is None:
                return None
            app, root_path = mounted
        else:
            return None
    if app.is_engine_path(path, root_path):
        return app.engineio_server
    return find_server(app.other_asgi_app, path, root_path) if app.other_asgi_app is not None else None


def _mounted(app: Any, path: str, root_path: str) -> tuple[Any, str] | None:
    """The application that a Starlette or FastAPI application has mounted where a path leads."""
    for middleware in getattr(app, "user_middleware", ()):
        if not any((base.__module__, base.__name__) in TRANSPARENT for base in middleware.cls.__mro__):
            return None
    for route in app.routes:
        prefix = root_path + getattr(route, "path", "")
        inner = getattr(route, "app", None)
        is_mount = hasattr(route, "routes") and inner is not None and "{" not in prefix
        if is_mount and f"{path}/".startswith(f"{prefix.rstrip('/')}/"):
            return inner, prefix.rstrip("/")
        if not is_mount and getattr(route, "path", None) == path[len(root_path) :]:
            return None
    return None
