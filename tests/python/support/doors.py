"""Brings a server under test to a port of 127.0.0.1, by one of its doors."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import uvicorn
import websockets.exceptions

from .target import IS_FERRIO, target

# uvicorn: plain ASGI. adopted: the core takes uvicorn's WebSocket connections over. standalone: the server's own port.
DOORS: tuple[str, ...] = ("uvicorn", "adopted", "standalone") if IS_FERRIO else ("uvicorn",)


class RunningServer:
    """A server that listens on a port of 127.0.0.1 until `stop()`."""

    def __init__(self, sio: Any, door: str, port: int) -> None:
        self.sio = sio
        self.door = door
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.stopped = False

    async def stop(self) -> None:
        """Shuts the Socket.IO server down, then whatever listens for it."""
        if not self.stopped:
            self.stopped = True
            await self.sio.shutdown()
            await self.leave()

    async def leave(self) -> None:
        """Lets the port go."""


class OnUvicorn(RunningServer):
    """The server as an ASGI application of a real uvicorn, in the event loop of the test."""

    def __init__(self, sio: Any, door: str, listener: socket.socket, uvicorn_server: uvicorn.Server) -> None:
        super().__init__(sio, door, listener.getsockname()[1])
        self._listener = listener
        self.uvicorn = uvicorn_server

    async def leave(self) -> None:
        # uvicorn's own shutdown() sleeps a tenth of a second whatever there is to do.
        for server in self.uvicorn.servers:
            server.close()
        self._listener.close()
        for connection in list(self.uvicorn.server_state.connections):
            # A WebSocket that is closing already does not let itself be shut down.
            with contextlib.suppress(websockets.exceptions.InvalidState):
                connection.shutdown()
        tasks = list(self.uvicorn.server_state.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.uvicorn.lifespan.shutdown()


async def open_door(
    sio: Any,
    door: str,
    app: Any = None,
    whole_app: Any = None,
    port: int = 0,
    path: str = "socket.io",
    ws: str = "websockets-sansio",
) -> RunningServer:
    """Starts `sio` behind `door`.

    `app` is the host application that gets every other request, `whole_app` one that already contains `sio`. `ws` is
    uvicorn's way to serve WebSockets.
    """
    if door == "standalone":
        assert app is None, "a standalone server has no host application"
        listening = await sio.listen("127.0.0.1", port, socketio_path=path)
        return RunningServer(sio, door, listening.port)
    # asyncio switches Nagle's algorithm off only where the protocol is given.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    listener.setblocking(False)
    ways = {"adopt": door == "adopted"} if IS_FERRIO else {}
    config = uvicorn.Config(
        whole_app or target.ASGIApp(sio, other_asgi_app=app, socketio_path=path, **ways),
        ws=ws,
        loop="none",
        log_level="critical",
    )
    config.load()
    server = uvicorn.Server(config)
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listener])
    return OnUvicorn(sio, door, listener, server)
