"""Serves one client whose event has a handler end the process.

Run as ``python -m support.exit_script HANDLER EXCEPTION``.
"""

from __future__ import annotations

import asyncio
import sys

from .doors import open_door
from .target import new_server
from .wire import Wire

KIND, EXCEPTION = sys.argv[1:]


def end() -> None:
    raise KeyboardInterrupt if EXCEPTION == "KeyboardInterrupt" else SystemExit(7)


async def main() -> None:
    sio = new_server(async_handlers=KIND != "lane")
    go_on = asyncio.Event()

    @sio.event
    async def disconnect(sid, reason):
        if KIND == "disconnect":
            end()

    @sio.event
    async def connect(sid, environ, auth):
        if KIND == "connect":
            end()

    @sio.event
    async def go(sid):
        if KIND == "task":
            await asyncio.sleep(0)
        if KIND in ("task", "coroutine"):
            end()
        if KIND == "lane":
            await go_on.wait()
        return 1

    @sio.event
    def plain(sid):
        go_on.set()
        if KIND in ("plain", "lane"):
            end()

    server = await open_door(sio, "standalone")
    websocket = await Wire(server).websocket()
    await websocket.receive()
    await websocket.send("40")
    await websocket.receive()
    if KIND == "callback":
        await sio.emit("question", callback=lambda *args: end())
        question = await websocket.receive()
        assert isinstance(question, str)
        await websocket.send(f"43{question[2 : question.index('[')]}[]")
    await websocket.send('42["go"]')
    await websocket.send('42["plain"]')
    if KIND == "lane":
        asyncio.get_running_loop().call_soon(go_on.set)
    await websocket.send("41")
    await asyncio.Event().wait()


asyncio.run(main())
