"""What every official client offers to a scenario, whatever its language."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import defaultdict
from typing import Any

from .waiting import Mailbox


class Client(ABC):
    """One official client in one namespace, with everything it heard."""

    kind: str

    def __init__(self, name: str) -> None:
        self.name = name
        self.sid: str | None = None
        self.heard: list[tuple[Any, ...]] = []
        self._events: dict[str, Mailbox[tuple[Any, ...]]] = defaultdict(self._mailbox)
        self._connects: Mailbox[str] = Mailbox(f"connects of {name}")
        self._refusals: Mailbox[Any] = Mailbox(f"refusals of {name}")
        self._disconnects: Mailbox[str] = Mailbox(f"disconnects of {name}")

    def _mailbox(self) -> Mailbox[tuple[Any, ...]]:
        return Mailbox(f"events of {self.name}")

    def hear(self, event: str, args: tuple[Any, ...]) -> None:
        """Notes an event from the server."""
        self.heard.append((event, *args))
        self._events[event].put(args)

    def hear_connect(self, sid: str) -> None:
        self.sid = sid
        self.heard.append(("connect",))
        self._connects.put(sid)

    def hear_refusal(self, error: Any) -> None:
        self._refusals.put(error)

    def hear_disconnect(self, reason: str) -> None:
        self._disconnects.put(reason)

    async def connected(self) -> str:
        """Waits for the next connect and returns the new socket id."""
        return await self._connects.next()

    async def refused(self) -> Any:
        """Waits for the next refusal and returns what the server said, as a dict with `message`."""
        return await self._refusals.next()

    async def disconnected(self) -> str:
        """Waits for the next disconnect and returns the client's reason."""
        return await self._disconnects.next()

    async def receive(self, event: str) -> tuple[Any, ...]:
        """Waits for the next `event` and returns its arguments."""
        return await self._events[event].next()

    async def receive_many(self, event: str, count: int) -> list[tuple[Any, ...]]:
        """Waits until `count` of `event` came in all, and returns all of them."""
        return await self._events[event].wait_for(count)

    def received(self, event: str) -> list[tuple[Any, ...]]:
        """Every `event` so far."""
        return self._events[event].seen

    @property
    @abstractmethod
    def transport(self) -> str:
        """`polling` or `websocket`."""

    @property
    @abstractmethod
    def engine_sid(self) -> str | None:
        """The id of the Engine.IO session, which is a secret between client and server."""

    @abstractmethod
    async def emit(self, event: str, *args: Any) -> None:
        """Sends an event."""

    @abstractmethod
    async def call(self, event: str, *args: Any) -> tuple[Any, ...]:
        """Sends an event and returns the arguments of the server's ack."""

    @abstractmethod
    async def answer(self, event: str, *args: Any) -> None:
        """Acknowledges every `event` from now on with `args`; without this, acks have no arguments."""

    @abstractmethod
    async def answer_with_echo(self, event: str) -> None:
        """Acknowledges every `event` from now on with its own arguments."""

    @abstractmethod
    async def keep_silent(self, event: str) -> None:
        """Never acknowledges `event` from now on."""

    @abstractmethod
    async def disconnect(self) -> None:
        """Leaves the namespace on purpose."""

    @abstractmethod
    async def close(self) -> None:
        """Ends the client for good, whatever its state."""
