"""Serves, forks workers that serve too, and prints what ids their clients got.

Run as ``python -m support.fork_script SCENARIO``: what a worker serves with is a new server (``new``), or the one that its
parent had served with before: forked between two loops (``same``), from inside of the parent's loop (``inside``) or in a
handler (``handler``), while a client of the parent is connected.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import sys
import threading
import traceback
from typing import Any

import aiohttp

from .target import new_server

WORKERS = 3
RECOVERY = {"max_disconnection_duration": 60}


def make() -> Any:
    sio = new_server(connection_state_recovery=RECOVERY)
    sio.on("echo", lambda sid, *args: args)
    return sio


class Talk:
    """A WebSocket client by hand, without threads or processes of its own."""

    def __init__(self, session: aiohttp.ClientSession, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._session = session
        self._websocket = websocket

    @classmethod
    async def begin(cls, port: int) -> Talk:
        session = aiohttp.ClientSession()
        url = f"http://127.0.0.1:{port}/socket.io/?EIO=4&transport=websocket"
        return cls(session, await session.ws_connect(url))

    async def receive(self) -> str:
        return str(await self._websocket.receive_str(timeout=10))

    async def send(self, packet: str) -> None:
        await self._websocket.send_str(packet)

    async def ids(self, sio: Any) -> dict[str, str]:
        """Joins, and returns every id that the server gave it."""
        ids = {"session": json.loads((await self.receive())[1:])["sid"]}
        await self.send("40")
        joined = json.loads((await self.receive())[2:])
        await sio.emit("news", "x", to=joined["sid"])
        offset = json.loads((await self.receive())[2:])[-1]
        ids |= {"socket": joined["sid"], "private": joined["pid"], "epoch": offset.rpartition("-")[0]}
        await self.echo()
        return ids

    async def echo(self) -> None:
        await self.send('421["echo",7]')
        assert await self.receive() == "431[7]"

    async def end(self) -> None:
        await self._websocket.close()
        await self._session.close()


async def serve_one(sio: Any) -> dict[str, str]:
    listening = await sio.listen("127.0.0.1", 0)
    client = await Talk.begin(listening.port)
    ids = await client.ids(sio)
    await client.end()
    await sio.shutdown()
    return ids


def in_worker(sio: Any, stale: list[Any]) -> tuple[int, int]:
    """Forks a worker; returns its process and the descriptor on which it tells its ids."""
    reading, writing = os.pipe()
    process = os.fork()
    if process:
        os.close(writing)
        return process, reading
    try:
        # What the worker has of its parent goes, or is used by mistake: neither may touch the parent's clients.
        for touch in stale:
            with contextlib.suppress(RuntimeError):
                asyncio.run(touch())
        stale.clear()
        gc.collect()
        ids = asyncio.run(serve_one(sio))
        os.write(writing, json.dumps(ids).encode())
        gc.collect()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def collect(workers: list[tuple[int, int]]) -> list[dict[str, str]]:
    found = []
    for process, reading in workers:
        with os.fdopen(reading) as pipe:
            text = pipe.read()
        _, status = os.waitpid(process, 0)
        assert status == 0, f"a worker ended with {status}"
        found.append(json.loads(text))
    return found


async def inside(sio: Any) -> list[dict[str, str]]:
    listening = await sio.listen("127.0.0.1", 0)
    client = await Talk.begin(listening.port)
    own = await client.ids(sio)
    views = await sio.fetch_sockets()

    async def emit_by_view() -> None:
        await views[0].emit("stray")

    async def disconnect_by_view() -> None:
        await views[0].disconnect(close=True)

    async def emit() -> None:
        await sio.emit("stray")

    async def disconnect() -> None:
        await sio.disconnect_sockets(close=True)
        await sio.shutdown()

    workers = [in_worker(sio, [emit_by_view, emit, disconnect, disconnect_by_view]) for _ in range(WORKERS)]
    found = await asyncio.get_running_loop().run_in_executor(None, collect, workers)
    # The parent's client is as it was, and heard nothing of the workers.
    await client.echo()
    await client.end()
    await sio.shutdown()
    return [own, *found]


async def in_handler(sio: Any) -> list[dict[str, str]]:
    """Forks in a handler, which returns in the parent only."""
    workers = []

    @sio.event
    async def fork(sid):
        workers.append(in_worker(sio, []))
        return "parent"

    listening = await sio.listen("127.0.0.1", 0)
    client = await Talk.begin(listening.port)
    own = await client.ids(sio)
    for _ in range(WORKERS):
        await client.send('421["fork"]')
        assert await client.receive() == '431["parent"]'
    found = await asyncio.get_running_loop().run_in_executor(None, collect, workers)
    await client.echo()
    await client.end()
    await sio.shutdown()
    return [own, *found]


def main(scenario: str) -> None:
    sio = make()
    if scenario == "handler":
        found = asyncio.run(in_handler(sio))
    elif scenario == "inside":
        found = asyncio.run(inside(sio))
    else:
        found = [asyncio.run(serve_one(sio))]
        found += collect([in_worker(make() if scenario == "new" else sio, []) for _ in range(WORKERS)])
        found.append(asyncio.run(serve_one(sio)))
    assert threading.active_count() <= 2
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
