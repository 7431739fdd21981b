"""What the sessions of an engine offer by their ids: a server's own, and those under a Socket.IO server."""

from __future__ import annotations

import asyncio
import base64
import json as standard_json
import os
from abc import abstractmethod
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from ferrio import options
from ferrio.basics import Basics
from ferrio.engine import packet

if TYPE_CHECKING:
    import logging

    from ferrio import _native

OPTIONS = frozenset(
    {
        "allow_upgrades",
        "compression_threshold",
        "cookie",
        "cors_allowed_origins",
        "cors_credentials",
        "http_compression",
        "max_http_buffer_size",
        "ping_interval",
        "ping_interval_grace_period",
        "ping_timeout",
        "transports",
    }
)
"""The options that are attributes, and may be set until the core's server is made."""


class Socket:
    """A view of one session."""

    __slots__ = ("_session",)

    def __init__(self, session: _native.Session) -> None:
        self._session = session

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Socket) and self.sid == other.sid

    def __hash__(self) -> int:
        return hash(self.sid)

    def __repr__(self) -> str:
        return f"<ferrio.engine.Socket, {self.transport}>"

    @property
    def sid(self) -> str:
        """The id that the client sees too. It is the client's secret."""
        return self._session.sid

    @property
    def connected(self) -> bool:
        """Whether the handshake is over, and the client has not gone."""
        return self._session.connected

    @property
    def closed(self) -> bool:
        """Whether it is over. It stays among the server's sockets until its disconnect handler has ended."""
        return self._session.closed

    @property
    def upgrading(self) -> bool:
        """Whether a WebSocket is being probed."""
        return self._session.upgrading

    @property
    def upgraded(self) -> bool:
        """Whether it is on WebSocket."""
        return self.transport == "websocket"

    @property
    def transport(self) -> str:
        """`polling` or `websocket`."""
        return self._session.transport

    @property
    def session(self) -> Any:
        """What the application keeps with it."""
        return self._session.session


class Sockets(Mapping[str, Socket]):
    """The sessions of an engine by their ids, as they are at the moment."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def __getitem__(self, sid: str) -> Socket:
        native = self._engine._native_server()
        session = native.session(sid) if native is not None else None
        if session is None:
            raise KeyError(sid)
        return Socket(session)

    def __iter__(self) -> Iterator[str]:
        native = self._engine._native_server()
        return iter([session.sid for session in native.sessions()] if native is not None else [])

    def __len__(self) -> int:
        native = self._engine._native_server()
        return native.n_sessions if native is not None else 0

    def __repr__(self) -> str:
        return f"<ferrio.engine.Sockets: {len(self)}>"


class Engine(Basics):
    """The sessions of an engine and its options, under python-engineio's names.

    The options are attributes. They may be set until the first client comes, or a port is listened to; what is set later
    waits for the next start of the server, and is reported to the logger.
    """

    event_names = ("connect", "disconnect", "message")
    valid_transports = ("polling", "websocket")

    logger: logging.Logger
    async_mode: str
    start_service_task: bool
    """For python-engineio's sake; the core always watches for silent clients."""

    def _init_options(
        self,
        ping_interval: float | tuple[float, float] = 25,
        ping_timeout: float = 20,
        max_http_buffer_size: int = 1_000_000,
        allow_upgrades: bool = True,
        http_compression: bool = True,
        compression_threshold: int = 1024,
        cookie: str | dict[str, Any] | None = None,
        cors_allowed_origins: str | Sequence[str] | options.OriginRule | None = None,
        cors_credentials: bool = True,
        transports: Any = None,
        json: Any = None,
        monitor_clients: bool | None = None,
    ) -> None:
        is_pair = isinstance(ping_interval, (tuple, list)) and len(ping_interval) == 2
        interval, grace = ping_interval if is_pair else (ping_interval, 0)  # type: ignore[misc]
        self.ping_interval: Any = interval
        self.ping_interval_grace_period: Any = grace
        self.ping_timeout: Any = ping_timeout
        self.max_http_buffer_size: Any = max_http_buffer_size
        self.allow_upgrades: Any = allow_upgrades
        self.http_compression: Any = http_compression
        self.compression_threshold: Any = compression_threshold
        self.cookie: Any = cookie
        self.cors_allowed_origins: Any = cors_allowed_origins
        self.cors_credentials: Any = cors_credentials
        transports = [transports] if isinstance(transports, str) else transports
        self.transports: Any = list(self.valid_transports) if transports is None else transports
        self.json = standard_json if json is None else json
        self.start_service_task = monitor_clients is not False
        self.sockets: Mapping[str, Socket] = Sockets(self)

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in OPTIONS and hasattr(self, "sockets") and self._native_server() is not None:
            self.logger.warning("option `%s` was set on a running server, which does not use it", name)

    def _core_options(self) -> dict[str, Any]:
        """The options as the core takes them."""
        core = {name: getattr(self, name) for name in OPTIONS}
        grace = core.pop("ping_interval_grace_period")
        if grace:
            core["ping_interval"] = (core["ping_interval"], grace)
        core["cookie"] = options.cookie_parts(core["cookie"])
        return core

    # Clients.

    async def send(self, sid: str, data: Any) -> None:
        """Sends a message to a client.

        `str` is sent as text, `bytes` as they are, dictionaries and lists as JSON, anything else as `str` makes it. When
        this returns, the message is queued. One for a client that is not there is dropped.
        """
        native = self._native_server()
        message: str | bytes
        if isinstance(data, (bytes, bytearray, memoryview)):
            message = bytes(data)
        else:
            message = packet.as_text(data, self.json)
        if native is None or not native.send(sid, message):
            self.logger.info("a message was for a client that is not connected")

    async def send_packet(self, sid: str, pkt: packet.Packet) -> None:
        """Sends a packet to a client.

        It is a message or, like `disconnect`, a CLOSE. A NOOP has nothing to tell and is not sent; the others are the
        server's own to send, and raise `ValueError`.
        """
        if pkt.packet_type == packet.MESSAGE:
            await self.send(sid, pkt.data)
        elif pkt.packet_type == packet.CLOSE:
            await self.disconnect(sid)
        elif pkt.packet_type != packet.NOOP:
            raise ValueError("the server itself sends what is no message")

    async def disconnect(self, sid: str | None = None) -> None:
        """Ends the session of a client, or without `sid` those of all.

        What was sent before still reaches it. The disconnect handler has run when this returns.
        """
        native = self._native_server()
        if native is None:
            return
        one = native.session(sid) if sid is not None else None
        sessions = native.sessions() if sid is None else [one] if one is not None else []
        await self._run_ends([end for session in sessions for end in session.disconnect()])

    async def get_session(self, sid: str) -> Any:
        """What the application keeps with a client: a dictionary unless something else was saved."""
        return self._session(sid).session

    async def save_session(self, sid: str, session: Any) -> None:
        """Replaces what the application keeps with a client."""
        self._session(sid).session = session

    def session(self, sid: str) -> AbstractAsyncContextManager[Any]:
        """A context manager for a client's session, which is saved at the end."""

        @asynccontextmanager
        async def manage() -> AsyncIterator[Any]:
            session = await self.get_session(sid)
            try:
                yield session
            finally:
                await self.save_session(sid, session)

        return manage()

    def transport(self, sid: str) -> str:
        """`polling` or `websocket`."""
        return self._session(sid).transport

    # Tasks.

    def create_queue(self, *args: Any, **kwargs: Any) -> asyncio.Queue[Any]:
        """Makes a queue."""
        return asyncio.Queue(*args, **kwargs)

    def get_queue_empty_exception(self) -> type[asyncio.QueueEmpty]:
        """What the queue raises that is asked for something it has not."""
        return asyncio.QueueEmpty

    def create_event(self, *args: Any, **kwargs: Any) -> asyncio.Event:
        """Makes an event."""
        return asyncio.Event(*args, **kwargs)

    def generate_id(self) -> str:
        """Makes the id of a new session. It may be replaced, by one that nobody can guess and that is never the same."""
        return base64.urlsafe_b64encode(os.urandom(15)).decode()

    # The core.

    @abstractmethod
    def _native_server(self) -> _native.Server | None:
        """The core's server, if there is one."""

    @abstractmethod
    async def _run_ends(self, ends: list[Any]) -> None:
        """Runs the disconnect handlers of sessions that were ended."""

    def _session(self, sid: str) -> _native.Session:
        native = self._native_server()
        session = native.session(sid) if native is not None else None
        if session is None:
            raise KeyError("Session not found")
        return session
