"""The benchmark application on a Python server with python-socketio's asyncio API.

``--module`` names the package, so that the same handlers run on every server.
``--door uvicorn`` serves the ASGI application with plain uvicorn; the other two
exist in ferrio alone: ``adopt`` is ``ferrio.run`` (uvicorn, connections
adopted) and ``listen`` is the standalone server on its own port.
"""

import argparse
import asyncio
import importlib
from types import ModuleType
from typing import Any

import uvicorn
import uvloop

HOST = "127.0.0.1"


def application(socketio: ModuleType, ping_interval: float) -> Any:
    """Build the server object with the handlers that every peer has."""
    sio = socketio.AsyncServer(async_mode="asgi", ping_interval=ping_interval)
    ticks = 0

    # Nearly every application has one: what calling it costs belongs in the numbers.
    @sio.event
    async def connect(sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        pass

    @sio.event
    async def echo(sid: str, data: Any) -> Any:
        return data

    @sio.event
    async def tick(sid: str, data: Any) -> None:
        nonlocal ticks
        ticks += 1

    @sio.event
    async def count(sid: str) -> int:
        nonlocal ticks
        counted, ticks = ticks, 0
        return counted

    @sio.event
    async def broadcast(sid: str, data: Any) -> None:
        await sio.emit("news", data)

    @sio.event
    async def join(sid: str, room: str) -> None:
        await sio.enter_room(sid, room)

    @sio.event
    async def to(sid: str, room: str, data: Any) -> None:
        await sio.emit("news", data, to=room)

    return sio


async def listen(sio: Any, port: int) -> None:
    """Serve on the server's own port until the process is ended."""
    await sio.listen(HOST, port)
    await asyncio.Event().wait()


def main() -> None:
    """Start the server that the arguments ask for."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--module", default="socketio")
    arguments.add_argument("--door", choices=["uvicorn", "adopt", "listen"], default="uvicorn")
    arguments.add_argument("--port", type=int, required=True)
    arguments.add_argument("--ping-interval", type=float, default=25)
    options = arguments.parse_args()

    socketio = importlib.import_module(options.module)
    sio = application(socketio, options.ping_interval)
    quiet = {"log_level": "warning", "access_log": False}
    if options.door == "uvicorn":
        app = socketio.ASGIApp(sio)
        uvicorn.run(app, host=HOST, port=options.port, loop="uvloop", http="httptools", **quiet)
    elif options.door == "adopt":
        app = socketio.ASGIApp(sio)
        socketio.run(app, host=HOST, port=options.port, loop="uvloop", http="httptools", **quiet)
    else:
        uvloop.run(listen(sio, options.port))


if __name__ == "__main__":
    main()
