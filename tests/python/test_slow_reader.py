"""Readers that stop reading: what they cost the others, and the policies that bound what is kept for them."""

from __future__ import annotations

import asyncio
import json
import resource
from pathlib import Path
from typing import Any

import pytest

from support.frames import CLOSE, TEXT, FrameSocket
from support.target import new_server
from support.waiting import Mailbox, soon

unbounded = pytest.mark.ferrio_only("python-socketio keeps every packet for a reader that never takes it.")

# Many times more than the kernel's buffers of a loopback connection take in.
CHUNK = "x" * 64 * 1024


async def flood(sio: Any, count: int, start: int = 0, **options: Any) -> None:
    """Emits `count` numbered chunks, and lets the loop turn after each."""
    for number in range(start, start + count):
        await sio.emit("chunk", (number, CHUNK), **options)
        await asyncio.sleep(0)


async def numbers_until_end(sio: Any, reader: FrameSocket, sid: str) -> list[int]:
    """Reads again, and returns the numbers of the chunks that still arrive before `end`."""
    numbers: list[int] = []

    async def read() -> None:
        while True:
            opcode, payload = await reader.read_frame()
            assert opcode != CLOSE
            if opcode != TEXT or not payload.startswith(b"42"):
                continue
            name, *args = json.loads(payload[2:])
            if name == "end":
                return
            numbers.append(args[0])

    async def repeat_end() -> None:
        # While the outbox is full, `end` itself may be dropped.
        while True:
            await sio.emit("end", to=sid)
            await asyncio.sleep(0.05)

    repeating = asyncio.ensure_future(repeat_end())
    try:
        await soon(read(), "the end of what was kept for the reader")
    finally:
        repeating.cancel()
    return numbers


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def test_the_others(serve, connect_js):
    """a reader that stops reading does not hold up the others"""
    sio = new_server()
    server = await serve(sio)
    reader, _ = await FrameSocket.joined(server)
    clients = [await connect_js(server, transports=[name]) for name in ("websocket", "polling")]
    for number in range(100):
        await sio.emit("chunk", (number, CHUNK))
        # Otherwise a poller, whose answers take a request each, would itself be a slow reader.
        for client in clients:
            await client.receive("chunk")
    for client in clients:
        assert [args[0] for args in client.received("chunk")] == list(range(100))
    reader.abort()


@pytest.mark.ferrio_only("python-socketio has no volatile.")
async def test_volatile(serve):
    """volatile events to a reader that stops reading are dropped"""
    sio = new_server()
    reader, sid = await FrameSocket.joined(await serve(sio))
    await flood(sio, 400, to=sid, volatile=True)
    arrived = await numbers_until_end(sio, reader, sid)
    assert len(arrived) < 400
    assert arrived == sorted(set(arrived))
    reader.abort()


@unbounded
async def test_memory(serve):
    """a reader that stops reading does not grow the server's memory without bound"""
    sio = new_server(outbox={"max_bytes": 1024 * 1024, "policy": "drop-newest"})
    reader, sid = await FrameSocket.joined(await serve(sio))
    await flood(sio, 100, to=sid)
    before = resident_bytes()
    await flood(sio, 2000, to=sid)
    # 128 MB were emitted.
    assert resident_bytes() - before < 32 * 1024 * 1024
    assert len(await numbers_until_end(sio, reader, sid)) < 2100
    reader.abort()


@unbounded
async def test_disconnect(serve, connect_js):
    """the policy that disconnects closes the slow reader with its own reason"""
    sio = new_server(outbox={"max_bytes": 256 * 1024, "policy": "disconnect"})
    gone: Mailbox[tuple[str, str]] = Mailbox("disconnect handlers")
    sio.on("disconnect", lambda sid, reason: gone.put((sid, reason)))
    server = await serve(sio)
    reader, sid = await FrameSocket.joined(server)
    client = await connect_js(server, transports=["websocket"])
    for number in range(2000):
        await sio.emit("chunk", (number, CHUNK))
        await client.receive("chunk")
        if gone.seen:
            break
    assert gone.seen == [(sid, "slow reader")]
    await sio.emit("still here")
    await client.receive("still here")
    reader.abort()


@unbounded
async def test_drop_oldest(serve):
    """the policy that drops the oldest keeps the newest events"""
    sio = new_server(outbox={"max_bytes": 1024 * 1024, "policy": "drop-oldest"})
    reader, sid = await FrameSocket.joined(await serve(sio))
    await flood(sio, 500, to=sid)
    arrived = await numbers_until_end(sio, reader, sid)
    assert len(arrived) < 500
    assert arrived[-1] == 499
    assert arrived == sorted(set(arrived))
    reader.abort()


@unbounded
async def test_drop_newest(serve):
    """the policy that drops the newest keeps the oldest events"""
    sio = new_server(outbox={"max_bytes": 1024 * 1024, "policy": "drop-newest"})
    reader, sid = await FrameSocket.joined(await serve(sio))
    await flood(sio, 500, to=sid)
    arrived = await numbers_until_end(sio, reader, sid)
    assert 499 not in arrived
    assert arrived[:10] == list(range(10))
    assert arrived == sorted(set(arrived))
    reader.abort()
