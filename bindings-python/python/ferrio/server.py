"""The server: handlers, emits, rooms and sessions, under python-socketio's names."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ferrio import _native, options
from ferrio.admin import Auth, InstrumentedAsyncServer
from ferrio.engine.view import EngineView
from ferrio.handlers import Handlers
from ferrio.manager import Manager
from ferrio.operations import Operations
from ferrio.serving import Listener, _logger

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ferrio.operations import Rooms


class AsyncServer(Handlers, Operations):
    """A Socket.IO server for asyncio.

    ```python
    sio = ferrio.AsyncServer()
    app = ferrio.ASGIApp(sio)

    @sio.event
    async def greet(sid: str, name: str) -> str:
        return f"hello {name}"
    ```

    It belongs to the event loop that first serves a client with it, and moves to another when that one has ended.
    Handlers run on that loop, in order of arrival. One that never waits takes no task of its own; for any other,
    `asyncio.current_task()`, cancellation and context variables are those of a task that starts with the context of
    the place where the server was made. A forked process serves its own clients with it, also when it was used before the
    fork; those of the parent stay with the parent.
    """

    def __init__(
        self,
        client_manager: None = None,
        logger: bool | logging.Logger = False,
        json: Any = None,
        async_handlers: bool = True,
        namespaces: str | Sequence[str] | None = None,
        **kwargs: Unpack[options.ServerOptions],
    ) -> None:
        """Makes a server; `options.ServerOptions` describes the other keywords.

        `json` is a module with `dumps` and `loads`, `async_handlers` says whether events of one client are handled side
        by side. Either way a client has so many events under way, waiting or with a handler at work, as
        `limits["host_queue_share"]` says (256, fewer if they are long); nothing more is read from it until some handlers
        have ended. With `async_handlers=False` a client that has gone waits for its handler at work, at most as long as its
        silence would have taken to be noticed; then its disconnect handler is called, and what waited is dropped.
        `namespaces` says which namespaces exist beside those that have handlers: `'/'` by default, `'*'` for all.
        """
        if client_manager is not None:
            raise ValueError(
                "option `client_manager` must be None: there is no manager for several processes yet"
            )
        recovery = kwargs.get("connection_state_recovery")
        skips_middleware = isinstance(recovery, dict) and recovery.get("skip_middlewares", False)
        super().__init__(skips_middleware)
        self.namespaces: str | list[str] = "*" if namespaces == "*" else list(namespaces or ["/"])
        self.async_handlers = async_handlers
        self.always_connect = kwargs.get("always_connect", False)
        self.async_mode = kwargs.get("async_mode") or "asgi"
        self.logger = _logger(logger)
        self._json = options.json_module(json)
        self._options = options.core_options(kwargs, any_namespace=self.namespaces == "*")
        _native.check_options(self._options)
        self.eio = EngineView(self, _logger(kwargs.get("engineio_logger", False)), {**kwargs, "json": json})
        self.manager = Manager(self)
        self._opened: dict[str, _native.Namespace] = {}
        self._admin: InstrumentedAsyncServer | None = None

    # Clients.

    async def disconnect(
        self, sid: str, namespace: str | None = None, ignore_queue: bool = False, *, close: bool = False
    ) -> None:
        """Disconnects a client from a namespace; `close` ends its whole connection.

        Its disconnect handler has run when this returns.
        """
        socket = self._native_socket(sid, namespace)
        if socket is not None:
            await self._run_disconnects(socket.disconnect(close))

    async def disconnect_sockets(
        self, room: Rooms = None, namespace: str | None = None, close: bool = False
    ) -> None:
        """Disconnects the clients of a namespace, or of a room, from it; `close` ends their whole connections."""
        target = self._native_namespace(namespace)
        sockets = target.sockets(room) if target is not None else []
        await self._run_disconnects(
            [disconnected for socket in sockets for disconnected in socket.disconnect(close)]
        )

    def transport(self, sid: str, namespace: str | None = None) -> str:
        """`polling` or `websocket`."""
        return self._connected_socket(sid, namespace).transport

    def get_environ(self, sid: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The environment that the connect handler got; `None` if it is not connected."""
        socket = self._native_socket(sid, namespace)
        return socket.environ if socket is not None else None

    # Running.

    async def listen(
        self,
        host: str | None = None,
        port: int = 0,
        *,
        socketio_path: str = "socket.io",
        ssl: tuple[str, str] | None = None,
    ) -> Listener:
        """Serves a port of the server's own; `ssl` is the file of a certificate chain and that of its key.

        Nothing but Socket.IO is served there. It ends with `close()` of what this returns, or with `shutdown()`.
        """
        return await self._listen(host, port, socketio_path, "socketio_path", ssl)

    # The admin UI.

    def instrument(
        self,
        auth: Auth = None,
        mode: str = "development",
        read_only: bool = False,
        server_id: str | None = None,
        namespace: str = "/admin",
        server_stats_interval: float = 2,
        *,
        show_secrets: bool = False,
    ) -> InstrumentedAsyncServer:
        """Lets the clients of the [admin UI](https://socket.io/docs/v4/admin-ui/) see the server, and act on it.

        `auth` says who may: `{'type': 'basic', 'username': …, 'password': …}`, the password being its bcrypt hash; an
        account as a dictionary, or a list of them, which a client has to give exactly; a function, sync or async, that is
        called with what the client gave; or `False`, which lets everybody in. In `mode` `'production'` the UI shows
        counters alone, in `'development'` each client and event. With `read_only` it can change nothing. `server_id` tells
        this server from others, and is the machine's name by default; `namespace` is the one to which the UI connects.
        `server_stats_interval` is the time from one snapshot of the counters to the next, from 0.1 to 3600 seconds. Of a
        client's request the values of `cookie`, `authorization`, `proxy-authorization` and `x-api-key` are left out unless
        `show_secrets` is set.
        """
        if self._admin is not None:
            raise ValueError("the server is instrumented already")
        self._admin = InstrumentedAsyncServer(
            self, auth, namespace, read_only, server_id, mode, server_stats_interval, show_secrets
        )
        if self._bridge is not None:
            self._admin._begin(self._bridge.native)
        return self._admin

    # The core.

    def _make_native(self) -> _native.Server:
        return _native.Server(
            {**self._options, **self.eio._core_options(), "path": self._path},
            self.handlers,
            self._json,
            self.async_handlers,
            self.always_connect,
            self.eio._names_sessions,
        )

    def _origin_rule(self) -> Any:
        return self.eio.cors_allowed_origins

    def _session_id(self) -> Any:
        return self.eio.generate_id()

    def _made_native(self) -> None:
        if self._bridge is not None and self.namespaces == "*":
            self._bridge.native.open_any()
        names: Iterable[str] = () if self.namespaces == "*" else self.namespaces
        for name in {*names, *self.handlers, *self.namespace_handlers, *self._middleware}:
            self._open(name)
        if self._bridge is not None and self._admin is not None:
            self._admin._begin(self._bridge.native)

    def _forget_native(self) -> None:
        super()._forget_native()
        self._opened = {}

    def _open(self, namespace: str) -> None:
        """Opens a namespace for clients; before the core is needed there is nothing to do."""
        if self._bridge is not None and namespace != "*":
            # No client can name one that is no Unicode text.
            with contextlib.suppress(UnicodeEncodeError):
                self._opened[namespace] = self._bridge.native.open(namespace)

    def _socketio_server(self) -> AsyncServer:
        return self

    def _native_namespace(self, name: str | None) -> _native.Namespace | None:
        target = self._opened.get(name or "/")
        if target is None and self._bridge is not None:
            target = self._bridge.native.namespace(name or "/")
        return target

    def _future(self) -> asyncio.Future[Any] | concurrent.futures.Future[Any]:
        """What takes an answer on the server's loop and is waited for on the running one, which may be another."""
        loop = asyncio.get_running_loop()
        is_own = self._bridge is None or self._bridge.runs_on(loop)
        return loop.create_future() if is_own else concurrent.futures.Future()
