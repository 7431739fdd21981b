"""Clients that the application puts out: nothing of theirs is handled any more."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from support.target import AsyncNamespace, new_server
from support.waiting import Mailbox, soon, until

pytestmark = [
    pytest.mark.doors("uvicorn"),
    pytest.mark.ferrio_only("python-socketio handles what came before"),
]

NAMES = [f"event-{number}" for number in range(100)]
BATCH = "\x1e".join(f'42["{name}"]' for name in ["first", *NAMES])

WAYS: dict[str, Callable[[Any, str], Awaitable[None]]] = {
    "disconnect": lambda sio, sid: sio.disconnect(sid),
    "disconnect and close": lambda sio, sid: sio.disconnect(sid, close=True),
    "disconnect_sockets": lambda sio, sid: sio.disconnect_sockets(),
    "room": lambda sio, sid: sio.disconnect_sockets(sid, close=True),
    "shutdown": lambda sio, sid: sio.shutdown(),
}


def registered(sio: Any, kind: str, way: str, log: Mailbox[str]) -> None:
    """Lets the first event put its client out, and every other be noted."""

    async def first(sid: str) -> None:
        log.put("first")
        await WAYS[way](sio, sid)
        log.put("put out")

    async def disconnect(sid: str, reason: str) -> None:
        await asyncio.sleep(0)
        log.put("disconnect")

    async def waiting(name: str) -> None:
        log.put(name)
        await asyncio.sleep(0)

    if kind == "class":

        class Handlers(AsyncNamespace):
            async def trigger_event(self, event: str, *args: Any) -> None:
                own = {"first": first, "disconnect": disconnect}.get(event)
                if own is not None:
                    await own(*args)
                elif event != "connect":
                    await waiting(event)

        sio.register_namespace(Handlers())
        return
    sio.on("first", first)
    sio.on("disconnect", disconnect)
    if kind == "plain":
        sio.on("*", lambda event, sid: log.put(event))
    else:
        sio.on("*", lambda event, sid: waiting(event))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["plain", "coroutine", "class"])
@pytest.mark.parametrize("async_handlers", [True, False])
async def test_batch(serve, wire, way, kind, async_handlers):
    """what came with the event whose handler puts its client out is not handled"""
    sio = new_server(async_handlers=async_handlers)
    log: Mailbox[str] = Mailbox("handlers")
    registered(sio, kind, way, log)
    server = await serve(sio)
    session = await wire(server).join()
    await session.post(BATCH)
    await log.wait_for(3)
    # By the answer to another client everything of the former has been handled.
    if way != "shutdown":
        await wire(server).join()
        await sio.shutdown()
        assert log.seen == ["first", "disconnect", "put out", *["disconnect"] * (len(log.seen) - 3)]
    assert not set(log.seen) & set(NAMES)


async def test_waiting_in_line(serve, wire):
    """what waits for a handler is not handled once its client is put out from elsewhere"""
    sio = new_server(async_handlers=False)
    log: Mailbox[str] = Mailbox("handlers")
    go_on = asyncio.Event()

    @sio.event
    async def first(sid):
        log.put("first")
        await go_on.wait()
        log.put("end of first")

    @sio.event
    async def disconnect(sid, reason):
        log.put("disconnect")

    @sio.on("*")
    async def others(event, sid):
        log.put(event)

    server = await serve(sio)
    session = await wire(server).join()
    await session.post(BATCH)
    await log.wait_for(1)
    [client] = await sio.fetch_sockets()
    # The handler that goes on leaves its place to the next event, which must not begin any more in that same turn.
    go_on.set()
    await asyncio.sleep(0)
    await client.disconnect()
    await until(lambda: "end of first" in log.seen, "the end of the handler")
    await wire(server).join()
    assert sorted(log.seen) == ["disconnect", "end of first", "first"]


async def test_pending_callback(serve, wire):
    """a callback is not called once its client is put out"""
    sio = new_server()
    log: Mailbox[Any] = Mailbox("handlers")

    @sio.event
    async def first(sid):
        await sio.disconnect(sid)
        log.put("put out")

    server = await serve(sio)
    session = await wire(server).join()
    await sio.emit("question", callback=log.put)
    question = await session.receive()
    await session.post('42["first"]\x1e' + f"43{question[2 : question.index('[')]}[7]")
    await log.wait_for(1)
    await wire(server).join()
    assert log.seen == ["put out"]
    assert set(sio._bridge.native.held().values()) == {0}


@pytest.mark.parametrize("always_connect", [False, True])
@pytest.mark.parametrize("close", [False, True])
async def test_in_the_connect_handler(serve, wire, always_connect, close):
    """a client that its own connect handler puts out is out, and its disconnect handler runs once"""
    sio = new_server(always_connect=always_connect)
    log: Mailbox[str] = Mailbox("handlers")

    @sio.event
    async def connect(sid, environ, auth):
        await asyncio.sleep(0)
        await sio.disconnect(sid, close=close)
        log.put("connect")

    sio.on("disconnect", lambda sid, reason: log.put("disconnect"))
    sio.on("*", lambda event, sid: log.put(event))
    server = await serve(sio)
    websocket = await wire(server).websocket()
    await websocket.receive()
    await websocket.send("40")
    if close:
        while await websocket.receive_or_end() is not None:
            pass
    else:
        joined = await websocket.receive()
        assert isinstance(joined, str)
        assert joined.startswith("40{")
        assert await websocket.receive() == "41"
    await log.wait_for(2)
    assert await sio.fetch_sockets() == []
    await soon(sio.shutdown(), "the end of the server")
    assert sorted(log.seen) == ["connect", "disconnect"]


async def test_every_farewell(serve, wire):
    """every client that is put out has its disconnect handler called, whatever those of others do"""
    sio = new_server()
    log: Mailbox[str] = Mailbox("handlers")
    hang = asyncio.Event()

    @sio.event
    async def disconnect(sid, reason):
        log.put(sid)
        if len(log.seen) == 1:
            raise RuntimeError("boom")
        if len(log.seen) == 3:
            hang.set()
            await asyncio.Event().wait()

    server = await serve(sio)
    sids = {await (await wire(server).open_session()).join() for _ in range(5)}
    farewells = asyncio.ensure_future(sio.disconnect_sockets())
    await soon(hang.wait(), "the third handler")
    # The caller gives up: the others hear of it nevertheless.
    farewells.cancel()
    assert set(await log.wait_for(5)) == sids


async def test_refused_while_in(serve, wire):
    """a client that leaves before it is refused, having been let in at first, has no disconnect"""
    sio = new_server(always_connect=True)
    log: Mailbox[str] = Mailbox("handlers")
    go_on = asyncio.Event()

    @sio.event
    async def connect(sid, environ, auth):
        await go_on.wait()
        log.put("refused")
        return False

    sio.on("disconnect", lambda sid, reason: log.put("disconnect"))
    sio.on("*", lambda event, sid: log.put(event))
    server = await serve(sio)
    session = await wire(server).join()
    await session.post('42["early"]\x1e41')
    go_on.set()
    await log.wait_for(1)
    await soon(sio.shutdown(), "the end of the server")
    assert log.seen == ["refused"]
