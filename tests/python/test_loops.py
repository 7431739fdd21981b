"""Event loops of every kind, one after the other and side by side."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from support.doors import open_door
from support.loops import BareLoop, BlindLoop
from support.target import new_server
from support.waiting import Mailbox, soon, until
from support.wire import Wire

ferrio_only = pytest.mark.ferrio_only("python-socketio has no port of its own, and no thread beside the loop")


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "ferrio"]


@pytest.mark.blind_loop
async def test_blind_loop(serve, connect_js):
    """a loop that cannot watch descriptors serves, and its thread ends with the server"""
    sio = new_server()
    left: Mailbox[Any] = Mailbox("disconnects")
    sio.on("disconnect", lambda sid, reason: left.put(sid))

    @sio.event
    async def echo(sid, *args):
        await asyncio.sleep(0)
        return args

    before = set(readers())
    server = await serve(sio)
    client = await connect_js(server)
    for number in range(100):
        assert await client.call("echo", number) == (number,)
    answers = await asyncio.gather(*(client.call("echo", number) for number in range(100)))
    assert answers == [(number,) for number in range(100)]
    await client.answer("question", 7)
    assert await sio.call("question", to=client.sid) == 7
    sid = client.sid
    await client.disconnect()
    assert await left.next() == sid
    await server.stop()
    await until(lambda: set(readers()) <= before, "the end of the reading thread")


def with_echo() -> Any:
    sio = new_server()
    sio.on("echo", lambda sid, *args: args)
    return sio


async def echo_once(sio: Any) -> None:
    """Serves a client, which is still there at the end."""
    server = await open_door(sio, "standalone")
    wire = Wire(server)
    websocket = await wire.joined_websocket()
    await websocket.send('421["echo",7]')
    assert await websocket.receive() == "431[7]"
    await wire.close()


async def in_thread(function: Callable[..., Any], *args: Any) -> Any:
    return await soon(
        asyncio.get_running_loop().run_in_executor(None, function, *args), "the end of the thread"
    )


def run_on(make_loop: Callable[[], asyncio.AbstractEventLoop], coroutine: Any) -> None:
    """What `asyncio.run` does, on a loop of any make."""
    loop = make_loop()
    try:
        loop.run_until_complete(coroutine)
    finally:
        loop.close()


@ferrio_only
@pytest.mark.parametrize("make_loop", [asyncio.new_event_loop, BlindLoop, BareLoop])
async def test_one_loop_after_the_other(make_loop):
    """a server that is never shut down serves on one loop after the other"""
    sio = with_echo()
    for _ in range(5):
        await in_thread(run_on, make_loop, echo_once(sio))
    # All clients of the former loops are gone with the server.
    reference = weakref.ref(sio)
    del sio

    def is_gone() -> bool:
        gc.collect()
        return reference() is None

    # A reading thread holds the server for the moment in which it wakes its loop.
    await until(is_gone, "the end of the server")
    await until(lambda: not readers(), "the end of the reading threads")


@ferrio_only
async def test_handlers_outlive_the_server():
    """a handler that is at work when its server is shut down goes on"""
    sio = with_echo()
    log: Mailbox[str] = Mailbox("handlers")
    waits: list[weakref.ref[asyncio.Future[str]]] = []

    @sio.event
    async def work(sid):
        # Nobody has the future but the task, and nobody the task but the future.
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        waits.append(weakref.ref(future))
        log.put("begun")
        log.put(await future)

    server = await open_door(sio, "standalone")
    wire = Wire(server)
    websocket = await wire.joined_websocket()
    await websocket.send('42["work"]')
    await log.wait_for(1)
    await wire.close()
    await server.stop()
    del sio, server, work
    gc.collect()
    future = waits[0]()
    assert future is not None
    future.set_result("done")
    assert await log.wait_for(2) == ["begun", "done"]


@ferrio_only
async def test_dropped_at_work():
    """a server that is dropped with handlers at work and acks to come goes with its clients"""
    references: list[weakref.ref[Any]] = []

    async def begin() -> None:
        sio = with_echo()
        references.append(weakref.ref(sio))

        @sio.event
        async def hang(sid):
            await sio.emit("question", callback=lambda *args: sio)
            await asyncio.Event().wait()

        server = await open_door(sio, "standalone")
        wire = Wire(server)
        websocket = await wire.joined_websocket()
        await websocket.send('42["hang"]')
        assert "question" in str(await websocket.receive())
        await wire.close()

    await in_thread(run_on, asyncio.new_event_loop, begin())
    gc.collect()
    assert references[0]() is None


@ferrio_only
async def test_shutdown_on_another_loop():
    """a server whose loop has ended in the middle of its handlers is shut down on another"""
    sio = with_echo()
    left: list[str] = []

    @sio.event
    async def hang(sid):
        await asyncio.Event().wait()

    @sio.event
    async def disconnect(sid, reason):
        left.append(sid)
        if len(left) == 1:
            await asyncio.Event().wait()

    async def leave_all() -> None:
        server = await open_door(sio, "standalone")
        wire = Wire(server)
        websockets = [await wire.joined_websocket() for _ in range(3)]
        await websockets[1].send('42["hang"]')
        await websockets[0].send("41")
        await websockets[2].send('421["echo",7]')
        assert await websockets[2].receive() == "431[7]"
        await until(lambda: left, "the first disconnect")
        await wire.close()

    await in_thread(run_on, asyncio.new_event_loop, leave_all())
    await soon(sio.shutdown(), "the end of the server")
    assert len(left) == 3
    await in_thread(asyncio.run, echo_once(sio))


@ferrio_only
async def test_loops_side_by_side():
    """servers on loops of several threads do not disturb each other"""
    await asyncio.gather(*(in_thread(asyncio.run, echo_once(with_echo())) for _ in range(4)))


@ferrio_only
async def test_call_from_another_loop():
    """a call from another loop than the server's gets its answer"""
    sio = with_echo()
    server = await open_door(sio, "standalone")
    wire = Wire(server)
    websocket = await wire.joined_websocket()
    [client] = await sio.fetch_sockets()
    ways = [(lambda: sio.call("question", to=client.sid), 7), (lambda: sio.call_all("question"), [7])]
    for ask, answer in ways:
        answered = asyncio.ensure_future(in_thread(asyncio.run, ask()))
        question = await websocket.receive()
        assert isinstance(question, str)
        await websocket.send(f"43{question[2 : question.index('[')]}[7]")
        assert await answered == answer
    await wire.close()
    await server.stop()


@ferrio_only
async def test_used_on_two_loops():
    """a server that is used on a second loop at the same time says so"""
    sio = with_echo()
    server = await open_door(sio, "standalone")
    with pytest.raises(RuntimeError, match="another event loop"):
        await in_thread(asyncio.run, echo_once(sio))
    await server.stop()


@ferrio_only
@pytest.mark.parametrize("way", ["await", "wait_for", "gather"])
async def test_shutdown_in_every_disconnect(way):
    """disconnect handlers that shut the server down do not wait for each other"""
    sio = new_server()
    over: Mailbox[str] = Mailbox("disconnect handlers")

    @sio.event
    async def disconnect(sid, reason):
        if way == "await":
            await sio.shutdown()
        elif way == "wait_for":
            await asyncio.wait_for(sio.shutdown(), 60)
        else:
            await asyncio.gather(sio.shutdown(), sio.shutdown())
        over.put(sid)

    server = await open_door(sio, "standalone")
    wire = Wire(server)
    websockets = [await wire.joined_websocket() for _ in range(3)]
    await websockets[0].close()
    await over.wait_for(3)
    await soon(sio.shutdown(), "the end of the server")
    await wire.close()


@ferrio_only
async def test_shutdown_in_the_connect_handler():
    """a connect handler may shut the server down"""
    sio = new_server()
    errors: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))
    over: Mailbox[str] = Mailbox("connect handlers")

    @sio.event
    async def connect(sid, environ, auth):
        await sio.shutdown()
        over.put(sid)

    sio.on("disconnect", lambda sid, reason: None)
    server = await open_door(sio, "standalone")
    wire = Wire(server)
    websocket = await wire.websocket()
    await websocket.receive()
    await websocket.send("40")
    await over.next()
    await websocket.until_closed()
    await wire.close()
    assert errors == []
