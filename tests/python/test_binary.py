"""Bytes in events and acks, over both transports."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.target import new_server
from support.waiting import Mailbox

both_clients = pytest.mark.clients("js", "python")

SOME = bytes(range(256))


def with_echo(**options: Any) -> Any:
    """A server that sends every `echo` back, as an event and as an ack."""
    sio = new_server(**options)

    @sio.event
    async def echo(sid, *args):
        await sio.emit("echo", args, to=sid)
        return args

    return sio


def hearing(sio: Any, event: str) -> Mailbox[tuple[Any, ...]]:
    """Registers a handler that notes the arguments of `event`."""
    heard: Mailbox[tuple[Any, ...]] = Mailbox(f"{event} handlers")

    async def handler(sid: str, *args: Any) -> None:
        heard.put(args)

    sio.on(event, handler)
    return heard


async def bytes_to_the_client(serve: Any, connect: Any, transport: str) -> None:
    sio = new_server()
    client = await connect(await serve(sio), transports=[transport])
    await sio.emit("bytes", SOME, to=client.sid)
    assert await client.receive("bytes") == (SOME,)


async def bytes_to_the_server(serve: Any, connect: Any, transport: str) -> None:
    sio = new_server()
    heard = hearing(sio, "bytes")
    client = await connect(await serve(sio), transports=[transport])
    await client.emit("bytes", SOME)
    (got,) = await heard.next()
    assert isinstance(got, bytes)
    assert got == SOME


@both_clients
@pytest.mark.both_loops
async def test_to_the_client_over_websocket(serve, connect):
    """a Buffer reaches the client as bytes over WebSocket"""
    await bytes_to_the_client(serve, connect, "websocket")


@both_clients
async def test_to_the_client_over_polling(serve, connect):
    """a Buffer reaches the client as bytes over long-polling"""
    await bytes_to_the_client(serve, connect, "polling")


@both_clients
@pytest.mark.both_loops
async def test_to_the_server_over_websocket(serve, connect):
    """bytes from the client reach the server as a Buffer over WebSocket"""
    await bytes_to_the_server(serve, connect, "websocket")


@both_clients
async def test_to_the_server_over_polling(serve, connect):
    """bytes from the client reach the server as a Buffer over long-polling"""
    await bytes_to_the_server(serve, connect, "polling")


@pytest.mark.ferrio_only("python-socketio sends a bytearray as text and knows no memoryview.")
async def test_kinds_of_bytes(serve, connect_js):
    """Buffer, Uint8Array, ArrayBuffer and a view into a larger buffer all carry exactly their bytes"""
    sio = new_server()
    client = await connect_js(await serve(sio))
    for value in (SOME, bytearray(SOME), memoryview(SOME), memoryview(b"__" + SOME + b"__")[2:-2]):
        await sio.emit("bytes", value, to=client.sid)
        assert await client.receive("bytes") == (SOME,)


@both_clients
async def test_nested(serve, connect):
    """bytes nested in objects and arrays keep their place"""
    sio = with_echo()
    client = await connect(await serve(sio))
    value = {"a": [1, b"one", {"b": b"two", "c": [[b"three"]]}], "d": None}
    assert await client.call("echo", value) == (value,)
    assert await client.receive("echo") == (value,)


@both_clients
async def test_several(serve, connect):
    """several attachments keep their order"""
    sio = with_echo()
    client = await connect(await serve(sio))
    # Ten is what the official parsers accept in one packet.
    args = tuple(bytes([number]) * (number + 1) for number in range(10))
    assert await client.call("echo", *args) == args
    assert await client.receive("echo") == args


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_empty(serve, connect_js, transport):
    """an empty attachment stays empty"""
    sio = with_echo()
    client = await connect_js(await serve(sio), transports=[transport])
    assert await client.call("echo", b"", "between", b"") == (b"", "between", b"")
    assert await client.receive("echo") == (b"", "between", b"")


@both_clients
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_every_byte(serve, connect, transport):
    """every byte value survives both ways"""
    sio = with_echo()
    client = await connect(await serve(sio), transports=[transport])
    every_pair = bytes(value for first in range(256) for second in range(256) for value in (first, second))
    assert await client.call("echo", every_pair) == (every_pair,)
    assert await client.receive("echo") == (every_pair,)


@both_clients
async def test_ack_from_the_server(serve, connect):
    """bytes in an ack from the server reach the client"""
    sio = new_server()

    @sio.event
    async def fetch(sid):
        return {"file": SOME, "name": "x"}

    client = await connect(await serve(sio))
    assert await client.call("fetch") == ({"file": SOME, "name": "x"},)


@both_clients
async def test_ack_from_the_client(serve, connect):
    """bytes in an ack from the client reach the server"""
    sio = new_server()
    client = await connect(await serve(sio))
    await client.answer("fetch", [SOME, {"more": b"\xff"}])
    assert await sio.call("fetch", to=client.sid, timeout=10) == [SOME, {"more": b"\xff"}]


@pytest.mark.ferrio_only(
    "python-socketio caches the first encoding of a broadcast, so pollers get what WebSockets need."
)
async def test_broadcast(serve, connect_js):
    """a broadcast of bytes reaches WebSocket and polling receivers alike"""
    sio = new_server()
    server = await serve(sio)
    clients = [
        await connect_js(server, transports=[name])
        for name in ("websocket", "polling", "websocket", "polling")
    ]
    await sio.emit("bytes", {"all": SOME})
    await sio.emit("bytes", b"again")
    for client in clients:
        assert await client.receive("bytes") == ({"all": SOME},)
        assert await client.receive("bytes") == (b"again",)


@both_clients
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_order_with_text(serve, connect, transport):
    """text events between binary ones keep their order"""
    sio = new_server()
    client = await connect(await serve(sio), transports=[transport])
    expected = []
    # Five packets with one attachment and five without stay below what the Python client accepts in one answer.
    for number in range(5):
        value = {"bytes": bytes([number])} if number % 2 else {"text": str(number)}
        expected.append(("mixed", value))
        await sio.emit("mixed", value, to=client.sid)
    await client.receive_many("mixed", 5)
    assert client.heard[1:] == expected


async def test_concurrent_emits(serve, connect_js):
    """concurrent binary emits to one client do not mix their attachments"""
    sio = new_server()
    client = await connect_js(await serve(sio), transports=["websocket"])

    async def emit(number: int) -> None:
        await sio.emit(
            "pair", {"n": number, "a": bytes([number]), "b": bytes([number, number])}, to=client.sid
        )

    await asyncio.gather(*(emit(number) for number in range(100)))
    got = [value for (value,) in await client.receive_many("pair", 100)]
    assert sorted(value["n"] for value in got) == list(range(100))
    assert all(value["a"] == bytes([value["n"]]) and value["b"] == bytes([value["n"]] * 2) for value in got)


@both_clients
async def test_a_megabyte(serve, connect):
    """a megabyte of bytes survives both ways"""
    sio = with_echo(max_http_buffer_size=2_000_000)
    client = await connect(await serve(sio), transports=["websocket"])
    big = SOME * 4096
    assert await client.call("echo", big) == (big,)
    assert await client.receive("echo") == (big,)
