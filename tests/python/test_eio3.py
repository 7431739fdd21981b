"""Clients of Socket.IO 2, which speak Engine.IO 3."""

from __future__ import annotations

import json
from typing import Any

import pytest

from support.target import ConnectionRefusedError, new_server
from support.waiting import Mailbox

pytestmark = pytest.mark.ferrio_only("python-socketio serves Engine.IO 4 only.")

OLD: dict[str, Any] = {"version": 2}
TRANSPORTS = pytest.mark.parametrize("transport", ["polling", "websocket"])


def old_server(**options: Any) -> Any:
    """A server for old clients that acknowledges `echo` with its own arguments."""
    sio = new_server(allow_eio3=True, **options)

    @sio.event
    async def echo(sid, *args):
        return args

    return sio


async def connects(serve: Any, connect_js: Any, transport: str) -> None:
    sio = old_server()
    client = await connect_js(await serve(sio), transports=[transport], **OLD)
    assert client.transport == transport
    assert sio.rooms(client.sid) == [client.sid]
    assert await client.call("echo", "old") == ("old",)


async def test_polling(serve, connect_js):
    """an old client connects over long-polling"""
    await connects(serve, connect_js, "polling")


@pytest.mark.both_loops
async def test_websocket(serve, connect_js):
    """an old client connects over WebSocket"""
    await connects(serve, connect_js, "websocket")


async def test_upgrade(serve, connect_js):
    """an old client upgrades from long-polling to WebSocket"""
    sio = old_server()
    client = await connect_js(await serve(sio), **OLD)
    await client.upgraded()
    assert await client.call("echo", "upgraded") == ("upgraded",)


async def test_refused_by_default(serve, connect_js):
    """an old client is refused unless allowEIO3 is set"""
    sio = new_server()
    server = await serve(sio)
    for transport in ("polling", "websocket"):
        client = await connect_js(server, wait=False, transports=[transport], **OLD)
        await client.refused()
        assert client.sid is None


@TRANSPORTS
async def test_events_and_acks(serve, connect_js, transport):
    """an old client sends and receives events and acks"""
    sio = old_server()
    client = await connect_js(await serve(sio), transports=[transport], **OLD)
    await client.answer("question", {"b": 2})
    value = {"text": "größe", "list": [1, None, True]}
    assert await client.call("echo", value, "second") == (value, "second")
    assert await sio.call("question", {"a": 1}, to=client.sid, timeout=10) == {"b": 2}
    await sio.emit("news", (value, 1), to=client.sid)
    assert await client.receive("news") == (value, 1)


async def bytes_both_ways(serve: Any, connect_js: Any, transport: str) -> None:
    sio = old_server()
    client = await connect_js(await serve(sio), transports=[transport], **OLD)
    every_byte = bytes(range(256))
    assert await client.call("echo", every_byte, {"deep": [b"", b"\x00"]}) == (
        every_byte,
        {"deep": [b"", b"\x00"]},
    )
    await client.answer("question", b"\xff\x00")
    assert await sio.call("question", every_byte, to=client.sid, timeout=10) == b"\xff\x00"
    assert await client.receive("question") == (every_byte,)


async def test_bytes_over_polling(serve, connect_js):
    """an old client sends and receives bytes over long-polling"""
    await bytes_both_ways(serve, connect_js, "polling")


async def test_bytes_over_websocket(serve, connect_js):
    """an old client sends and receives bytes over WebSocket"""
    await bytes_both_ways(serve, connect_js, "websocket")


async def test_namespace_with_query(serve, connect_js):
    """an old client joins a namespace with a query"""
    sio = old_server()
    seen: Mailbox[Any] = Mailbox("connect handlers")
    sio.on("connect", lambda sid, environ, auth: seen.put(auth), namespace="/chat")
    sio.on("echo", lambda sid, *args: args, namespace="/chat")
    server = await serve(sio)
    client = await connect_js(server, namespace="/chat", namespaceQuery={"token": "a b"}, **OLD)
    assert await seen.next() == {"token": "a b"}
    assert await client.call("echo", "chat") == ("chat",)


async def test_leaving_a_namespace(serve, connect_js):
    """an old client leaves one namespace and keeps the other"""
    sio = old_server()
    gone: Mailbox[str] = Mailbox("disconnect handlers")
    sio.on("disconnect", lambda sid, reason: gone.put(reason), namespace="/chat")
    server = await serve(sio)
    main = await connect_js(server, **OLD)
    chat = await connect_js(server, namespace="/chat", shared=main, **OLD)
    await chat.disconnect()
    assert await gone.next() == "client disconnect"
    assert await main.call("echo", "main") == ("main",)


async def test_refusal(serve, connect_js):
    """an old client is told why it was refused"""
    sio = old_server()

    @sio.on("connect", namespace="/guarded")
    async def refuse(sid, environ, auth):
        raise ConnectionRefusedError("not today")

    server = await serve(sio)
    main = await connect_js(server, **OLD)
    guarded = await connect_js(server, wait=False, namespace="/guarded", shared=main, **OLD)
    assert (await guarded.refused())["data"] == "not today"
    unknown = await connect_js(server, wait=False, namespace="/unknown", shared=main, **OLD)
    assert (await unknown.refused())["data"] == {"message": "Invalid namespace"}
    assert await main.call("echo", "main") == ("main",)


async def test_old_and_new(serve, connect_js):
    """old and new clients share rooms and broadcasts"""
    sio = old_server()
    server = await serve(sio)
    clients = [
        await connect_js(server, version=version, transports=[transport])
        for version in (2, 4)
        for transport in ("polling", "websocket")
    ]
    for client in clients[1:3]:
        await sio.enter_room(client.sid, "a")
    await sio.emit("news", {"bytes": b"\x00\xff"}, room="a")
    await sio.emit("fence", b"\x01")
    for client in clients:
        assert await client.receive("fence") == (b"\x01",)
    expected = [[], [({"bytes": b"\x00\xff"},)], [({"bytes": b"\x00\xff"},)], []]
    assert [client.received("news") for client in clients] == expected


@TRANSPORTS
async def test_pings(serve, connect_js, transport):
    """an old client's pings are answered"""
    sio = old_server(ping_interval=0.1, ping_timeout=5)
    client = await connect_js(await serve(sio), transports=[transport], **OLD)
    await client.heartbeats.wait_for(3)
    assert await client.call("echo", 1) == (1,)


async def test_missing_pings(serve, connect_js):
    """an old client that stops pinging is a ping timeout"""
    sio = old_server(ping_interval=0.1, ping_timeout=0.1)
    gone: Mailbox[str] = Mailbox("disconnect handlers")
    sio.on("disconnect", lambda sid, reason: gone.put(reason))
    client = await connect_js(await serve(sio), transports=["websocket"], **OLD)
    client.stop_pinging()
    assert await gone.next() == "ping timeout"


async def test_reasons(serve, connect_js):
    """an old client and the server agree on disconnect reasons"""
    sio = old_server()
    gone: Mailbox[str] = Mailbox("disconnect handlers")
    sio.on("disconnect", lambda sid, reason: gone.put(reason))
    server = await serve(sio)
    client = await connect_js(server, transports=["websocket"], **OLD)
    await client.disconnect()
    assert await gone.next() in ("client disconnect", "transport close")
    assert await client.disconnected() == "io client disconnect"
    client = await connect_js(server, transports=["websocket"], **OLD)
    await sio.disconnect(client.sid)
    assert await gone.next() == "server disconnect"
    assert await client.disconnected() == "io server disconnect"
    client = await connect_js(server, transports=["websocket"], **OLD)
    client.cut()
    assert await gone.next() == "transport close"


@TRANSPORTS
async def test_text_beyond_the_basic_plane(serve, connect_js, transport):
    """text beyond the basic plane survives the old framing"""
    sio = old_server()
    client = await connect_js(await serve(sio), transports=[transport], **OLD)
    text = "😀 é ☂ \U0010ffff"
    # Several packets in one payload show whether their lengths were counted right.
    for number in range(5):
        await sio.emit("news", (number, text * number), to=client.sid)
    assert await client.receive_many("news", 5) == [(number, text * number) for number in range(5)]
    assert await client.call("echo", text) == (text,)


async def test_jsonp(serve, wire):
    """JSONP polling carries events"""
    sio = old_server()
    http = wire(await serve(sio))
    query = {"EIO": "3", "transport": "polling", "j": "7"}

    async def poll(**more: str) -> list[str]:
        answer = await http.request("GET", {**query, **more})
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/javascript")
        assert answer.text.startswith("___eio[7](")
        assert answer.text.endswith(");")
        payload = json.loads(answer.text[len("___eio[7](") : -2])
        packets = []
        while payload:
            length, _, payload = payload.partition(":")
            packets.append(payload[: int(length)])
            payload = payload[int(length) :]
        return packets

    packets = await poll()
    sid = json.loads(packets[0][1:])["sid"]
    if len(packets) == 1:
        packets += await poll(sid=sid)
    assert packets[1] == "40"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    posted = await http.request(
        "POST", {**query, "sid": sid}, "d=15%3A421%5B%22echo%22%2C%22%C3%BC%22%5D", form
    )
    assert posted.status == 200
    assert await poll(sid=sid) == ['431["ü"]']
