"""What applications read of python-socketio's client manager."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferrio.server import AsyncServer


class Manager:
    """A view of who is where. Everything it returns is a copy."""

    def __init__(self, server: AsyncServer) -> None:
        self._server = server

    @property
    def rooms(self) -> dict[str, dict[Any, dict[str, str]]]:
        """The members of every room of every namespace; those of the room `None` are all clients.

        Members are keys; their values are their ids once more, since the id of a session is nobody's business.
        """
        return {name: self._rooms_of(name) for name in self.get_namespaces()}

    def get_namespaces(self) -> list[str]:
        """The names of the namespaces that have clients."""
        bridge = self._server._bridge
        return (
            [name for name in bridge.native.namespaces() if self._has_clients(name)]
            if bridge is not None
            else []
        )

    def get_participants(self, namespace: str, room: Hashable) -> Iterator[tuple[str, str]]:
        """The members of a room, of the room `None` all clients."""
        yield from self._rooms_of(namespace).get(room, {}).items()

    def is_connected(self, sid: str, namespace: str) -> bool:
        """Whether a client is in a namespace."""
        socket = self._server._native_socket(sid, namespace)
        return socket is not None and socket.connected

    def eio_sid_from_sid(self, sid: str, namespace: str) -> str | None:
        """The id of the engine's session that carries a client; `None` if that is not connected."""
        socket = self._server._native_socket(sid, namespace)
        return socket.session_id if socket is not None else None

    def sid_from_eio_sid(self, eio_sid: str, namespace: str) -> str | None:
        """The id of the client that a session of the engine carries in a namespace, if there is one."""
        bridge = self._server._bridge
        return bridge.native.socket_id(eio_sid, namespace) if bridge is not None else None

    def _has_clients(self, namespace: str) -> bool:
        target = self._server._native_namespace(namespace)
        return target is not None and len(target) > 0

    def _rooms_of(self, namespace: str) -> dict[Any, dict[str, str]]:
        target = self._server._native_namespace(namespace)
        if target is None:
            return {}
        rooms: dict[Any, dict[str, str]] = {None: {socket.id: socket.id for socket in target.sockets()}}
        for room, members in target.rooms():
            rooms[room] = {sid: sid for sid in members}
        return rooms
