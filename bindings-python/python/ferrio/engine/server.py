"""An Engine.IO server of its own, under python-engineio's names."""

from __future__ import annotations

import asyncio
import json as standard_json
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, overload

from ferrio import _native, calling, options
from ferrio.calling import Handler
from ferrio.engine.sessions import Engine
from ferrio.serving import REASONS, Listener, Serving, _logger

if TYPE_CHECKING:
    import logging

    from typing_extensions import Unpack


H = TypeVar("H", bound=Handler)


class OwnOptions(TypedDict, total=False):
    """Options that python-engineio does not have; `ferrio.options` documents them."""

    upgrade_timeout: float
    allow_eio3: bool
    limits: options.Limits
    outbox: options.Outbox
    per_message_deflate: bool | options.MessageCompression | None


class AsyncServer(Serving, Engine):
    """An Engine.IO server for asyncio.

    ```python
    eio = engine.AsyncServer()
    app = engine.ASGIApp(eio)

    @eio.on("message")
    async def message(sid: str, data: object) -> None:
        await eio.send(sid, data)
    ```

    A `connect` handler gets the session's id and the WSGI environment of the request. It accepts the client by
    returning `None` or `True`; anything else refuses it, and is sent to it as JSON. A `message` handler gets the id and
    the message: bytes, or text, which is read where it is JSON. A `disconnect` handler gets the id and a reason, which it
    may leave out. What a handler raises goes to the logger.
    """

    def __init__(
        self,
        async_mode: str | None = None,
        ping_interval: float | tuple[float, float] = 25,
        ping_timeout: float = 20,
        max_http_buffer_size: int = 1_000_000,
        allow_upgrades: bool = True,
        http_compression: bool = True,
        compression_threshold: int = 1024,
        cookie: str | dict[str, Any] | None = None,
        cors_allowed_origins: str | Sequence[str] | options.OriginRule | None = None,
        cors_credentials: bool = True,
        logger: bool | logging.Logger = False,
        json: Any = None,
        async_handlers: bool = True,
        monitor_clients: bool | None = None,
        transports: options.Transport | Sequence[options.Transport] | None = None,
        **own: Unpack[OwnOptions],
    ) -> None:
        """Makes a server; `ferrio.options` describes the options.

        `async_handlers` says whether the message handlers of one client run side by side. Either way a client has so many
        messages under way as `limits["host_queue_share"]` says (256, fewer if they are long); nothing more is read from it
        until some handlers have ended.
        """
        if async_mode not in (None, "asgi", "aiohttp"):
            raise ValueError(f"option `async_mode` must be None, 'asgi' or 'aiohttp', not {async_mode!r}")
        for name in own:
            if name not in OwnOptions.__annotations__:
                raise TypeError(f"there is no option `{name}`")
        self.async_mode = async_mode or "asgi"
        self.logger = _logger(logger)
        Serving.__init__(self, "/engine.io")
        self._init_options(
            ping_interval,
            ping_timeout,
            max_http_buffer_size,
            allow_upgrades,
            http_compression,
            compression_threshold,
            cookie,
            cors_allowed_origins,
            cors_credentials,
            transports,
            json,
            monitor_clients,
        )
        self.handlers: dict[str, Handler] = {}
        self.async_handlers = async_handlers
        self._own_options = own
        _native.check_options(self._core_options())

    @overload
    def on(self, event: str, handler: None = None) -> Callable[[H], H]: ...
    @overload
    def on(self, event: str, handler: Handler) -> None: ...
    def on(self, event: str, handler: Handler | None = None) -> Callable[[H], H] | None:
        """Registers the handler of `connect`, `message` or `disconnect`, as a decorator when none is given."""
        if event not in self.event_names:
            raise ValueError("Invalid event")

        def register(handler: H) -> H:
            self.handlers[event] = handler
            return handler

        if handler is None:
            return register
        register(handler)
        return None

    # Running.

    async def handle_request(self, *args: Any) -> Any:
        """Serves one ASGI connection, `(scope, receive, send)`, or one request of aiohttp, `(request)`, whatever its path."""
        if len(args) == 1:
            from ferrio.engine import aiohttp

            return await aiohttp.serve(self, args[0])
        return await super().handle_request(*args)

    def attach(self, app: Any, engineio_path: str = "engine.io") -> None:
        """Adds the server to an application of aiohttp. An ASGI application is served beside it by `ASGIApp`."""
        if not any(kind.__module__.startswith("aiohttp.") for kind in type(app).__mro__):
            raise TypeError(
                "attach() takes an application of aiohttp; of an ASGI application make `ferrio.engine.ASGIApp(eio, app)`,"
                f" or mount that in it. This is {type(app).__name__}"
            )
        from ferrio.engine import aiohttp

        aiohttp.attach(self, app, f"/{engineio_path.strip('/')}/")

    async def listen(
        self,
        host: str | None = None,
        port: int = 0,
        *,
        engineio_path: str = "engine.io",
        ssl: tuple[str, str] | None = None,
    ) -> Listener:
        """Serves a port of the server's own; `ssl` is the file of a certificate chain and that of its key.

        Nothing but Engine.IO is served there. It ends with `close()` of what this returns, or with `shutdown()`.
        """
        return await self._listen(host, port, engineio_path, "engineio_path", ssl)

    # The core.

    def _make_native(self) -> _native.Server:
        core = {**self._core_options(), "path": self._path}
        return _native.Server.engine(core, self.handlers, options.json_module(self.json), self.async_handlers)

    def _core_options(self) -> dict[str, Any]:
        return {**super()._core_options(), **self._own_options}

    def _native_server(self) -> _native.Server | None:
        return self._bridge.native if self._bridge is not None else None

    def _origin_rule(self) -> Any:
        return self.cors_allowed_origins

    async def _run_ends(self, ends: list[Any]) -> None:
        # Nobody waits for the handler of another.
        await asyncio.gather(*(self._run_disconnects([end]) for end in ends))

    # What the core asks.

    def _session_id(self) -> Any:
        return self.generate_id()

    async def _connect(self, sid: str, environ: dict[str, Any]) -> str | None:
        """Asks the handler about a new client: `None`, or the JSON text that it is refused with."""
        request = environ["asgi.scope"].get("aiohttp.request")
        if request is not None:
            environ["aiohttp.request"] = request
        try:
            result = await calling.call(self.handlers["connect"], sid, environ)
            return None if result is None or result is True else standard_json.dumps(result or "Unauthorized")
        except Exception as error:
            self.logger.error("connect handler error", exc_info=error)
            return standard_json.dumps("Unauthorized")

    def _disconnected(self, disconnected: _native.SessionEnd) -> Coroutine[Any, Any, None] | None:
        handler = self.handlers.get("disconnect")
        if handler is None:
            disconnected.finish()
            return None
        reason = REASONS.get(disconnected.reason, disconnected.reason)

        async def run() -> None:
            with self._under_way(self._begin_disconnect()):
                try:
                    await calling.call(handler, disconnected.sid, reason, optional=1)
                except Exception as error:
                    self.logger.error("disconnect handler error", exc_info=error)
                finally:
                    disconnected.finish()

        return run()

    def _failed(self, error: BaseException) -> None:
        """Takes what a message handler has raised, or what went wrong with a request."""
        self.logger.error("message handler error", exc_info=error)
