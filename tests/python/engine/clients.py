"""Official Engine.IO clients: python-engineio's, and engine.io-client 6 and 3 in a Node process."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import engineio
import engineio.exceptions

from support.node_client import NodeProcess, pack, unpack
from support.waiting import Mailbox, soon

SCRIPT = Path(__file__).parent / "engine_client.mjs"


class PythonClient:
    """python-engineio's client, which speaks version 4 of the protocol."""

    def __init__(self) -> None:
        self._client = engineio.AsyncClient()
        self.messages: Mailbox[Any] = Mailbox("messages of the Python client")
        self.ended: Mailbox[str] = Mailbox("the end of the Python client's connection")
        self._client.on("message", self.messages.put)
        self._client.on("disconnect", self.ended.put)

    async def open(self, url: str, path: str = "engine.io", **options: Any) -> None:
        await soon(self._client.connect(url, engineio_path=path, **options), "the client's connection")

    @property
    def sid(self) -> str:
        return str(self._client.sid)

    @property
    def transport(self) -> str:
        return str(self._client.transport())

    async def send(self, data: Any) -> None:
        await self._client.send(data)

    async def disconnect(self) -> None:
        """Sends a close packet and leaves."""
        await soon(self._client.disconnect(), "the client's disconnect")

    async def close(self) -> None:
        if self._client.state == "connected":
            await self._client.disconnect(abort=True)
        if self._client.http is not None and not self._client.http.closed:
            await self._client.http.close()


class JsProcess(NodeProcess):
    """A Node process with any number of engine.io-client's sockets in it."""

    def __init__(self) -> None:
        super().__init__(SCRIPT)

    def engine(self, protocol: int) -> JsClient:
        """A new client that speaks this version of the protocol."""
        client = JsClient(self, f"engine-{next(self._names)}", protocol)
        self._clients[client.name] = client
        return client


class JsClient:
    """One socket of engine.io-client."""

    def __init__(self, process: JsProcess, name: str, protocol: int) -> None:
        self.name = name
        self.protocol = protocol
        self.sid = ""
        self.transport = ""
        self.messages: Mailbox[Any] = Mailbox(f"messages of {name}")
        self.heartbeats: Mailbox[None] = Mailbox(f"heartbeats of {name}")
        self.ended: Mailbox[str] = Mailbox(f"the end of {name}")
        self.errors: Mailbox[str] = Mailbox(f"errors of {name}")
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._upgraded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._process = process

    def open(self, url: str, **options: Any) -> None:
        self._tell("open", url=url, protocol=self.protocol, options=options)

    def dispatch(self, message: dict[str, Any]) -> None:
        """Takes what the Node process says of this client."""
        kind = message["on"]
        if kind == "open":
            self.sid, self.transport = message["sid"], message["transport"]
            self._opened.set_result(None)
        elif kind == "message":
            self.messages.put(unpack(message["data"]))
        elif kind == "upgrade":
            self.transport = message["transport"]
            self._upgraded.set_result(None)
        elif kind == "heartbeat":
            self.heartbeats.put(None)
        elif kind == "close":
            self.ended.put(message["reason"])
        elif kind == "error":
            self.errors.put(message["message"])
        else:
            raise AssertionError(message["error"])

    async def opened(self) -> None:
        await soon(self._opened, "the handshake")

    async def upgraded(self) -> None:
        await soon(self._upgraded, "the upgrade to WebSocket")

    def send(self, data: Any) -> None:
        self._tell("send", data=pack(data))

    def close(self) -> None:
        self._tell("close")

    def cut(self) -> None:
        """Ends the WebSocket's TCP connection without a word."""
        self._tell("cut")

    def _tell(self, command: str, **rest: Any) -> None:
        self._process.send(command, client=self.name, **rest)
