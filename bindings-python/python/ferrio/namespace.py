"""Namespaces as classes, whose `on_…` methods are the handlers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable
from typing import TYPE_CHECKING, Any

from ferrio import calling

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from ferrio.server import AsyncServer, Rooms
    from ferrio.socket import Socket


class AsyncNamespace:
    """The handlers of one namespace: a method `on_name`, sync or async, for every event `name`.

    The methods that are the server's too do the same in this namespace unless another is named.
    """

    server: AsyncServer

    def __init__(self, namespace: str | None = None) -> None:
        self.namespace = namespace or "/"

    def is_asyncio_based(self) -> bool:
        return True

    def _set_server(self, server: AsyncServer) -> None:
        self.server = server

    async def trigger_event(self, event: str, *args: Any) -> Any:
        """Calls the method of an event. Override it to dispatch in another way."""
        handler = getattr(self, f"on_{event or ''}", None)
        if handler is None:
            return None
        return await calling.call(handler, *args, optional=1 if event in ("connect", "disconnect") else 0)

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
        """`AsyncServer.emit` in this namespace."""
        await self.server.emit(
            event,
            data=data,
            to=to,
            room=room,
            skip_sid=skip_sid,
            namespace=namespace or self.namespace,
            callback=callback,
            ignore_queue=ignore_queue,
            except_rooms=except_rooms,
            volatile=volatile,
            compress=compress,
            local=local,
        )

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
        """`AsyncServer.send` in this namespace."""
        await self.server.send(
            data,
            to=to,
            room=room,
            skip_sid=skip_sid,
            namespace=namespace or self.namespace,
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
        timeout: float | None = None,
        ignore_queue: bool = False,
    ) -> Any:
        """`AsyncServer.call` in this namespace, by default without a limit of time."""
        return await self.server.call(
            event,
            data=data,
            to=to,
            sid=sid,
            namespace=namespace or self.namespace,
            timeout=timeout,
            ignore_queue=ignore_queue,
        )

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
        """`AsyncServer.call_all` in this namespace."""
        return await self.server.call_all(
            event,
            data=data,
            to=to,
            room=room,
            skip_sid=skip_sid,
            namespace=namespace or self.namespace,
            timeout=timeout,
            except_rooms=except_rooms,
        )

    async def enter_room(self, sid: str, room: Hashable, namespace: str | None = None) -> None:
        """`AsyncServer.enter_room` in this namespace."""
        await self.server.enter_room(sid, room, namespace=namespace or self.namespace)

    async def leave_room(self, sid: str, room: Hashable, namespace: str | None = None) -> None:
        """`AsyncServer.leave_room` in this namespace."""
        await self.server.leave_room(sid, room, namespace=namespace or self.namespace)

    async def close_room(self, room: Hashable, namespace: str | None = None) -> None:
        """`AsyncServer.close_room` in this namespace."""
        await self.server.close_room(room, namespace=namespace or self.namespace)

    def rooms(self, sid: str, namespace: str | None = None) -> list[Any]:
        """`AsyncServer.rooms` in this namespace."""
        return self.server.rooms(sid, namespace=namespace or self.namespace)

    async def fetch_sockets(self, room: Rooms = None, namespace: str | None = None) -> list[Socket]:
        """`AsyncServer.fetch_sockets` in this namespace."""
        return await self.server.fetch_sockets(room, namespace=namespace or self.namespace)

    def get_session(self, sid: str, namespace: str | None = None) -> Awaitable[Any]:
        """`AsyncServer.get_session` in this namespace."""
        return self.server.get_session(sid, namespace=namespace or self.namespace)

    def save_session(self, sid: str, session: Any, namespace: str | None = None) -> Awaitable[None]:
        """`AsyncServer.save_session` in this namespace."""
        return self.server.save_session(sid, session, namespace=namespace or self.namespace)

    def session(self, sid: str, namespace: str | None = None) -> AbstractAsyncContextManager[Any]:
        """`AsyncServer.session` in this namespace."""
        return self.server.session(sid, namespace=namespace or self.namespace)

    async def disconnect(self, sid: str, namespace: str | None = None, *, close: bool = False) -> None:
        """`AsyncServer.disconnect` in this namespace."""
        await self.server.disconnect(sid, namespace=namespace or self.namespace, close=close)
