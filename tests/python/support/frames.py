"""A WebSocket over a bare TCP connection, for frames that no library would send and for peers that stop reading."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket

from .doors import RunningServer
from .waiting import soon

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA


def frame(opcode: int, payload: bytes, final: bool = True) -> bytes:
    """One frame as a client sends it: masked, here with a mask of zeros."""
    head = bytes([(0x80 if final else 0) | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 1 << 16:
        head += bytes([0x80 | 126]) + len(payload).to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + len(payload).to_bytes(8, "big")
    return head + bytes(4) + payload


class FrameSocket:
    """The client's side of one WebSocket, frame by frame. It reads only when it is told to."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def open(cls, server: RunningServer) -> FrameSocket:
        one = await cls.begin(server)
        await one.answered()
        return one

    @classmethod
    async def begin(cls, server: RunningServer) -> FrameSocket:
        """A connection whose handshake is sent, and not answered yet."""
        # Small buffers: what a reader that stops has not taken is then the server's to keep.
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * 1024)
        connection.setblocking(False)
        await soon(
            asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", server.port)),
            "the TCP connection",
        )
        reader, writer = await asyncio.open_connection(sock=connection, limit=16 * 1024)
        key = base64.b64encode(os.urandom(16)).decode()
        writer.write(
            "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\n"
            f"Host: 127.0.0.1:{server.port}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        return cls(reader, writer)

    async def answered(self) -> None:
        head = await soon(self._reader.readuntil(b"\r\n\r\n"), "the answer to the WebSocket handshake")
        assert head.startswith(b"HTTP/1.1 101 "), head

    @classmethod
    async def joined(cls, server: RunningServer) -> tuple[FrameSocket, str]:
        """A WebSocket that joined the main namespace, with its socket id."""
        one = await cls.open(server)
        assert (await one.receive()).startswith(b"0")
        await one.send(TEXT, b"40")
        return one, str(json.loads((await one.receive())[2:])["sid"])

    async def send(self, opcode: int, payload: bytes, final: bool = True) -> None:
        await self.send_raw(frame(opcode, payload, final))

    async def send_raw(self, data: bytes) -> None:
        self._writer.write(data)
        await soon(self._writer.drain(), "room for what is sent")

    async def read_frame(self) -> tuple[int, bytes]:
        """The next frame; a connection that ended is a close frame without payload."""

        async def read() -> tuple[int, bytes]:
            try:
                head = await self._reader.readexactly(2)
                size = head[1] & 0x7F
                if size == 126:
                    size = int.from_bytes(await self._reader.readexactly(2), "big")
                elif size == 127:
                    size = int.from_bytes(await self._reader.readexactly(8), "big")
                return head[0] & 0x0F, await self._reader.readexactly(size)
            except (asyncio.IncompleteReadError, ConnectionError):
                return CLOSE, b""

        return await soon(read(), "the next frame")

    async def receive(self) -> bytes:
        """The next message, which must come."""
        opcode, payload = await self.read_frame()
        assert opcode in (TEXT, BINARY), (opcode, payload)
        return payload

    async def close_code(self) -> int | None:
        """Reads until the server closes, and returns its close code, if it gave one."""
        while True:
            opcode, payload = await self.read_frame()
            if opcode == CLOSE:
                return int.from_bytes(payload[:2], "big") if payload else None

    def abort(self) -> None:
        """Resets the connection without a word."""
        self._writer.transport.abort()
