"""Speaks Engine.IO and Socket.IO by hand, for what no official client would do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlencode

import aiohttp

from .doors import RunningServer
from .waiting import soon

SEPARATOR = "\x1e"


class Answer(NamedTuple):
    """An HTTP answer, its body as it came."""

    status: int
    headers: Any
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def packets(self) -> list[str]:
        return self.text.split(SEPARATOR)


class Wire:
    """Requests of one bare HTTP client."""

    def __init__(self, server: RunningServer, path: str = "/socket.io/") -> None:
        self.server = server
        self.path = path
        self.url = server.url + path
        self._session = aiohttp.ClientSession(auto_decompress=False)

    async def request(
        self,
        method: str,
        query: dict[str, str],
        body: str | bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answer:
        async def whole() -> Answer:
            async with self._session.request(
                method, self.url, params=query, data=body, headers=headers
            ) as answer:
                return Answer(answer.status, answer.headers, await answer.read())

        return await soon(whole(), f"the answer to {method} {query}")

    async def open_session(self, **query: str) -> PollingSession:
        """Shakes hands over long-polling."""
        answer = await self.request("GET", {"EIO": "4", "transport": "polling", **query})
        assert answer.status == 200, answer
        assert answer.text[0] == "0"
        return PollingSession(self, json.loads(answer.packets[0][1:]))

    async def join(self, namespace: str = "/", auth: Any = None) -> PollingSession:
        """Shakes hands and joins a namespace over long-polling."""
        session = await self.open_session()
        await session.join(namespace, auth)
        return session

    async def websocket(self, headers: dict[str, str] | None = None, **query: str) -> RawWebSocket:
        """Opens a WebSocket; without a `sid` it starts a session of its own."""
        params = {"EIO": "4", "transport": "websocket", **query}
        return RawWebSocket(
            await soon(
                self._session.ws_connect(
                    self.url, params=params, headers=headers, max_msg_size=0, compress=0
                ),
                "the WebSocket handshake",
            )
        )

    async def joined_websocket(self, namespace: str = "/", auth: Any = None) -> RawWebSocket:
        """Opens a WebSocket and joins a namespace over it."""
        websocket = await self.websocket()
        assert (await websocket.receive())[0] == "0"
        await websocket.join(namespace, auth)
        return websocket

    async def close(self) -> None:
        await self._session.close()


class PollingSession:
    """One Engine.IO session over long-polling."""

    def __init__(self, wire: Wire, handshake: dict[str, Any]) -> None:
        self.wire = wire
        self.handshake = handshake
        self.sid: str = handshake["sid"]
        self.seen: list[str] = []
        self._waiting: list[str] = []

    @property
    def query(self) -> dict[str, str]:
        return {"EIO": "4", "transport": "polling", "sid": self.sid}

    async def poll(self, **headers: str) -> Answer:
        return await self.wire.request("GET", self.query, headers=headers)

    async def start_poll(self) -> asyncio.Future[Answer]:
        """Polls in the background, and returns when the poll is sure to wait at the server."""
        reader, writer = await raw_connection(self.wire.server)
        target = f"{self.wire.path}?{urlencode(self.query)}"
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        # What was sent before the whole round trip of another session has been read by then.
        await self.wire.open_session()
        await self.wire.open_session()

        async def answer() -> Answer:
            head, _, body = (await soon(reader.read(), "the answer to the poll")).partition(b"\r\n\r\n")
            writer.close()
            if b"transfer-encoding: chunked" in head.lower():
                body = b"".join(dechunked(body))
            return Answer(int(head.split(b" ", 2)[1]), {}, body)

        return asyncio.ensure_future(answer())

    async def post(self, body: str | bytes, **headers: str) -> Answer:
        return await self.wire.request(
            "POST", self.query, body, {"Content-Type": "text/plain;charset=UTF-8", **headers}
        )

    async def receive(self) -> str:
        """The next packet, whichever answer it came in."""
        while not self._waiting:
            answer = await self.poll()
            assert answer.status == 200, answer
            self._waiting = answer.packets
        self.seen.append(self._waiting.pop(0))
        return self.seen[-1]

    async def join(self, namespace: str = "/", auth: Any = None) -> str:
        """Joins a namespace and returns the socket id."""
        assert (await self.post(connect_packet(namespace, auth))).status == 200
        packet = await self.receive()
        while not packet.startswith("40"):
            # What the connect handler emits may come first.
            assert packet.startswith("42"), packet
            packet = await self.receive()
        return str(json.loads(packet[packet.index("{") :])["sid"])

    async def read_all(self, count: int) -> None:
        """Reads on until `count` packets came in all and none is left over."""
        while self._waiting or len(self.seen) < count:
            await self.receive()

    async def is_gone(self) -> bool:
        """Whether the server knows the session no more, once it has said farewell."""
        answer = await self.poll()
        if answer.status == 200 and answer.packets[-1] == "1":
            answer = await self.poll()
        return answer.status == 400


class RawWebSocket:
    """One WebSocket; text arrives as str, binary messages as bytes, and the end as None."""

    def __init__(self, websocket: aiohttp.ClientWebSocketResponse) -> None:
        self._websocket = websocket

    async def send(self, message: str | bytes) -> None:
        if isinstance(message, str):
            await self._websocket.send_str(message)
        else:
            await self._websocket.send_bytes(message)

    async def receive(self) -> str | bytes:
        """The next message, which must come."""
        message = await self.receive_or_end()
        assert message is not None, "the server closed the WebSocket"
        return message

    async def receive_or_end(self) -> str | bytes | None:
        message = await soon(self._websocket.receive(), "the next WebSocket message")
        if message.type in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
            data: str | bytes = message.data
            return data
        return None

    async def until_closed(self) -> list[str | bytes]:
        """Everything that comes before the server closes the WebSocket."""
        messages: list[str | bytes] = []
        while (message := await self.receive_or_end()) is not None:
            messages.append(message)
        return messages

    async def join(self, namespace: str = "/", auth: Any = None) -> str:
        """Joins a namespace and returns the socket id."""
        await self.send(connect_packet(namespace, auth))
        packet = await self.receive()
        assert isinstance(packet, str)
        assert packet.startswith("40"), packet
        return str(json.loads(packet[packet.index("{") :])["sid"])

    async def close(self) -> None:
        await self._websocket.close()


def dechunked(body: bytes) -> Iterator[bytes]:
    """The pieces of a body in chunked transfer encoding."""
    while body:
        size, _, body = body.partition(b"\r\n")
        yield body[: int(size, 16)]
        body = body[int(size, 16) + 2 :]


def connect_packet(namespace: str = "/", auth: Any = None) -> str:
    """The Engine.IO message that asks to join `namespace`."""
    name = "" if namespace == "/" else f"{namespace},"
    return f"40{name}{'' if auth is None else json.dumps(auth)}"


async def raw_connection(server: RunningServer) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A bare TCP connection to the server."""
    return await soon(asyncio.open_connection("127.0.0.1", server.port), "the TCP connection")
