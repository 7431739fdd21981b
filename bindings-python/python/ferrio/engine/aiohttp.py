"""The server within an application of aiohttp: its requests, told in ASGI's words."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import WSMsgType, web

from ferrio import asgi

if TYPE_CHECKING:
    from ferrio.engine.server import AsyncServer

METHODS = ("GET", "POST", "OPTIONS")

LOOK_EVERY = 5.0
"""How often it is looked whether the client of a request that waits has gone, which aiohttp does not tell. A session ends
by its ping timeout in any case."""


def attach(server: AsyncServer, app: web.Application, path: str) -> None:
    """Adds the server to an application, below a path."""

    async def handle(request: web.Request) -> web.StreamResponse:
        return await serve(server, request)

    for method in METHODS:
        app.router.add_route(method, path, handle)


async def serve(server: AsyncServer, request: web.Request) -> web.StreamResponse:
    """Serves a request, whatever its path."""
    exchange = Exchange(request, server.max_http_buffer_size)
    await asgi.serve(server._running(), exchange.scope, exchange.receive, exchange.send)
    return exchange.response


class Exchange:
    """One request, with ASGI's two functions."""

    def __init__(self, request: web.Request, max_message: int) -> None:
        self._request = request
        self._max_message = max_message
        self._is_websocket = request.headers.get("Upgrade", "").lower() == "websocket"
        self._has_begun = False
        self._websocket: web.WebSocketResponse | None = None
        self._head: dict[str, Any] = {}
        self.response: web.StreamResponse = web.Response(status=500)

    @property
    def scope(self) -> dict[str, Any]:
        """What ASGI calls the scope, with the request itself."""
        request = self._request
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        scheme = request.scheme
        return {
            "type": "websocket" if self._is_websocket else "http",
            "asgi": {"version": "3.0", "spec_version": "2.3"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": {"http": "ws", "https": "wss"}[scheme] if self._is_websocket else scheme,
            "path": request.path,
            "raw_path": request.rel_url.raw_path.encode(),
            "query_string": request.rel_url.raw_query_string.encode(),
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.raw_headers],
            "client": (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None,
            "server": None,
            "extensions": {"websocket.http.response": {}},
            "aiohttp.request": request,
        }

    async def receive(self) -> dict[str, Any]:
        """The next event of the client."""
        has_begun, self._has_begun = self._has_begun, True
        if self._is_websocket:
            return await self._receive_message() if has_begun else {"type": "websocket.connect"}
        if not has_begun or not self._request.content.at_eof():
            try:
                body = await self._request.content.readany()
            except Exception:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": body, "more_body": not self._request.content.at_eof()}
        while self._request.transport is not None:
            await asyncio.sleep(LOOK_EVERY)
        return {"type": "http.disconnect"}

    async def _receive_message(self) -> dict[str, Any]:
        assert self._websocket is not None, "it was accepted"
        message = await self._websocket.receive()
        if message.type is WSMsgType.TEXT:
            return {"type": "websocket.receive", "text": message.data}
        if message.type is WSMsgType.BINARY:
            return {"type": "websocket.receive", "bytes": message.data}
        return {"type": "websocket.disconnect"}

    async def send(self, event: Any) -> None:
        """Answers the client."""
        kind = event["type"]
        if kind == "websocket.accept":
            self._websocket = web.WebSocketResponse(max_msg_size=self._max_message, compress=False)
            self.response = self._websocket
            await self._websocket.prepare(self._request)
        elif kind == "websocket.close" and self._websocket is not None:
            await self._websocket.close(code=event["code"])
        elif kind == "websocket.send" and self._websocket is not None:
            if "text" in event:
                await self._websocket.send_str(event["text"])
            else:
                await self._websocket.send_bytes(event["bytes"])
        elif kind.endswith("response.start"):
            self._head = event
        elif kind.endswith("response.body"):
            self.response = web.Response(status=self._head["status"], body=event["body"])
            self.response.headers.clear()
            for name, value in self._head["headers"]:
                self.response.headers.add(name.decode("latin-1"), value.decode("latin-1"))
