"""Compression of WebSocket messages, with clients that offer it. Behind a server that frames messages itself it is that server's."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

from support.doors import RunningServer
from support.target import new_server
from support.waiting import soon

pytestmark = pytest.mark.ferrio_only("python-socketio leaves this to the web server.")
own_frames = pytest.mark.doors("adopted", "standalone")

LONG = [{"id": number, "name": f"item {number}", "price": number * 7, "ok": True} for number in range(400)]
QUERY = "/socket.io/?EIO=4&transport=websocket"
RSV1 = 0x40


def with_echo(**options: Any) -> Any:
    """A server that sends `echo` back to its sender, and acknowledges it."""
    sio = new_server(**options)

    @sio.event
    async def echo(sid, *args):
        await sio.emit("echo", args, to=sid)
        return args

    return sio


def event(name: str, *args: Any) -> str:
    return "42" + json.dumps([name, *args], separators=(",", ":"))


@asynccontextmanager
async def connected(server: RunningServer, **options: Any) -> AsyncIterator[ClientConnection]:
    """A client of `websockets` that has joined the main namespace."""
    url = server.url.replace("http", "ws") + QUERY
    async with connect(url, proxy=None, **options) as client:
        assert (await soon(client.recv(), "the open packet"))[0] == "0"
        await client.send("40")
        assert (await soon(client.recv(), "the CONNECT packet"))[:2] == "40"
        yield client


async def heard(client: ClientConnection) -> Any:
    message = await soon(client.recv(), "a message")
    return json.loads(message[2:]) if isinstance(message, str) else message


def extensions_of(client: ClientConnection) -> str:
    assert client.response is not None
    return client.response.headers.get("Sec-WebSocket-Extensions", "")


@own_frames
@pytest.mark.parametrize(
    ("option", "answer"),
    [
        (None, ""),
        (False, ""),
        (True, "permessage-deflate"),
        (
            {"server_no_context_takeover": True, "client_no_context_takeover": True},
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
        ),
        (
            {"server_max_window_bits": 9, "client_max_window_bits": 10, "level": 1, "threshold": 0},
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10",
        ),
        ({"max_memory": 0}, "permessage-deflate; client_no_context_takeover"),
    ],
    ids=str,
)
async def test_agreed(serve, option, answer):
    """messages are compressed both ways as the option says"""
    sio = with_echo(per_message_deflate=option)
    async with connected(await serve(sio)) as client:
        assert extensions_of(client) == answer
        for number in range(3):
            await client.send(event("echo", number, LONG, "\U0001f980"))
            assert await heard(client) == ["echo", number, LONG, "\U0001f980"]


@own_frames
async def test_broadcast(serve):
    """a broadcast reaches those who compress, those who do not and those who poll, attachments and all"""
    sio = with_echo(per_message_deflate=True)
    server = await serve(sio)
    alone = [ClientPerMessageDeflateFactory(server_no_context_takeover=True)]
    small = [ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9)]
    async with (
        connected(server) as usual,
        connected(server, compression=None, extensions=alone) as other,
        connected(server, compression=None, extensions=small) as third,
        connected(server, compression=None) as plain,
        aiohttp.ClientSession() as session,
    ):
        url = f"{server.url}/socket.io/?EIO=4&transport=polling"
        async with session.get(url) as answer:
            sid = json.loads((await answer.text())[1:])["sid"]
        async with session.post(f"{url}&sid={sid}", data="40") as answer:
            assert await answer.text() == "ok"
        async with session.get(f"{url}&sid={sid}") as answer:
            assert (await answer.text())[:2] == "40"
        noise = os.urandom(3000)
        for number in range(10):
            await sio.emit("news", (number, LONG, noise, bytes(5000)))
        for client in (usual, other, third, plain):
            for number in range(10):
                name, *args = json.loads((await soon(client.recv(), "an event"))[len("452-") :])
                assert (name, args[:2]) == ("news", [number, LONG])
                assert [await heard(client), await heard(client)] == [noise, bytes(5000)]
        packets: list[str] = []
        while len(packets) < 30:
            async with session.get(f"{url}&sid={sid}") as answer:
                packets += (await answer.text()).split("\x1e")
        assert packets[28:] == ["b" + base64.b64encode(data).decode() for data in (noise, bytes(5000))]


@own_frames
async def test_aiohttp(serve):
    """aiohttp's client agrees on compression, too"""
    server = await serve(with_echo(per_message_deflate=True))
    async with (
        aiohttp.ClientSession() as session,
        session.ws_connect(server.url + QUERY, compress=15) as client,
    ):
        assert client.compress == 15
        assert (await client.receive_str())[0] == "0"
        await client.send_str("40")
        assert (await client.receive_str())[:2] == "40"
        for number in range(5):
            await client.send_str(event("echo", number, LONG))
            assert json.loads((await client.receive_str())[2:]) == ["echo", number, LONG]


@pytest.mark.doors("uvicorn")
async def test_host(serve):
    """a server that frames messages itself agrees with the client by itself"""
    server = await serve(with_echo(per_message_deflate={"server_max_window_bits": 9}))
    async with connected(server) as client:
        assert extensions_of(client).startswith("permessage-deflate; server_max_window_bits=12")
        await client.send(event("echo", LONG))
        assert await heard(client) == ["echo", LONG]


class ByHand:
    """A WebSocket whose frames the test reads and writes itself."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    @classmethod
    @asynccontextmanager
    async def open(cls, server: RunningServer, offer: str) -> AsyncIterator[ByHand]:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(
            f"GET {QUERY} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            f"Sec-WebSocket-Extensions: {offer}\r\n\r\n".encode()
        )
        head = (await soon(reader.readuntil(b"\r\n\r\n"), "the answer")).decode().lower()
        assert f"sec-websocket-extensions: {offer}\r\n" in head
        self = cls(reader, writer)
        await self.frame()
        self.send(0x81, b"40")
        await self.frame()
        try:
            yield self
        finally:
            writer.close()

    def send(self, first: int, body: bytes) -> None:
        assert len(body) < 126
        self.writer.write(bytes([first, 0x80 | len(body), 0, 0, 0, 0]) + body)

    async def frame(self) -> tuple[int, bytes]:
        first, length = await soon(self.reader.readexactly(2), "a frame")
        if length == 126:
            length = int.from_bytes(await self.reader.readexactly(2), "big")
        return first, await soon(self.reader.readexactly(length), "the rest of it")


@own_frames
@pytest.mark.parametrize("bits", [8, 9, 15])
async def test_window(serve, bits):
    """the server looks back no further than it was told"""
    sio = with_echo(per_message_deflate=True)
    async with ByHand.open(await serve(sio), f"permessage-deflate; server_max_window_bits={bits}") as client:
        inflater = zlib.decompressobj(-bits)
        text = json.dumps(LONG)[:9000]
        for number in range(5):
            await sio.emit("news", (number, text))
            first, body = await client.frame()
            assert first == 0x81 | RSV1
            # Byte by byte it has nothing to look back at but its window.
            rest, message = body + b"\x00\x00\xff\xff", b""
            while rest:
                message += inflater.decompress(rest, 1)
                rest = inflater.unconsumed_tail
            message += inflater.decompress(b"")
            assert json.loads(message[2:]) == ["news", number, text]


@own_frames
@pytest.mark.parametrize(
    ("body", "status"),
    [(b"\xff\xfe\x07\x99", 1007), (zlib.compress(bytes(100_000), wbits=-15)[:120], 1009)],
    ids=["noise", "bomb"],
)
async def test_hostile(serve, body, status):
    """what is no message, or more than one may be, costs its sender the connection"""
    sio = with_echo(per_message_deflate=True, max_http_buffer_size=10_000)
    async with ByHand.open(await serve(sio), "permessage-deflate") as client:
        client.send(0x82 | RSV1, body)
        assert await client.frame() == (0x88, status.to_bytes(2, "big"))
