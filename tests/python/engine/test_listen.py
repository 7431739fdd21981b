"""A port of the server's own."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any

import engineio
import pytest
import pytest_asyncio

from engine.clients import PythonClient
from engine.target import echo_server, new_server, recorded, target
from support.waiting import soon, until
from support.wire import Wire

pytestmark = pytest.mark.ferrio_only("python-engineio has no port of its own.")

POLLING = {"EIO": "4", "transport": "polling"}


@pytest_asyncio.fixture
async def listen() -> AsyncIterator[Any]:
    """`await listen(eio, …)` opens a port that is closed with the scenario."""
    servers = []

    async def start(eio: Any, **options: Any) -> SimpleNamespace:
        servers.append(eio)
        listener = await eio.listen("127.0.0.1", **options)
        url = f"http://127.0.0.1:{listener.port}"
        return SimpleNamespace(listener=listener, port=listener.port, url=url)

    yield start
    for eio in servers:
        await eio.shutdown()


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], None])
async def test_echo(listen, transports):
    """clients connect, are answered, and are disconnected"""
    eio = echo_server()
    server, client = await listen(eio), PythonClient()
    try:
        await client.open(server.url, transports=transports)
        assert list(eio.sockets) == [client.sid]
        for data in ("text", b"bytes", {"a": 1}):
            await client.send(data)
            assert await client.messages.next() == data
        await soon(eio.disconnect(client.sid), "disconnect()")
        await client.ended.next()
    finally:
        await client.close()


async def test_connect_handler(listen):
    """the connect handler decides, and what it sends comes in the same answer as the handshake"""
    eio = new_server()

    @eio.on("connect")
    async def connected(sid, environ):
        await eio.send(sid, "welcome")
        await eio.send(sid, b"\x01")
        return None if "token" in environ["QUERY_STRING"] else {"code": 7}

    http = Wire(await listen(eio), "/engine.io/")
    try:
        refused = await http.request("GET", POLLING)
        assert (refused.status, refused.text) == (401, '{"code": 7}')
        accepted = await http.request("GET", {**POLLING, "token": "1"})
        assert accepted.packets[1:] == ["4welcome", "bAQ=="]
        with pytest.raises(Exception, match="401"):
            await http.websocket()
        websocket = await http.websocket(token="1")
        assert [str(await websocket.receive())[0], await websocket.receive()] == ["0", "4welcome"]
    finally:
        await http.close()


async def test_path(listen):
    """the path is one for all ports"""
    eio = new_server()
    server = await listen(eio, engineio_path="/deep/er/")
    http, default = Wire(server, "/deep/er/"), Wire(server, "/engine.io/")
    try:
        assert (await http.request("GET", POLLING)).text[0] == "0"
        assert (await default.request("GET", POLLING)).status == 404
    finally:
        await http.close()
        await default.close()
    with pytest.raises(ValueError, match="engineio_path"):
        await eio.listen("127.0.0.1", engineio_path="elsewhere")


async def test_shutdown(listen):
    """a shutdown ends the clients and the port, and the server can be used again"""
    eio = new_server()
    calls = recorded(eio)
    for _ in range(2):
        server, client = await listen(eio), PythonClient()
        try:
            await client.open(server.url, transports=["websocket"])
            sid = client.sid
            await soon(eio.shutdown(), "the shutdown")
            assert calls.seen[-1] == ("disconnect", sid, "server disconnect")
            await client.ended.next()
        finally:
            await client.close()
        with pytest.raises(OSError, match=r"refused|Connect"):
            await asyncio.open_connection("127.0.0.1", server.port)
        assert dict(eio.sockets) == {}


async def test_two_servers(listen):
    """two servers know nothing of each other"""
    first, second = new_server(), new_server()
    one, two = await listen(first), await listen(second)
    client = PythonClient()
    try:
        await client.open(one.url, transports=["websocket"])
        assert (len(first.sockets), len(second.sockets)) == (1, 0)
        http = Wire(two, "/engine.io/")
        assert (await http.request("GET", {**POLLING, "sid": client.sid})).status == 400
        await http.close()
    finally:
        await client.close()
    await until(lambda: not first.sockets, "the end of the client")


def test_options():
    """the options are python-engineio's, in its order and with its defaults"""

    def positional(function: Any) -> list[tuple[str, Any]]:
        given = inspect.signature(function).parameters.values()
        return [(one.name, one.default) for one in given if one.kind is one.POSITIONAL_OR_KEYWORD]

    assert positional(target.AsyncServer.__init__) == positional(engineio.AsyncServer.__init__)


def test_packets():
    """packets are written and read as python-engineio's"""
    packet, official = target.packet, engineio.packet
    assert packet.packet_names == official.packet_names
    for data in ("text", b"\x01\x02", {"a": [1]}, [True], 7, None, ""):
        for base64 in (False, True):
            own, theirs = packet.Packet(packet.MESSAGE, data), official.Packet(official.MESSAGE, data)
            assert own.binary == theirs.binary
            encoded = theirs.encode(b64=base64)
            assert own.encode(b64=base64) == encoded
            read, expected = packet.Packet(encoded_packet=encoded), official.Packet(encoded_packet=encoded)
            assert (read.packet_type, read.data) == (expected.packet_type, expected.data)
    with pytest.raises(ValueError, match="bytes"):
        packet.Packet(packet.NOOP, b"bytes")
    with pytest.raises(target.exceptions.UnknownPacketError):
        packet.Packet(encoded_packet="9")


async def test_packets_of_the_servers_own(listen):
    """packets that the server itself sends are refused, and a CLOSE ends the session"""
    eio, packet = new_server(), target.packet
    server, client = await listen(eio), PythonClient()
    try:
        await client.open(server.url, transports=["websocket"])
        for kind in (packet.OPEN, packet.PING, packet.PONG, packet.UPGRADE):
            with pytest.raises(ValueError, match="the server itself"):
                await eio.send_packet(client.sid, packet.Packet(kind))
        await eio.send_packet(client.sid, packet.Packet(packet.CLOSE))
        await client.ended.next()
    finally:
        await client.close()


@pytest.mark.parametrize("app", [object(), print, "app"])
def test_attach_to_others(app):
    """attach() says which applications it takes"""
    with pytest.raises(TypeError, match=r"aiohttp.*ASGIApp"):
        new_server().attach(app)
