"""socket.io-client 4 and 2 as a scenario's client, driven through one Node process that speaks JSON lines."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import threading
from pathlib import Path
from typing import Any

from .client import Client
from .waiting import Mailbox, soon, until

SCRIPT = Path(__file__).parent.parent / "node_client.mjs"


def pack(value: Any) -> Any:
    """Writes bytes as the Node side expects them."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return {"$bytes": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [pack(inner) for inner in value]
    if isinstance(value, dict):
        return {key: pack(inner) for key, inner in value.items()}
    return value


def unpack(value: Any) -> Any:
    """Reads what `pack` writes on the Node side."""
    if isinstance(value, list):
        return [unpack(inner) for inner in value]
    if isinstance(value, dict):
        if isinstance(value.get("$bytes"), str):
            return base64.b64decode(value["$bytes"])
        return {key: unpack(inner) for key, inner in value.items()}
    return value


class NodeProcess:
    """A Node process with any number of clients in it."""

    def __init__(self, script: Path = SCRIPT) -> None:
        node = shutil.which("node")
        assert node is not None, "Node is needed for the official JavaScript clients"
        self._process = subprocess.Popen([node, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self._clients: dict[str, Any] = {}
        self._calls: dict[int, asyncio.Future[tuple[Any, ...]]] = {}
        self._names = itertools.count()
        self._loop: asyncio.AbstractEventLoop | None = None
        # Reading must never wait for the test, or both pipes could fill up.
        self._reader = threading.Thread(target=self._read, name="node client", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if not line.endswith(b"\n"):
                return  # The process ended in the middle of a line.
            message = json.loads(line)
            loop = self._loop
            if loop is not None and not loop.is_closed():
                # The loop of a finished test may be closed between the check and the call.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(self._dispatch, message)

    def _dispatch(self, message: dict[str, Any]) -> None:
        if "call" in message and "on" not in message:
            future = self._calls.pop(message["call"], None)
            if future is not None and not future.done():
                if "error" in message:
                    future.set_exception(asyncio.TimeoutError(message["error"]))
                else:
                    future.set_result(tuple(unpack(message["args"])))
            return
        client = self._clients.get(message.get("client", ""))
        if client is not None:
            client.dispatch(message)

    def use_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        """Delivers to `loop` from now on."""
        self._loop = loop

    def send(self, do: str, **rest: Any) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **rest}).encode() + b"\n")
        self._process.stdin.flush()

    def client(self, version: int = 4, manager: str | None = None) -> NodeClient:
        """A new client; it shares the connection of the client whose `manager` is given."""
        name = f"js{version}-{next(self._names)}"
        client = NodeClient(self, name, manager or name, version)
        self._clients[name] = client
        return client

    def forget(self, client: Any) -> None:
        self._clients.pop(client.name, None)

    def expect(self) -> tuple[int, asyncio.Future[Any]]:
        """A number, and what the Node process will say under it."""
        number = next(self._names)
        self._calls[number] = asyncio.get_running_loop().create_future()
        return number, self._calls[number]

    def call(
        self, client: str, event: str, args: tuple[Any, ...], timeout: float | None
    ) -> asyncio.Future[Any]:
        number, future = self.expect()
        milliseconds = None if timeout is None else timeout * 1000
        self.send("call", client=client, event=event, args=pack(args), call=number, timeout=milliseconds)
        return future

    def kill(self) -> None:
        """Ends the process as an outage would, without a word to the server."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Ends the process when the suite is over."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)


class NodeClient(Client):
    """One socket of socket.io-client."""

    kind = "js"

    def __init__(self, process: NodeProcess, name: str, manager: str, version: int) -> None:
        super().__init__(name)
        self.process = process
        self.manager = manager
        self.version = version
        self._engine_sid: str | None = None
        self.recovered = False
        self.heartbeats: Mailbox[None] = Mailbox(f"heartbeats of {name}")
        self._transport = ""

    def open(
        self, url: str, namespace: str = "/", auths: list[Any] | None = None, parser: str = "", **options: Any
    ) -> None:
        """Starts to connect; `connected()` or `refused()` tells how it ended."""
        self.process.send(
            "connect",
            client=self.name,
            manager=self.manager,
            url=url,
            namespace=namespace,
            version=self.version,
            parser=parser,
            options=pack(options),
            **({} if auths is None else {"auths": auths}),
        )

    def dispatch(self, message: dict[str, Any]) -> None:
        kind = message["on"]
        if kind == "event":
            self.hear(message["name"], tuple(unpack(message["args"])))
        elif kind == "connect":
            self._engine_sid = message["engine"]
            self.recovered = message["recovered"]
            self._transport = message["transport"]
            self.hear_connect(message["sid"])
        elif kind == "upgrade":
            self._transport = message["transport"]
        elif kind == "heartbeat":
            self.heartbeats.put(None)
        elif kind == "connect_error":
            self.hear_refusal({key: unpack(message[key]) for key in ("message", "data") if key in message})
        elif kind == "disconnect":
            self.hear_disconnect(message["reason"])
        else:
            raise AssertionError(message["error"])

    @property
    def transport(self) -> str:
        return self._transport

    @property
    def engine_sid(self) -> str | None:
        return self._engine_sid

    async def upgraded(self) -> None:
        """Waits until the client moved to WebSocket."""
        await until(lambda: self._transport == "websocket", "the upgrade to WebSocket")

    async def emit(self, event: str, *args: Any) -> None:
        self.process.send("emit", client=self.name, event=event, args=pack(args))

    def burst(self, event: str, count: int) -> None:
        """Sends `count` events in one go, each with its number."""
        self.process.send("burst", client=self.name, event=event, count=count)

    async def call(self, event: str, *args: Any) -> tuple[Any, ...]:
        return await soon(self.process.call(self.name, event, args, None), f"the ack of {event!r}")

    async def call_within(self, timeout: float, event: str, *args: Any) -> tuple[Any, ...]:
        """Calls with the client's own timeout; asyncio.TimeoutError when the client gives up."""
        return await soon(
            self.process.call(self.name, event, args, timeout), f"the end of the call {event!r}"
        )

    async def answer(self, event: str, *args: Any) -> None:
        await self._will_answer(event, args=pack(args))

    async def answer_with_echo(self, event: str) -> None:
        await self._will_answer(event, echo=True)

    async def keep_silent(self, event: str) -> None:
        await self._will_answer(event)

    async def _will_answer(self, event: str, **how: Any) -> None:
        # Confirmed, or an event of the server could overtake it.
        number, done = self.process.expect()
        self.process.send("answer", client=self.name, event=event, call=number, **how)
        await soon(done, "the Node process")

    def reconnect(self) -> None:
        """Connects the same socket again."""
        self.process.send("reconnect", client=self.name)

    def cut(self) -> None:
        """Loses the connection without a word to the server."""
        self.process.send("cut", client=self.name)

    def expect_pings_within(self, milliseconds: int) -> None:
        """Makes the client believe that the server promised a ping within this time."""
        self.process.send("expectPings", client=self.name, milliseconds=milliseconds)

    def stop_pinging(self) -> None:
        """Keeps an old client from pinging."""
        self.process.send("stopPinging", client=self.name)

    def freeze(self) -> None:
        """Stops reading while the connection stays open."""
        self.process.send("freeze", client=self.name)

    async def disconnect(self) -> None:
        self.process.send("disconnect", client=self.name)

    async def close(self) -> None:
        self.process.send("close", client=self.name)
        self.process.forget(self)
