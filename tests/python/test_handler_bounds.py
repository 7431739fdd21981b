"""How much of a client may be under way: events that wait for handlers, and handlers at work."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest

from support.frames import TEXT, FrameSocket, frame
from support.target import TimeoutError, new_server
from support.waiting import Mailbox, soon, until

pytestmark = pytest.mark.ferrio_only("python-socketio has no bound")

SHARE = 256


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


class Held:
    """Handlers that wait until they are let go."""

    def __init__(self, sio: Any) -> None:
        self.log: Mailbox[Any] = Mailbox("handlers")
        self.go_on = asyncio.Event()
        self.n_begun = 0
        sio.on("work", self.work)

    async def work(self, sid: str, number: int, *rest: Any) -> None:
        self.n_begun += 1
        await self.go_on.wait()
        self.log.put(number)


@pytest.mark.parametrize("async_handlers", [True, False])
@pytest.mark.parametrize("always_connect", [True, False])
async def test_small_events(serve, wire, async_handlers, always_connect):
    """a client with many events under way is not read, loses none of them, and holds up nobody else"""
    sio = new_server(async_handlers=async_handlers, always_connect=always_connect)
    held = Held(sio)
    sio.on("echo", lambda sid, *args: args)
    server = await serve(sio)
    websocket = await wire(server).joined_websocket()

    async def flood() -> None:
        for number in range(2000):
            await websocket.send(f'42["work",{number}]')

    flooding = asyncio.ensure_future(flood())
    await until(lambda: sio.metrics()["host_queue_pauses"], "the pause")
    assert held.n_begun <= (SHARE if async_handlers else 1)
    other = await wire(server).joined_websocket()
    await other.send('421["echo",7]')
    assert await other.receive() == "431[7]"
    assert held.n_begun <= (SHARE if async_handlers else 1)
    held.go_on.set()
    assert await held.log.wait_for(2000) == list(range(2000))
    await soon(flooding, "the end of the flood")


@pytest.mark.doors("adopted", "standalone")
@pytest.mark.parametrize("async_handlers", [True, False])
async def test_long_events(serve, wire, async_handlers):
    """long events under way are bounded by their bytes"""
    sio = new_server(async_handlers=async_handlers, max_http_buffer_size=2_000_000)
    held = Held(sio)
    server = await serve(sio)
    websocket = await wire(server).joined_websocket()
    filling = "x" * 1_900_000

    async def flood() -> None:
        for number in range(100):
            await websocket.send(f'42["work",{number},"{filling}"]')

    before = resident_bytes()
    flooding = asyncio.ensure_future(flood())
    await until(lambda: sio.metrics()["host_queue_pauses"], "the pause")
    await (await wire(server).joined_websocket()).close()
    assert held.n_begun <= 2
    assert resident_bytes() - before < 60_000_000
    assert not flooding.done()
    held.go_on.set()
    assert await held.log.wait_for(100) == list(range(100))
    await soon(flooding, "the end of the flood")


@pytest.mark.parametrize("way", ["call", "call without limit", "call_all", "callback"])
async def test_handlers_that_ask(serve, wire, way):
    """handlers that wait for answers of their own client get them, however many events the client has sent before"""
    sio = new_server()
    done: Mailbox[int] = Mailbox("handlers")

    @sio.event
    async def work(sid, number):
        if way == "call_all":
            [answer] = await sio.call_all("question", number)
        elif way == "callback":
            answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
            await sio.emit("question", number, to=sid, callback=answered.set_result)
            answer = await answered
        else:
            answer = await sio.call("question", number, to=sid, timeout=None if way != "call" else 60)
        done.put(answer)

    server = await serve(sio)
    websocket = await wire(server).joined_websocket()
    for number in range(8 * SHARE):
        await websocket.send(f'42["work",{number}]')
    for _ in range(8 * SHARE):
        question = str(await websocket.receive())
        start = question.index("[")
        await websocket.send(f"43{question[2:start]}[{json.loads(question[start:])[1]}]")
    assert sorted(await done.wait_for(8 * SHARE)) == list(range(8 * SHARE))


async def test_flooder_that_never_answers(serve, wire):
    """a client that is asked and never answers has a bounded number of handlers at work"""
    sio = new_server(limits={"host_queue": 2000})
    n_begun = 0

    @sio.event
    async def work(sid):
        nonlocal n_begun
        n_begun += 1
        with contextlib.suppress(TimeoutError):
            await sio.call("question", to=sid)

    server = await serve(sio)
    websocket = await wire(server).joined_websocket()

    async def flood() -> None:
        for _ in range(5000):
            await websocket.send('42["work"]')

    flooding = asyncio.ensure_future(flood())
    await until(lambda: n_begun >= 1000, "the handlers that may be at work")
    other = await wire(server).joined_websocket()
    await other.close()
    assert n_begun <= 1001
    flooding.cancel()


async def test_a_client_that_has_gone(serve):
    """a client that vanishes while its events wait for handlers is noticed, however many they are"""
    sio = new_server(ping_interval=0.1, ping_timeout=0.1)
    held = Held(sio)
    gone: Mailbox[str] = Mailbox("disconnect handlers")
    sio.on("disconnect", lambda sid, reason: gone.put(reason))
    peer, _ = await FrameSocket.joined(await serve(sio))
    await peer.send_raw(frame(TEXT, b'42["work",0]') * 2 * SHARE)
    await until(lambda: sio.metrics()["host_queue_pauses"], "the pause")
    peer.abort()
    await gone.wait_for(1)
    held.go_on.set()


async def test_handlers_that_end_badly(serve, wire):
    """a handler frees its place however it ends"""
    sio = new_server()
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    done: Mailbox[int] = Mailbox("handlers")

    @sio.event
    async def work(sid, number):
        if number % 2:
            await asyncio.sleep(0)
        done.put(number)
        if number % 5 == 0:
            raise RuntimeError("boom")
        if number % 5 == 1:
            raise asyncio.CancelledError
        if number % 5 == 2:
            raise GeneratorExit
        if number % 5 == 3:
            task = asyncio.current_task()
            assert task is not None
            task.cancel()
            await asyncio.Event().wait()
        return object()

    server = await serve(sio)
    websocket = await wire(server).joined_websocket()
    for number in range(5 * SHARE):
        await websocket.send(f'421["work",{number}]')
    assert len(set(await done.wait_for(5 * SHARE))) == 5 * SHARE
    await until(lambda: set(sio._bridge.native.held().values()) == {0}, "the end of all handlers")


@pytest.mark.parametrize("slow", ["connect", "disconnect"])
async def test_coming_and_going(serve, wire, slow):
    """a client that comes and goes faster than its handlers end has a bounded number of them at work"""
    sio = new_server(always_connect=slow == "connect")
    log: Mailbox[str] = Mailbox("handlers")
    go_on = asyncio.Event()

    async def handler(sid: str, *rest: Any) -> None:
        log.put(sid)
        await go_on.wait()

    sio.on(slow, handler)
    server = await serve(sio)
    websocket = await wire(server).websocket()
    await websocket.receive()

    async def come_and_go() -> None:
        for _ in range(2 * SHARE):
            await websocket.join()
            await websocket.send("41")

    coming = asyncio.ensure_future(come_and_go())
    await until(lambda: sio.metrics()["host_queue_pauses"], "the pause")
    other = await wire(server).joined_websocket()
    assert len(log.seen) <= SHARE + 1
    go_on.set()
    await soon(coming, "the last time")
    assert len(set(await log.wait_for(2 * SHARE))) >= 2 * SHARE
    await other.close()
    await websocket.close()
    await until(lambda: set(sio._bridge.native.held().values()) == {0}, "the end of all handlers")
