"""The engine of a Socket.IO server, `sio.eio`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ferrio.engine.sessions import Engine

if TYPE_CHECKING:
    import logging

    from ferrio import _native, asgi
    from ferrio.server import AsyncServer


class EngineView(Engine):
    """The engine under a Socket.IO server: its options and its sessions.

    Its own events are the Socket.IO server's: handlers are registered there.
    """

    def __init__(self, server: AsyncServer, logger: logging.Logger, given: dict[str, Any]) -> None:
        self._server = server
        self.async_mode = given.get("async_mode") or "asgi"
        self.logger = logger
        names = (
            *("ping_interval", "ping_timeout", "max_http_buffer_size", "allow_upgrades", "http_compression"),
            *("compression_threshold", "cookie", "cors_allowed_origins", "cors_credentials", "transports"),
            *("json", "monitor_clients"),
        )
        self._init_options(**{name: given[name] for name in names if name in given})

    def on(self, event: str, handler: Any = None) -> Any:
        """Refuses: a handler here would take the place of the Socket.IO server."""
        raise NotImplementedError("the engine's events are the Socket.IO server's own: use `on` of that")

    async def handle_request(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Serves one ASGI connection, whatever its path."""
        await self._server.handle_request(scope, receive, send)

    @property
    def _names_sessions(self) -> bool:
        """Whether the application gives sessions their ids."""
        return "generate_id" in vars(self)

    def _native_server(self) -> _native.Server | None:
        bridge = self._server._bridge
        return bridge.native if bridge is not None else None

    async def _run_ends(self, ends: list[Any]) -> None:
        await self._server._run_disconnects(ends)
