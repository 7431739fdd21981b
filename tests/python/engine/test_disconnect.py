"""How a session ends, and what the disconnect handler learns."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from engine.target import QUICK, new_server, recorded
from support.waiting import Mailbox, soon, until

TRANSPORTS = pytest.mark.parametrize("transport", ["polling", "websocket"])


def test_reasons():
    """the reasons are constants of the server"""
    reason = new_server().reason
    assert reason.SERVER_DISCONNECT == "server disconnect"
    assert reason.CLIENT_DISCONNECT == "client disconnect"
    assert reason.PING_TIMEOUT == "ping timeout"
    assert reason.TRANSPORT_CLOSE == "transport close"
    assert reason.TRANSPORT_ERROR == "transport error"


@pytest.mark.parametrize(
    ("transport", "reasons"),
    # The client may close its WebSocket before its CLOSE packet is out.
    [("polling", {"client disconnect"}), ("websocket", {"client disconnect", "transport close"})],
)
async def test_python_client_leaves(serve, connect, transport, reasons):
    """python-engineio's client ends its session"""
    eio = new_server()
    calls = recorded(eio)
    client = await connect(await serve(eio), transports=[transport])
    sid = client.sid
    leaving = asyncio.ensure_future(client.disconnect())
    (_, end) = await calls.wait_for(2)
    assert end[:2] == ("disconnect", sid)
    assert end[2] in reasons
    # Over polling the client waits for the answer to its poll, which python-engineio does not give before its next ping.
    leaving.cancel()


@TRANSPORTS
async def test_close_packet(serve, wire, transport):
    """a CLOSE packet of the client ends its session"""
    eio = new_server()
    calls = recorded(eio)
    http = wire(await serve(eio))
    if transport == "polling":
        session = await http.open_session()
        assert (await session.post("1")).status == 200
    else:
        websocket = await http.websocket()
        await websocket.receive()
        await websocket.send("1")
    (_, end) = await calls.wait_for(2)
    assert end == ("disconnect", calls.seen[0][1], "client disconnect")
    with pytest.raises(KeyError):
        eio.transport(end[1])


async def test_websocket_is_closed(serve, wire):
    """a WebSocket that is closed without a CLOSE packet is a transport that closed"""
    eio = new_server()
    calls = recorded(eio)
    websocket = await wire(await serve(eio)).websocket()
    await websocket.receive()
    await websocket.close()
    assert (await calls.wait_for(2))[1][2] == "transport close"


async def test_connection_is_cut(serve, connect_js):
    """a connection that breaks is a transport that closed"""
    eio = new_server()
    calls = recorded(eio)
    client = await connect_js(await serve(eio), transports=["websocket"])
    client.cut()
    assert (await calls.wait_for(2))[1] == ("disconnect", client.sid, "transport close")


@TRANSPORTS
async def test_js_client_leaves(serve, connect_js, transport):
    """engine.io-client ends its session"""
    eio = new_server()
    calls = recorded(eio)
    client = await connect_js(await serve(eio), transports=[transport])
    client.close()
    (_, end) = await calls.wait_for(2)
    assert end[:2] == ("disconnect", client.sid)
    # The client's WebSocket is just closed, its polling transport says so.
    assert end[2] == ("client disconnect" if transport == "polling" else "transport close")


async def test_server_disconnects(serve, connect):
    """disconnect(sid) ends a client's session, and its handler has run when it returns"""
    eio = new_server()
    calls = recorded(eio)
    client = await connect(await serve(eio), transports=["websocket"])
    sid = client.sid
    await soon(eio.disconnect(sid), "disconnect()")
    assert calls.seen[1:] == [("disconnect", sid, "server disconnect")]
    assert sid not in eio.sockets
    await client.ended.next()


async def test_server_disconnects_a_poll(serve, wire):
    """a client that polls when it is disconnected gets what was sent before, and the end"""
    eio = new_server()
    calls = recorded(eio)
    session = await wire(await serve(eio)).open_session()
    poll = await session.start_poll()
    await eio.send(session.sid, "last words")
    await soon(eio.disconnect(session.sid), "disconnect()")
    assert calls.seen[-1] == ("disconnect", session.sid, "server disconnect")
    packets = (await soon(poll, "the poll")).packets
    if packets[-1] != "1":
        packets += (await session.poll()).packets
    # As in npm's engine.io, a NOOP may come with the CLOSE.
    assert [packet for packet in packets if packet != "6"] == ["4last words", "1"]
    assert (await session.poll()).status == 400


async def test_server_disconnects_everybody(serve, connect):
    """disconnect() without a sid ends every session"""
    eio = new_server()
    calls = recorded(eio)
    server = await serve(eio)
    clients = [await connect(server, transports=["websocket"]) for _ in range(3)]
    sids = {client.sid for client in clients}
    await soon(eio.disconnect(), "disconnect()")
    assert {call[1:] for call in calls.seen if call[0] == "disconnect"} == {
        (sid, "server disconnect") for sid in sids
    }
    assert len(eio.sockets) == 0
    for client in clients:
        await client.ended.next()


@pytest.mark.ferrio_only("python-engineio leaves the WebSocket open, and engine.io-client waits for its end.")
async def test_server_disconnects_js_client(serve, connect_js):
    """engine.io-client learns at once that it was disconnected"""
    eio = new_server()
    client = await connect_js(await serve(eio), transports=["websocket"])
    await soon(eio.disconnect(client.sid), "disconnect()")
    assert await client.ended.next() == "transport close"


@pytest.mark.ferrio_only("python-engineio waits for a poll that it refuses when it comes.")
async def test_server_disconnects_between_polls(serve, wire):
    """disconnect() does not wait for a client that does not poll, which learns of the end all the same"""
    eio = new_server()
    session = await wire(await serve(eio)).open_session()
    await soon(eio.disconnect(session.sid), "disconnect()")
    assert await session.is_gone()


@pytest.mark.ferrio_only("python-engineio waits for a poll that can only come when the handler has ended.")
@TRANSPORTS
async def test_disconnect_in_connect_handler(serve, connect_js, transport):
    """a connect handler may disconnect its client"""
    eio = new_server()
    calls = recorded(eio)

    @eio.on("connect")
    async def connected(sid, environ):
        await eio.disconnect(sid)

    client = await connect_js(await serve(eio), wait=False, transports=[transport])
    await client.ended.next()
    assert [call[0] for call in await calls.wait_for(1)] == ["disconnect"]
    assert len(eio.sockets) == 0


async def test_last_messages(serve, connect):
    """what was sent before disconnect() arrives before the end"""
    eio = new_server()
    client = await connect(await serve(eio), transports=["websocket"])
    sid = client.sid
    for idx in range(5):
        await eio.send(sid, f"message {idx}")
    await eio.disconnect(sid)
    await client.ended.next()
    assert client.messages.seen == [f"message {idx}" for idx in range(5)]


async def test_disconnect_in_message_handler(serve, connect):
    """a message handler may disconnect its own client"""
    eio = new_server()
    calls = recorded(eio)

    @eio.on("message")
    async def message(sid, data):
        await eio.disconnect(sid)

    client = await connect(await serve(eio), transports=["websocket"])
    sid = client.sid
    await client.send("enough")
    await client.ended.next()
    assert (await calls.wait_for(2))[1] == ("disconnect", sid, "server disconnect")


async def test_disconnect_nobody():
    """disconnecting nobody does nothing"""
    await new_server().disconnect("nobody")


async def test_ping_timeout(serve, wire):
    """a polling client that is silent is disconnected"""
    eio = new_server(**QUICK)
    calls = recorded(eio)
    session = await wire(await serve(eio)).open_session()
    assert (await session.poll()).text == "2"
    assert (await calls.wait_for(2))[1] == ("disconnect", session.sid, "ping timeout")
    await until(lambda: session.sid not in eio.sockets, "the end of the session")


async def test_silent_websocket(serve, wire):
    """a WebSocket that answers no ping is disconnected"""
    eio = new_server(**QUICK)
    calls = recorded(eio)
    websocket = await wire(await serve(eio)).websocket()
    assert (await websocket.until_closed())[1] == "2"
    # python-engineio gives up reading at about the time when it looks for silent clients.
    assert (await calls.wait_for(2))[1][2] in ("ping timeout", "transport close")


@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_handler_without_reason(serve, connect_js, is_coroutine):
    """a disconnect handler may do without the reason"""
    eio = new_server()
    ends = Mailbox("disconnects")

    async def disconnected_later(sid: str) -> None:
        ends.put(sid)

    eio.on("disconnect", disconnected_later if is_coroutine else (lambda sid: ends.put(sid)))
    client = await connect_js(await serve(eio), transports=["websocket"])
    client.close()
    assert await ends.next() == client.sid


async def test_failing_handler(serve, connect):
    """a disconnect handler that raises keeps nobody alive"""
    eio = new_server()
    ends = Mailbox("disconnects")

    @eio.on("disconnect")
    async def disconnected(sid, reason):
        ends.put(sid)
        raise RuntimeError("out of order")

    client = await connect(await serve(eio), transports=["websocket"])
    sid = client.sid
    await soon(eio.disconnect(sid), "disconnect()")
    assert ends.seen == [sid]
    assert sid not in eio.sockets
    await client.ended.next()


async def test_handler_sees_the_client(serve, connect_js):
    """session and transport are there in the disconnect handler, and gone after it"""
    eio = new_server()
    seen: Mailbox[Any] = Mailbox("disconnects")

    @eio.on("connect")
    async def connected(sid, environ):
        await eio.save_session(sid, {"name": "ada"})

    @eio.on("disconnect")
    async def disconnected(sid, reason):
        seen.put((await eio.get_session(sid), eio.transport(sid)))
        await eio.send(sid, "too late")

    client = await connect_js(await serve(eio), transports=["websocket"])
    client.close()
    assert await seen.next() == ({"name": "ada"}, "websocket")
    await until(lambda: client.sid not in eio.sockets, "the end of the session")
    for lost in (eio.get_session(client.sid), eio.save_session(client.sid, {})):
        with pytest.raises(KeyError):
            await lost
    with pytest.raises(KeyError):
        eio.transport(client.sid)
    await eio.send(client.sid, "to nobody")
    await eio.disconnect(client.sid)


async def test_once(serve, connect):
    """a client is disconnected once, whoever wanted it"""
    eio = new_server()
    calls = recorded(eio)
    server = await serve(eio)
    client = await connect(server, transports=["websocket"])
    sid = client.sid
    await soon(asyncio.gather(eio.disconnect(sid), eio.disconnect(sid)), "both disconnects")
    await client.ended.next()
    await connect(server, transports=["websocket"])
    assert [call[0] for call in calls.seen] == ["connect", "disconnect", "connect"]


async def test_session_can_be_opened_again(serve, connect_js):
    """a client that comes back has a session of its own"""
    eio = new_server()
    calls = recorded(eio)
    server = await serve(eio)
    first = await connect_js(server, transports=["websocket"])
    first.close()
    await calls.wait_for(2)
    second = await connect_js(server, transports=["websocket"])
    assert second.sid != first.sid
    assert [call[0] for call in calls.seen] == ["connect", "disconnect", "connect"]
