"""A client in a namespace as an object, for those who prefer it to an id."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferrio import _native
    from ferrio.server import AsyncServer


class Socket:
    """A view of one client in one namespace. Views of the same client are equal."""

    __slots__ = ("_server", "_socket")

    def __init__(self, server: AsyncServer, socket: _native.Socket) -> None:
        self._server = server
        self._socket = socket

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Socket) and (self.namespace, self.sid) == (other.namespace, other.sid)

    def __hash__(self) -> int:
        return hash((self.namespace, self.sid))

    def __repr__(self) -> str:
        return f"<ferrio.Socket {self.sid} in {self.namespace}>"

    @property
    def sid(self) -> str:
        """The id that the client sees too."""
        return self._socket.id

    @property
    def namespace(self) -> str:
        """The name of its namespace."""
        return self._socket.namespace

    @property
    def rooms(self) -> list[Any]:
        """The rooms it is in, its own first."""
        return self._socket.rooms()

    @property
    def environ(self) -> dict[str, Any]:
        """The environment that its connect handler got."""
        return self._socket.environ

    @property
    def session(self) -> Any:
        """The application's session, a dictionary unless something else was saved."""
        return self._socket.session

    @property
    def transport(self) -> str:
        """`polling` or `websocket`."""
        return self._socket.transport

    @property
    def connected(self) -> bool:
        """Whether it has been accepted and is still connected."""
        return self._socket.connected

    @property
    def recovered(self) -> bool:
        """Whether it goes on where a lost connection left off."""
        return self._socket.recovered

    async def emit(self, event: str, data: Any = None, *, volatile: bool = False) -> None:
        """Sends it an event."""
        self._socket.emit(event, data, volatile)

    async def call(self, event: str, data: Any = None, timeout: float | None = 60) -> Any:
        """Sends it an event and returns its answer."""
        return await self._server.call(event, data, to=self.sid, namespace=self.namespace, timeout=timeout)

    async def enter_room(self, room: Hashable) -> None:
        """Puts it into a room."""
        await self._server.enter_room(self.sid, room, self.namespace)

    async def leave_room(self, room: Hashable) -> None:
        """Takes it out of a room."""
        await self._server.leave_room(self.sid, room, self.namespace)

    async def disconnect(self, close: bool = False) -> None:
        """Disconnects it from the namespace; `close` ends its whole connection."""
        await self._server.disconnect(self.sid, self.namespace, close=close)
