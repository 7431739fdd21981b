"""Namespaces as classes, whose `on_…` methods are the handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferrio import calling
from ferrio.operations import Operations

if TYPE_CHECKING:
    from ferrio import _native
    from ferrio.server import AsyncServer


class AsyncNamespace(Operations):
    """The handlers of one namespace: a method `on_name`, sync or async, for every event `name`.

    What it shares with the server happens in this namespace unless another is named.
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
        return await super().call(event, data, to, sid, namespace, timeout, ignore_queue)

    async def disconnect(self, sid: str, namespace: str | None = None, *, close: bool = False) -> None:
        """`AsyncServer.disconnect` in this namespace."""
        await self.server.disconnect(sid, namespace or self.namespace, close=close)

    def _socketio_server(self) -> AsyncServer:
        return self.server

    def _native_namespace(self, name: str | None) -> _native.Namespace | None:
        return self.server._native_namespace(name or self.namespace)
