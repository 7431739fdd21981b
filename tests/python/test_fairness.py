"""One client that sends more than its handlers can take: it waits for itself, and the others notice little of it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from support.frames import TEXT, FrameSocket, frame
from support.target import QUICK_HEARTBEAT, new_server
from support.waiting import Mailbox, until
from support.wire import SEPARATOR

N_EVENTS = 20_000
"""More events than the server takes at once."""

HANDLER_TIME = 0.00005

unbounded = pytest.mark.ferrio_only("python-socketio takes in all that is sent, and lets the others wait.")


class Busy:
    """A server whose `work` handler keeps it busy, and counts."""

    def __init__(self, **options: Any) -> None:
        self.sio = new_server(**options)
        self.n_done = 0
        self.sio.on("work", self.work)
        self.sio.on("count", lambda sid: self.n_done)

    def work(self, sid: str) -> None:
        end = time.perf_counter() + HANDLER_TIME
        while time.perf_counter() < end:
            pass
        self.n_done += 1


async def flood(server: Any) -> tuple[asyncio.Task[None], str]:
    """A client that sends all its events as fast as it may, and its sid."""
    flooder, sid = await FrameSocket.joined(server)

    async def send() -> None:
        for _ in range(N_EVENTS // 1000):
            await flooder.send_raw(frame(TEXT, b'42["work"]') * 1000)

    return asyncio.ensure_future(send()), sid


@unbounded
async def test_quiet_clients(serve, connect_js):
    """a flooder does not cost a quiet client its connection"""
    busy = Busy(**QUICK_HEARTBEAT)
    server = await serve(busy.sio)
    gone: Mailbox[str] = Mailbox("disconnect handlers")
    quiet = [await connect_js(server, transports=[name]) for name in ("websocket", "polling")]
    busy.sio.on("disconnect", lambda sid, reason: gone.put(sid))
    flooding, flooder = await flood(server)
    await until(lambda: busy.n_done >= N_EVENTS or gone.seen, "the end of the flood")
    for client in quiet:
        assert (await client.call("count"))[0] > 0
    # The flooder itself answers no pings.
    assert [sid for sid in gone.seen if sid != flooder] == []
    await flooding


@unbounded
async def test_beside(serve, connect_js):
    """a client beside a flooder is answered while the flood goes on"""
    busy = Busy()
    server = await serve(busy.sio)
    client = await connect_js(server)
    flooding, _ = await flood(server)
    counts = []
    while busy.n_done < N_EVENTS // 2:
        counts.append((await client.call("count"))[0])
    assert len([count for count in counts if 0 < count < N_EVENTS // 2]) > 1
    await flooding


@pytest.mark.ferrio_only("python-socketio drops a body of more than 16 packets.")
async def test_long_body(serve, wire):
    """all events of one long body reach their handler in order"""
    sio = new_server()
    heard: list[int] = []
    sio.on("n", lambda sid, number: heard.append(number))
    sio.on("barrier", lambda sid: None)
    server = await serve(sio)
    session = await wire(server).join()
    packets = [f'42["n",{number}]' for number in range(20_000)]
    assert (await session.post(SEPARATOR.join([*packets, '421["barrier"]']))).status == 200
    assert await session.receive() == "431[]"
    assert heard == list(range(20_000))


@pytest.mark.ferrio_only("python-socketio drops a body of more than 16 packets.")
async def test_many_close_packets(serve, wire):
    """a body of many close packets is answered like one"""
    sio = new_server()
    gone: Mailbox[str] = Mailbox("disconnect handlers")
    sio.on("disconnect", lambda sid, reason: gone.put(reason))
    server = await serve(sio)
    session = await wire(server).join()
    assert (await session.post(SEPARATOR.join("1" * 100_000))).status == 200
    assert await gone.next() == "transport close"
