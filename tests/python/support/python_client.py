"""python-socketio's own AsyncClient as a scenario's client."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import socketio

from .client import Client
from .waiting import soon


class PythonClient(Client):
    """One AsyncClient in one namespace."""

    kind = "python"

    def __init__(self, name: str, namespace: str = "/", serializer: str = "default") -> None:
        super().__init__(name)
        self.namespace = namespace
        self.sio = socketio.AsyncClient(reconnection=False, serializer=serializer)
        self._answers: dict[str, tuple[Any, ...] | None] = {}
        self._echoes: set[str] = set()
        self._forever: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.sio.on("connect", self._on_connect, namespace=namespace)
        self.sio.on("connect_error", self._on_connect_error, namespace=namespace)
        self.sio.on("disconnect", self._on_disconnect, namespace=namespace)
        self.sio.on("*", self._on_event, namespace=namespace)

    async def open(self, url: str, **options: Any) -> None:
        """Starts to connect; `connected()` or `refused()` tells how it ended."""
        # A failure is also reported to the connect_error handler.
        with contextlib.suppress(socketio.exceptions.ConnectionError):
            await self.sio.connect(url, namespaces=[self.namespace], wait=False, **options)

    def _on_connect(self) -> None:
        self.hear_connect(self.sio.get_sid(self.namespace))

    def _on_connect_error(self, error: Any = None) -> None:
        self.hear_refusal(error if isinstance(error, dict) else {"message": error})

    def _on_disconnect(self, reason: str) -> None:
        self.hear_disconnect(reason)

    async def _on_event(self, event: str, *args: Any) -> Any:
        self.hear(event, args)
        if event in self._echoes:
            return args
        answer = self._answers.get(event, ())
        if answer is None:
            await asyncio.shield(self._forever)
        return answer

    @property
    def transport(self) -> str:
        return str(self.sio.transport())

    @property
    def engine_sid(self) -> str | None:
        return self.sio.eio.sid

    async def emit(self, event: str, *args: Any) -> None:
        await self.sio.emit(event, args, namespace=self.namespace)

    async def call(self, event: str, *args: Any) -> tuple[Any, ...]:
        answered: asyncio.Future[tuple[Any, ...]] = asyncio.get_running_loop().create_future()
        await self.sio.emit(
            event, args, namespace=self.namespace, callback=lambda *answer: answered.set_result(answer)
        )
        return await soon(answered, f"the ack of {event!r}")

    async def answer(self, event: str, *args: Any) -> None:
        self._answers[event] = args

    async def answer_with_echo(self, event: str) -> None:
        self._echoes.add(event)

    async def keep_silent(self, event: str) -> None:
        self._answers[event] = None

    async def disconnect(self) -> None:
        await self.sio.disconnect()

    async def close(self) -> None:
        self._forever.cancel()
        engine = self.sio.eio
        if engine.state == "connected":
            # An orderly disconnect() waits for the poll under way, which not every server ends.
            await engine.disconnect(abort=True)
        for task in (engine.read_loop_task, engine.write_loop_task):
            if task is not None:
                task.cancel()
        if engine.http is not None and not engine.http.closed:
            await engine.http.close()
