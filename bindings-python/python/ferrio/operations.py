"""What a server and the class of a namespace both offer: emits, rooms and sessions."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import AsyncIterator, Callable, Hashable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

from ferrio.exceptions import TimeoutError
from ferrio.socket import Socket

if TYPE_CHECKING:
    from typing import TypeAlias

    from ferrio import _native
    from ferrio.server import AsyncServer

Room: TypeAlias = "Hashable"
Rooms: TypeAlias = "Room | Sequence[Room] | set[Room] | None"


class Operations:
    """What can be done in a namespace: in the one that is named, or else in the object's own.

    A server's own namespace is `/`; that of an `AsyncNamespace` is the one whose handlers it holds. Private methods have long
    names here, because applications derive from `AsyncNamespace` and give their own attributes short ones.
    """

    # Emits.

    async def emit(
        self,
        event: str,
        data: Any = None,
        to: Rooms = None,
        room: Rooms = None,
        skip_sid: Rooms = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        ignore_queue: bool = False,
        *,
        except_rooms: Rooms = None,
        volatile: bool = False,
        compress: bool = True,
        local: bool = False,
    ) -> None:
        """Sends an event to everybody in a namespace, or to clients and rooms.

        `data` is one argument; a tuple stands for many, `None` for none. An argument consists of what JSON knows and of
        bytes: anything else raises `TypeError`, and a float that is no number `ValueError`, with its place. `to` (or
        `room`) names a client, a room or several; `skip_sid` and `except_rooms` leave out clients and rooms. `callback`
        is called with the answer of each client. A `volatile` event is dropped for clients that are not ready for it;
        `compress` says whether it may be compressed on its way; a `local` one stays on this node of a
        cluster. When this returns, the event is queued for every receiver, in the order of the emits.
        """
        target = self._native_namespace(namespace)
        if target is None:
            return
        if callback is None:
            target.emit(event, data, to or room, skip_sid, except_rooms, volatile, compress, local)
            return
        for socket in _receivers(target, to or room, skip_sid, except_rooms):
            socket.emit_with_ack(event, data, callback, False, None)

    async def send(
        self,
        data: Any,
        to: Rooms = None,
        room: Rooms = None,
        skip_sid: Rooms = None,
        namespace: str | None = None,
        callback: Callable[..., Any] | None = None,
        ignore_queue: bool = False,
    ) -> None:
        """Sends an event named `message`."""
        await self.emit(
            "message",
            data=data,
            to=to,
            room=room,
            skip_sid=skip_sid,
            namespace=namespace,
            callback=callback,
            ignore_queue=ignore_queue,
        )

    async def call(
        self,
        event: str,
        data: Any = None,
        to: str | None = None,
        sid: str | None = None,
        namespace: str | None = None,
        timeout: float | None = 60,
        ignore_queue: bool = False,
    ) -> Any:
        """Sends an event to a client and returns its answer: `None`, the bare argument, or a tuple of them.

        Raises `TimeoutError` when no answer comes within `timeout` seconds, also when the client leaves meanwhile.
        """
        if to is None and sid is None:
            raise ValueError("Cannot use call() to broadcast.")
        server = self._socketio_server()
        if not server.async_handlers:
            raise RuntimeError("Cannot use call() when async_handlers is False.")
        answer = server._future()
        target = self._native_namespace(namespace)
        asked: list[tuple[_native.Socket, int]] = []
        try:
            for socket in _receivers(target, to or sid) if target is not None else ():
                asked.append((socket, socket.emit_with_ack(event, data, answer, True, timeout)))
            return await asyncio.wait_for(asyncio.wrap_future(answer), timeout)
        except asyncio.TimeoutError:
            raise TimeoutError("no answer in time") from None
        finally:
            for socket, token in asked:
                socket.forget_ack(token)

    async def call_all(
        self,
        event: str,
        data: Any = None,
        to: Rooms = None,
        room: Rooms = None,
        skip_sid: Rooms = None,
        namespace: str | None = None,
        timeout: float | None = 60,
        *,
        except_rooms: Rooms = None,
    ) -> list[Any]:
        """Sends an event to many clients and returns the answers of all, in the order of their arrival.

        Raises `TimeoutError` when some have not answered within `timeout` seconds, and `TooLargeError` when the answers
        are more than the server's `limits` let it keep; its `answers` are those that came.
        """
        target = self._native_namespace(namespace)
        if target is None:
            return []
        answers = self._socketio_server()._future()
        question = target.emit_with_ack(event, data, answers, timeout, to or room, skip_sid, except_rooms)
        try:
            return await asyncio.wrap_future(answers)
        finally:
            question.forget()

    # Rooms.

    async def enter_room(self, sid: str, room: Room, namespace: str | None = None) -> None:
        """Puts a client into a room. When it returns, what is sent to the room reaches the client."""
        target = self._native_namespace(namespace)
        socket = target.socket(sid) if target is not None else None
        if target is None or socket is None:
            raise ValueError("sid is not connected to requested namespace")
        if room != sid:
            _refuse_own_room(target, room)
        socket.join(room)

    async def leave_room(self, sid: str, room: Room, namespace: str | None = None) -> None:
        """Takes a client out of a room."""
        socket = self._native_socket(sid, namespace)
        if socket is not None:
            socket.leave(room)

    async def close_room(self, room: Room, namespace: str | None = None) -> None:
        """Takes everybody out of a room."""
        target = self._native_namespace(namespace)
        if target is not None:
            _refuse_own_room(target, room)
            target.close_room(room)

    def rooms(self, sid: str, namespace: str | None = None) -> list[Any]:
        """The rooms a client is in, its own first; none if it is not connected."""
        socket = self._native_socket(sid, namespace)
        return socket.rooms() if socket is not None else []

    async def fetch_sockets(self, room: Rooms = None, namespace: str | None = None) -> list[Socket]:
        """The clients of a namespace, or of a room."""
        target = self._native_namespace(namespace)
        if target is None:
            return []
        server = self._socketio_server()
        return [Socket(server, socket) for socket in target.sockets(room)]

    # Sessions.

    async def get_session(self, sid: str, namespace: str | None = None) -> Any:
        """What the application keeps with a client: a dictionary unless something else was saved."""
        return self._connected_socket(sid, namespace).session

    async def save_session(self, sid: str, session: Any, namespace: str | None = None) -> None:
        """Replaces what the application keeps with a client."""
        self._connected_socket(sid, namespace).session = session

    def session(self, sid: str, namespace: str | None = None) -> AbstractAsyncContextManager[Any]:
        """A context manager for a client's session, which is saved at the end."""

        @asynccontextmanager
        async def manage() -> AsyncIterator[Any]:
            session = await self.get_session(sid, namespace)
            try:
                yield session
            finally:
                await self.save_session(sid, session, namespace)

        return manage()

    # The core.

    @abstractmethod
    def _socketio_server(self) -> AsyncServer:
        """The server."""

    @abstractmethod
    def _native_namespace(self, name: str | None) -> _native.Namespace | None:
        """The namespace of this name, or the object's own for `None`, if it exists."""

    def _native_socket(self, sid: str, namespace: str | None) -> _native.Socket | None:
        target = self._native_namespace(namespace)
        return target.socket(sid) if target is not None else None

    def _connected_socket(self, sid: str, namespace: str | None) -> _native.Socket:
        socket = self._native_socket(sid, namespace)
        if socket is None:
            raise KeyError("Session not found")
        return socket


def _receivers(
    target: _native.Namespace, rooms: Rooms, skip_sid: Rooms = None, except_rooms: Rooms = None
) -> Iterable[_native.Socket]:
    """The clients that are meant."""
    if isinstance(rooms, str) and not skip_sid and not except_rooms:
        socket = target.socket(rooms)
        if socket is not None:
            return [socket]
    return target.sockets(rooms, skip_sid, except_rooms)


def _refuse_own_room(target: _native.Namespace, room: Room) -> None:
    """Refuses the room that is a client's own: nobody else may be put into it, and it cannot be closed."""
    if isinstance(room, str) and target.socket(room) is not None:
        raise ValueError("the id of another client cannot be used as a room")
