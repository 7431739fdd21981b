"""Handlers that fail, wait for ever or end what they are called for, and clients that flood: nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import Any

import pytest

from engine.target import QUICK, new_server, recorded
from support.waiting import Mailbox, soon, until

pytestmark = pytest.mark.ferrio_only(
    "python-engineio neither bounds what is under way nor forgets who has gone meanwhile."
)

POLLING = {"EIO": "4", "transport": "polling"}
TRANSPORTS = pytest.mark.parametrize("transport", ["polling", "websocket"])


def held(eio: Any) -> dict[str, int]:
    """How much the native part keeps for clients and handlers."""
    counts: dict[str, int] = eio._bridge.native.held()
    return counts


async def nothing_held(eio: Any) -> None:
    await until(lambda: set(held(eio).values()) == {0}, f"the end of all that is kept: {held(eio)}")


class Gate:
    """A message handler that waits until it is let go on."""

    def __init__(self, eio: Any) -> None:
        self.begun: Mailbox[Any] = Mailbox("handlers that have begun")
        self.ended: Mailbox[Any] = Mailbox("handlers that have ended")
        self.open = asyncio.Event()
        eio.on("message", self.message)

    async def message(self, sid: str, data: Any) -> None:
        self.begun.put(data)
        await self.open.wait()
        self.ended.put(data)


@TRANSPORTS
async def test_flood(serve, connect_js, transport):
    """a client has only so many messages under way, and another is served meanwhile"""
    eio = new_server(limits={"host_queue_share": 4})
    gate, ends = Gate(eio), Mailbox("disconnects")
    eio.on("disconnect", lambda sid: ends.put(sid))
    server = await serve(eio)
    flooding = await connect_js(server, transports=[transport])
    for idx in range(200):
        flooding.send(f"message {idx}")
    await gate.begun.wait_for(4)
    other = await connect_js(server, transports=[transport])
    other.send("other")
    await until(lambda: "other" in gate.begun.seen, "the other client's message")
    # A POST brings what it brings; more is not read.
    assert len(gate.begun.seen) < 60
    assert len(eio.sockets) == 2
    gate.open.set()
    await gate.ended.wait_for(201)
    assert [data for data in gate.begun.seen if data != "other"] == [f"message {idx}" for idx in range(200)]
    flooding.close()
    other.close()
    await ends.wait_for(2)
    await nothing_held(eio)


async def test_flood_of_synchronous_handlers(serve, wire):
    """what comes faster than it is handled waits, and is handled in order"""
    eio = new_server(async_handlers=False, limits={"host_queue": 16, "host_queue_share": 4})
    seen: Mailbox[Any] = Mailbox("messages")
    eio.on("message", lambda sid, data: seen.put(data))
    websocket = await wire(await serve(eio)).websocket()
    for idx in range(1000):
        await websocket.send(f"4m{idx}")
    assert await seen.wait_for(1000) == [f"m{idx}" for idx in range(1000)]


@TRANSPORTS
async def test_handler_that_never_ends(serve, connect_js, transport):
    """with handlers one by one, a client that has gone waits for the one at work as long as its silence would take"""
    eio = new_server(async_handlers=False, **QUICK)
    calls, gate = recorded(eio), Gate(eio)
    client = await connect_js(await serve(eio), transports=[transport])
    client.send("first")
    client.send("second")
    await gate.begun.wait_for(1)
    client.close()
    (_, end) = await calls.wait_for(2)
    assert end[:2] == ("disconnect", client.sid)
    assert gate.begun.seen == ["first"]
    assert client.sid not in eio.sockets
    gate.open.set()
    await gate.ended.wait_for(1)
    await nothing_held(eio)
    assert gate.begun.seen == ["first"]


@TRANSPORTS
async def test_connect_handler_that_waits(serve, connect_js, wire, transport):
    """others connect while a connect handler waits"""
    eio = new_server()
    gate, begun = asyncio.Event(), Mailbox("connect handlers")

    @eio.on("connect")
    async def connected(sid, environ):
        begun.put(sid)
        if "slow" in environ["QUERY_STRING"]:
            await gate.wait()

    server = await serve(eio)
    slow = await connect_js(server, wait=False, transports=[transport], query={"slow": "1"})
    await begun.wait_for(1)
    assert not eio.sockets[begun.seen[0]].connected
    quick = await connect_js(server, transports=[transport])
    assert list(eio.sockets) == [begun.seen[0], quick.sid]
    gate.set()
    await slow.opened()
    await until(lambda: eio.sockets[slow.sid].connected, "the connection")


@TRANSPORTS
@pytest.mark.parametrize("accepts", [True, False])
async def test_client_that_does_not_wait(serve, wire, transport, accepts):
    """who goes while its connect handler waits is disconnected, if it was accepted, and forgotten"""
    eio = new_server()
    gate, calls = asyncio.Event(), recorded(eio)

    @eio.on("connect")
    async def connected(sid, environ):
        calls.put(("connect", sid))
        await gate.wait()
        return accepts or "not you"

    server = await serve(eio)
    http = wire(server)
    opening = asyncio.ensure_future(
        http.request("GET", POLLING) if transport == "polling" else http.websocket()
    )
    ((_, sid),) = await calls.wait_for(1)
    opening.cancel()
    with contextlib.suppress(BaseException):
        await opening
    await http.close()
    # Seen by the server before the handler goes on.
    await wire(server).request("GET", {**POLLING, "transport": "none"})
    gate.set()
    if accepts:
        (_, end) = await calls.wait_for(2)
        assert end in (("disconnect", sid, "transport close"), ("disconnect", sid, "transport error"))
    await until(lambda: sid not in eio.sockets, "the end of the session")
    await nothing_held(eio)


@TRANSPORTS
async def test_refused_while_it_is_ended(serve, connect_js, transport):
    """a client that is disconnected from outside while it connects gets what was sent, and the end"""
    eio = new_server()
    calls, gate = recorded(eio), asyncio.Event()

    @eio.on("connect")
    async def connected(sid, environ):
        calls.put(("connect", sid))
        await eio.send(sid, "last words")
        await gate.wait()

    client = await connect_js(await serve(eio), wait=False, transports=[transport])
    ((_, sid),) = await calls.wait_for(1)
    await soon(eio.disconnect(sid), "disconnect()")
    assert calls.seen[1:] == [("disconnect", sid, "server disconnect")]
    assert sid not in eio.sockets
    await eio.send(sid, "too late")
    gate.set()
    await client.ended.next()
    assert client.messages.seen == ["last words"]
    await nothing_held(eio)
    assert len(calls.seen) == 2


@TRANSPORTS
async def test_disconnect_everywhere(serve, connect_js, transport):
    """disconnect() in every handler, of oneself and of all, ends a client once"""
    eio = new_server()
    calls: Mailbox[Any] = Mailbox("handlers")

    @eio.on("message")
    async def message(sid, data):
        calls.put("message")
        await eio.disconnect(sid)
        await eio.disconnect()
        await eio.disconnect(sid)

    @eio.on("disconnect")
    async def disconnected(sid, reason):
        calls.put(reason)
        await eio.disconnect(sid)
        await eio.disconnect()
        await eio.send(sid, "to nobody")

    client = await connect_js(await serve(eio), transports=[transport])
    client.send("one")
    client.send("two")
    await client.ended.next()
    await nothing_held(eio)
    assert calls.seen.count("server disconnect") == 1
    assert not eio.sockets


@TRANSPORTS
async def test_send_after_the_end(serve, connect_js, transport):
    """what is sent to a client that has gone goes nowhere"""
    eio = new_server()
    calls = recorded(eio)
    client = await connect_js(await serve(eio), transports=[transport])
    socket = eio.sockets[client.sid]
    client.close()
    await calls.wait_for(2)
    await until(lambda: client.sid not in eio.sockets, "the end of the session")
    for data in ("text", b"bytes", {"a": 1}):
        await eio.send(client.sid, data)
    await eio.disconnect(client.sid)
    assert (socket.connected, socket.closed, socket.sid) == (False, True, client.sid)
    with pytest.raises(KeyError):
        await eio.get_session(client.sid)
    await nothing_held(eio)


class Records(logging.Handler):
    """Keeps what is logged as an error."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.errors.append(record.exc_info[1])


def listening_logger() -> tuple[logging.Logger, Records]:
    logger, records = logging.Logger("application"), Records()
    logger.addHandler(records)
    return logger, records


@TRANSPORTS
@pytest.mark.parametrize(
    ("made", "error"),
    [(7, TypeError), (None, TypeError), (b"id", TypeError), ("", ValueError), ("\ud800", UnicodeEncodeError)],
    ids=repr,
)
async def test_ids_of_no_use(serve, wire, transport, made, error):
    """an id that is none refuses the client, and is reported"""
    logger, records = listening_logger()
    eio = new_server(logger=logger)
    calls = recorded(eio)
    eio.generate_id = lambda: made
    http = wire(await serve(eio))
    if transport == "polling":
        assert (await http.request("GET", POLLING)).status == 400
    else:
        with pytest.raises(Exception, match=r"40[03]"):
            await http.websocket()
    assert isinstance(records.errors[0], error)
    assert not calls.seen
    eio.generate_id = lambda: "mine"
    assert (await http.open_session()).sid == "mine"


async def test_ids_that_fail(serve, wire):
    """a generate_id that raises refuses the client, and is reported"""
    logger, records = listening_logger()
    eio = new_server(logger=logger)
    error = RuntimeError("out of order")

    def fail() -> str:
        raise error

    eio.generate_id = fail
    http = wire(await serve(eio))
    assert (await http.request("GET", POLLING)).status == 400
    assert records.errors == [error]
    await nothing_held(eio)


@pytest.mark.parametrize("is_connecting", [False, True])
async def test_id_in_use(serve, wire, is_connecting):
    """an id that another session has refuses the client, and harms nobody"""
    logger, records = listening_logger()
    eio = new_server(logger=logger)
    gate, begun = asyncio.Event(), Mailbox("connect handlers")
    eio.generate_id = lambda: "mine"

    @eio.on("connect")
    async def connected(sid, environ):
        begun.put(sid)
        if is_connecting:
            await gate.wait()

    http = wire(await serve(eio))
    opening = asyncio.ensure_future(http.open_session())
    await begun.wait_for(1)
    if not is_connecting:
        await opening
    assert (await http.request("GET", POLLING)).status == 400
    assert isinstance(records.errors[0], ValueError)
    gate.set()
    session = await opening
    await eio.send("mine", "still here")
    assert await session.receive() == "4still here"
    assert begun.seen == ["mine"]


@pytest.mark.parametrize("result", [object(), {1, 2}, float])
async def test_refusal_that_is_no_json(serve, wire, result):
    """a connect handler's result that JSON does not know refuses the client all the same"""
    logger, records = listening_logger()
    eio = new_server(logger=logger)
    eio.on("connect", lambda sid, environ: result)
    answer = await wire(await serve(eio)).request("GET", POLLING)
    assert (answer.status, answer.text) == (401, '"Unauthorized"')
    assert isinstance(records.errors[0], TypeError)
    await nothing_held(eio)


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("error", [asyncio.CancelledError(), RuntimeError("out of order")], ids=repr)
async def test_connect_handlers_that_fail(serve, wire, error, waits):
    """a connect handler that fails or is cancelled, before or after a wait, refuses its client"""
    logger, _ = listening_logger()
    eio = new_server(logger=logger)

    @eio.on("connect")
    async def connected(sid, environ):
        if waits:
            await asyncio.sleep(0)
        raise error

    answer = await wire(await serve(eio)).request("GET", POLLING)
    assert (answer.status, answer.text) == (401, '"Unauthorized"')
    await nothing_held(eio)


@TRANSPORTS
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 50_000, '"\\ud800"', "-" * 50_000, "1" * 50_000])
async def test_texts_that_are_hard_to_read(serve, wire, transport, text):
    """a text that is no JSON, or too deep, is a text, and the session goes on"""
    eio = new_server()
    calls = recorded(eio)
    http = wire(await serve(eio))
    if transport == "polling":
        session = await http.open_session()
        assert (await session.post("4" + text)).status == 200
        await session.post("4end")
    else:
        websocket = await http.websocket()
        await websocket.send("4" + text)
        await websocket.send("4end")
    messages = [call[2] for call in (await calls.wait_for(3))[1:]]
    assert messages[1] == "end"
    assert messages[0] in (text, "\ud800")


async def test_disconnect_handler_that_never_ends(serve, connect_js):
    """a disconnect handler that waits holds up nobody else's disconnect"""
    eio = new_server()
    gate, begun = asyncio.Event(), Mailbox("disconnects")

    @eio.on("disconnect")
    async def disconnected(sid, reason):
        begun.put(sid)
        await gate.wait()

    server = await serve(eio)
    first, second = await connect_js(server), await connect_js(server)
    ending = asyncio.ensure_future(eio.disconnect())
    assert set(await begun.wait_for(2)) == {first.sid, second.sid}
    assert set(eio.sockets) == {first.sid, second.sid}
    assert all(socket.closed for socket in eio.sockets.values())
    third = await connect_js(server)
    third.send("still served")
    gate.set()
    await soon(ending, "disconnect()")
    assert list(eio.sockets) == [third.sid]


async def test_disconnect_that_is_cancelled(serve, connect_js):
    """a disconnect() that nobody waits for any more has ended its client all the same"""
    eio = new_server()
    begun = Mailbox("disconnects")

    @eio.on("disconnect")
    async def disconnected(sid, reason):
        begun.put(sid)
        await asyncio.Event().wait()

    client = await connect_js(await serve(eio))
    ending = asyncio.ensure_future(eio.disconnect(client.sid))
    await begun.wait_for(1)
    ending.cancel()
    await client.ended.next()
    await until(lambda: not eio.sockets, "the end of the session")
    await nothing_held(eio)


async def test_shutdown_while_a_client_connects(serve, wire):
    """a shutdown does not wait for a connect handler, whose client is refused"""
    eio = new_server()
    gate, begun = asyncio.Event(), Mailbox("connect handlers")

    @eio.on("connect")
    async def connected(sid, environ):
        begun.put(sid)
        await gate.wait()

    server = await serve(eio)
    opening = asyncio.ensure_future(wire(server).request("GET", POLLING))
    await begun.wait_for(1)
    await soon(eio.shutdown(), "the shutdown")
    assert (await soon(opening, "the answer")).status == 503
    assert not eio.sockets
    gate.set()
    await eio.sleep()
    assert not eio.sockets


async def test_options_of_no_use():
    """an option that there is not is refused, as is a value that is none"""
    for options, error in (
        ({"ping_intervall": 3}, TypeError),
        ({"serializer": "msgpack"}, TypeError),
        ({"connect_timeout": 3}, TypeError),
        ({"ping_interval": 0}, ValueError),
        ({"max_http_buffer_size": "1"}, TypeError),
        ({"limits": {"max_connections": 0}}, ValueError),
    ):
        with pytest.raises(error, match=f"option `{next(iter(options))}"):
            new_server(**options)


async def test_option_that_is_set_too_late(serve, connect_js):
    """an option that is set on a running server is reported"""
    logger = logging.Logger("application")
    warnings: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: warnings.append(record.getMessage())  # type: ignore[method-assign]
    logger.addHandler(handler)
    eio = new_server(logger=logger)
    eio.ping_timeout = 19
    assert not warnings
    await connect_js(await serve(eio))
    eio.ping_timeout = 18
    assert "ping_timeout" in warnings[0]
