"""The server as an ASGI application, beside another one and static files."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from ferrio import _native
from ferrio.adoption import adopt

if TYPE_CHECKING:
    from typing import TypeAlias

    from ferrio.server import AsyncServer
    from ferrio.serving import Serving

Scope: TypeAlias = "MutableMapping[str, Any]"
Message: TypeAlias = "MutableMapping[str, Any]"
Receive: TypeAlias = "Callable[[], Awaitable[Message]]"
Send: TypeAlias = "Callable[[Message], Awaitable[None]]"
App: TypeAlias = "Callable[[Scope, Receive, Send], Awaitable[None]]"
StaticFiles: TypeAlias = "dict[str, str | dict[str, str]]"
Response: TypeAlias = "tuple[int, list[tuple[bytes, bytes]], bytes]"

logger = logging.getLogger("ferrio")

CONTENT_TYPES = {
    "css": "text/css",
    "gif": "image/gif",
    "html": "text/html",
    "jpg": "image/jpeg",
    "js": "application/javascript",
    "json": "application/json",
    "png": "image/png",
    "svg": "image/svg+xml",
    "txt": "text/plain",
}


class EngineApp:
    """Passes what is the server's to it, and everything else on.

    `engineio_path` is where the server is found, also below a path under which this application is mounted; `None`
    passes everything to the server. `static_files` names files and folders by path, as in python-engineio. Where the ASGI server
    is known (uvicorn, hypercorn), the core takes its WebSockets over, so that no message passes through Python; with
    `adopt=False` they stay with the server.
    """

    def __init__(
        self,
        engineio_server: Serving,
        other_asgi_app: App | None = None,
        static_files: StaticFiles | None = None,
        engineio_path: str | None = "engine.io",
        on_startup: Callable[[], Any] | None = None,
        on_shutdown: Callable[[], Any] | None = None,
        *,
        adopt: bool = True,
    ) -> None:
        self.engineio_server = engineio_server
        self.adopt = adopt
        self.other_asgi_app = other_asgi_app
        self.static_files = static_files or {}
        self.engineio_path = None if engineio_path is None else f"/{engineio_path.strip('/')}/"
        self.on_startup = on_startup
        self.on_shutdown = on_shutdown

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "lifespan":
            await self.lifespan(scope, receive, send)
        elif kind in ("http", "websocket") and self.is_engine_path(scope["path"], scope.get("root_path", "")):
            # What somebody has wrapped is never taken over.
            sender = send if self.adopt else functools.partial(send)
            await self.engineio_server.handle_request(scope, receive, sender)
        elif kind == "http" and (file := self._static_file(scope["path"])) is not None:
            await respond(send, (200, [(b"content-type", file[1].encode())], await _read(file[0])))
        elif self.other_asgi_app is not None:
            await self.other_asgi_app(scope, receive, send)
        elif kind == "websocket":
            await receive()
            await send({"type": "websocket.close"})
        else:
            await respond(send, (404, [(b"content-type", b"text/plain")], b"Not Found"))

    def is_engine_path(self, path: str, root_path: str = "") -> bool:
        """Whether a request of this path is the server's; `root_path` is where this application is mounted."""
        own = self.engineio_path
        if own is None:
            return True
        slashed = f"{path}/"
        root = root_path.rstrip("/")
        return slashed.startswith(own) or (bool(root) and slashed.startswith(root + own))

    async def lifespan(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Calls the hooks, or leaves the lifespan to the other application when there are none."""
        if self.other_asgi_app is not None and self.on_startup is None and self.on_shutdown is None:
            await self.other_asgi_app(scope, receive, send)
            return
        for phase, hook in (("startup", self.on_startup), ("shutdown", self.on_shutdown)):
            await receive()
            try:
                result = hook() if hook is not None else None
                if inspect.isawaitable(result):
                    await result
            except Exception as error:
                await send({"type": f"lifespan.{phase}.failed", "message": str(error)})
                return
            await send({"type": f"lifespan.{phase}.complete"})

    def _static_file(self, path: str) -> tuple[str, str] | None:
        """The file for a path and its type: that of the longest prefix that is named."""
        rest = ""
        while (entry := self.static_files.get(path) or self.static_files.get(f"{path}/")) is None or not path:
            if not path:
                return None
            path, _, last = path.rpartition("/")
            rest = f"/{last}{rest}"
        filename, kind = _entry(entry)
        if any(part == ".." for part in rest.replace(os.sep, "/").split("/")):
            return None
        filename = filename.rstrip("/") + rest if rest else filename
        if filename.endswith("/") or os.path.isdir(filename):
            index, index_kind = _entry(self.static_files.get("", "index.html"))
            filename, kind = os.path.join(filename, index), index_kind
        if not os.path.isfile(filename):
            return None
        return filename, kind or CONTENT_TYPES.get(filename.rpartition(".")[2], "application/octet-stream")


class ASGIApp(EngineApp):
    """Passes what is the Socket.IO server's to it, and everything else on.

    `socketio_path` is where the server is found, also below a path under which this application is mounted; `None`
    passes everything to the server. `static_files` names files and folders by path, as in python-socketio. Where the ASGI server
    is known (uvicorn, hypercorn), the core takes its WebSockets over, so that no message passes through Python; with
    `adopt=False` they stay with the server.
    """

    def __init__(
        self,
        socketio_server: AsyncServer,
        other_asgi_app: App | None = None,
        static_files: StaticFiles | None = None,
        socketio_path: str | None = "socket.io",
        on_startup: Callable[[], Any] | None = None,
        on_shutdown: Callable[[], Any] | None = None,
        *,
        adopt: bool = True,
    ) -> None:
        super().__init__(
            socketio_server,
            other_asgi_app,
            static_files,
            socketio_path,
            on_startup,
            on_shutdown,
            adopt=adopt,
        )


def _entry(entry: str | dict[str, str]) -> tuple[str, str | None]:
    return (entry, None) if isinstance(entry, str) else (entry["filename"], entry.get("content_type"))


async def _read(filename: str) -> bytes:
    def read() -> bytes:
        with open(filename, "rb") as file:
            return file.read()

    return await asyncio.get_running_loop().run_in_executor(None, read)


async def serve(native: _native.Server, scope: Scope, receive: Receive, send: Send) -> None:
    """Serves one ASGI connection; the core takes a WebSocket over where it can."""
    if scope["type"] == "websocket":
        await _serve_websocket(native, scope, receive, send)
    else:
        await _serve_http(native, scope, receive, send)


async def refuse(scope: Scope, receive: Receive, send: Send, response: Response) -> None:
    """Answers one ASGI connection without looking at it."""
    if scope["type"] == "websocket":
        await receive()
        await _refuse(scope, send, response)
    else:
        await respond(send, response)


async def respond(send: Send, response: Response) -> None:
    """Sends a whole response."""
    status, headers, body = response
    length = (b"content-length", str(len(body)).encode())
    if all(name != b"content-length" for name, _ in headers):
        headers.append(length)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def finished(result: Any) -> Any:
    """The result of something native, which may be under way; giving up the wait gives it up."""
    if not isinstance(result, _native.Pending):
        return result
    try:
        return await result.future
    finally:
        result.cancel()


async def _serve_http(native: _native.Server, scope: Scope, receive: Receive, send: Send) -> None:
    body, has_more, has_gone = b"", False, False
    if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
        message = await receive()
        has_gone = message["type"] == "http.disconnect"
        body, has_more = message.get("body", b""), has_gone or message.get("more_body", False)
    result = native.handle(scope, body, has_more)
    if has_gone:
        # Given up before its body began, which ends its session like one that is given up within.
        if isinstance(result, _native.Pending):
            result.cancel()
        return
    if isinstance(result, _native.Pending):
        pending = result
        reading = asyncio.ensure_future(_read_on(receive, pending))
        try:
            result = await pending.future
        except asyncio.CancelledError:
            if reading.done() and not reading.cancelled():
                return
            raise
        finally:
            reading.cancel()
            pending.cancel()
    await respond(send, result)


async def _read_on(receive: Receive, pending: _native.Pending) -> None:
    """Passes on what follows of a request's body, and gives the request up when its client has gone."""
    while (message := await receive())["type"] != "http.disconnect":
        pending.feed(message.get("body", b""), message.get("more_body", False))
    pending.cancel()
    pending.future.cancel()


async def _serve_websocket(native: _native.Server, scope: Scope, receive: Receive, send: Send) -> None:
    await receive()
    if (host := adopt(native, scope, receive, send)) is not None:
        logger.debug("a WebSocket was taken over from %s", host)
        return
    logger.debug("a WebSocket passes through ASGI")
    websocket = await finished(native.exchange(scope))
    if not isinstance(websocket, _native.WebSocket):
        await _refuse(scope, send, websocket)
        return
    await send({"type": "websocket.accept"})
    sending = asyncio.ensure_future(_send_all(websocket, send))
    try:
        message = await receive()
        while message["type"] == "websocket.receive":
            text = message.get("text")
            accepted = websocket.receive(text if text is not None else message["bytes"])
            message = await (receive() if accepted is None else _receive_after(accepted, receive))
    finally:
        websocket.closed()
        sending.cancel()


async def _receive_after(accepted: Any, receive: Receive) -> Message:
    """The next message, when there is room for the one before. A client that goes meanwhile is not waited for."""
    accepting = asyncio.ensure_future(finished(accepted))
    receiving = asyncio.ensure_future(receive())
    try:
        await asyncio.wait({accepting, receiving}, return_when=asyncio.FIRST_COMPLETED)
        if not receiving.done() or receiving.result()["type"] == "websocket.receive":
            await accepting
        return await receiving
    finally:
        accepting.cancel()
        receiving.cancel()


async def _send_all(websocket: _native.WebSocket, send: Send) -> None:
    try:
        while (messages := await finished(websocket.next())) is not None:
            for message in messages:
                if isinstance(message, str):
                    await send({"type": "websocket.send", "text": message})
                elif isinstance(message, bytes):
                    await send({"type": "websocket.send", "bytes": message})
                else:
                    await send({"type": "websocket.close", "code": message})
    except Exception:
        # The client has gone, which cannot be read while its messages wait for room.
        websocket.closed()


async def _refuse(scope: Scope, send: Send, response: Response) -> None:
    """Sends the response that refuses a WebSocket, where the ASGI server can do that."""
    status, headers, body = response
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close", "code": 1008, "reason": body.decode()[:100]})
        return
    kept = [(name, value) for name, value in headers if name != b"connection"]
    await send({"type": "websocket.http.response.start", "status": status, "headers": kept})
    await send({"type": "websocket.http.response.body", "body": body})
