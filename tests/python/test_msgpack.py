"""The MessagePack parser: the same traffic in another form, with bytes in place."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from support.target import ConnectionRefusedError, new_server
from support.waiting import Mailbox

both_clients = pytest.mark.clients("js", "python")
transports = pytest.mark.parametrize("transport", ["polling", "websocket"])

PARSER: dict[str, Any] = {"parser": "msgpack"}
SOME = bytes(range(256))


def msgpack_server(**options: Any) -> Any:
    """A server with the MessagePack parser that sends every `echo` back, as an event and as an ack."""
    sio = new_server(serializer="msgpack", **options)

    @sio.event
    async def echo(sid, *args):
        await sio.emit("echo", args, to=sid)
        return args

    return sio


@both_clients
@transports
async def test_events_and_acks(serve, connect, transport):
    """a client with the MessagePack parser sends and receives events and acks"""
    sio = msgpack_server()
    seen: Mailbox[Any] = Mailbox("connect handlers")
    sio.on("connect", lambda sid, environ, auth: seen.put(auth))
    client = await connect(await serve(sio), transports=[transport], auth={"token": "ключ"}, **PARSER)
    assert await seen.next() == {"token": "ключ"}
    await client.answer("question", ["client", 2])
    assert await client.call("echo", "server", 1) == ("server", 1)
    assert await client.receive("echo") == ("server", 1)
    assert await sio.call("question", 2, to=client.sid, timeout=10) == ["client", 2]


async def test_namespaces(serve, connect_js):
    """a client with the MessagePack parser sends and receives events and acks"""
    sio = msgpack_server(namespaces=["/", "/chat"])
    sio.on("echo", lambda sid, *args: ("chat", *args), namespace="/chat")
    server = await serve(sio)
    main = await connect_js(server, **PARSER)
    chat = await connect_js(server, namespace="/chat", shared=main)
    assert await chat.call("echo", 1) == ("chat", 1)
    await chat.disconnect()
    assert await main.call("echo", 1) == (1,)


@both_clients
@transports
async def test_bytes(serve, connect, transport):
    """bytes travel without attachments"""
    client = await connect(await serve(msgpack_server()), transports=[transport], **PARSER)
    # More than the text parser allows attachments.
    args = ({"bytes": SOME}, [f"part {number}".encode() for number in range(20)], b"")
    assert await client.call("echo", *args) == args
    assert await client.receive("echo") == args


INTEGERS = [
    0,
    1,
    -1,
    127,
    128,
    -32,
    -33,
    255,
    256,
    65535,
    65536,
    -32769,
    2**32 - 1,
    2**32,
    2**53 - 1,
    1 - 2**53,
]
OTHERS = [
    0.1,
    -1.5,
    1.5e-300,
    True,
    False,
    None,
    "",
    "x" * 31,
    "x" * 32,
    "x" * 256,
    "ü" * 40_000,
    [],
    {},
    list(range(20)),
    {"a": {"b": [{"c": None}]}},
    {"": 1, "ключ": "\U0001f600"},
    {f"key {number}": number for number in range(20)},
]


@both_clients
async def test_every_kind(serve, connect):
    """every kind of value survives the MessagePack parser"""
    client = await connect(await serve(msgpack_server()), transports=["websocket"], **PARSER)
    args = (*INTEGERS, *OTHERS)
    assert await client.call("echo", *args) == args
    assert await client.receive("echo") == args


@pytest.mark.ferrio_only(
    "python-socketio caches the first encoding of a broadcast, so pollers get what WebSockets need."
)
async def test_rooms(serve, connect_js):
    """clients with the MessagePack parser share rooms and broadcasts"""
    sio = msgpack_server()
    server = await serve(sio)
    clients = [await connect_js(server, transports=[name], **PARSER) for name in ("websocket", "polling")]
    await sio.enter_room(clients[1].sid, "a")
    await sio.emit("all", (SOME, {"n": 1}))
    await sio.emit("room", room="a")
    await sio.emit("others", [None], skip_sid=clients[1].sid)
    await sio.emit("fence")
    for client in clients:
        await client.receive("fence")
    everything = ("all", SOME, {"n": 1})
    assert clients[0].heard[1:] == [everything, ("others", [None]), ("fence",)]
    assert clients[1].heard[1:] == [everything, ("room",), ("fence",)]


@both_clients
async def test_refusal(serve, connect):
    """a client with the MessagePack parser is told why it was refused"""
    sio = msgpack_server()

    @sio.on("connect")
    async def refuse(sid, environ, auth):
        raise ConnectionRefusedError("no", {"code": 1})

    client = await connect(await serve(sio), wait=False, **PARSER)
    assert await client.refused() == {"message": "no", "data": {"code": 1}}


@pytest.mark.ferrio_only("python-socketio logs what it cannot understand and keeps the connection.")
@pytest.mark.parametrize(
    "packet",
    [
        '42["event"]',
        b"\xc1",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa4",
        msgpack.packb({"type": 2, "nsp": "/", "data": "no list"}),
        msgpack.packb({"type": 2, "nsp": 1, "data": ["event"]}),
        msgpack.packb({"type": 9, "nsp": "/", "data": ["event"]}),
    ],
    ids=["text", "unused byte", "endless map", "half a key", "no list", "no namespace", "no type"],
)
async def test_broken_packets(serve, connect_js, wire, packet):
    """text packets and broken MessagePack close only their sender"""
    server = await serve(msgpack_server())
    client = await connect_js(server, **PARSER)
    peer = await wire(server).websocket()
    await peer.receive()
    await peer.send(msgpack.packb({"type": 0, "nsp": "/"}))
    await peer.receive()
    await peer.send(packet)
    assert await peer.until_closed() == []
    assert await client.call("echo", "still here") == ("still here",)
