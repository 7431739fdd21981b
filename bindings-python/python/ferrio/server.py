"""The server: handlers, emits, rooms and sessions, under python-socketio's names."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import logging
import os
import weakref
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ferrio import _native, asgi, options
from ferrio.bridge import Bridge, _at_work
from ferrio.handlers import Handlers
from ferrio.manager import Manager
from ferrio.operations import Operations

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ferrio.operations import Rooms

T = TypeVar("T")

_servers: weakref.WeakValueDictionary[int, AsyncServer] = weakref.WeakValueDictionary()
"""Every server of this process, to be reset in a forked child."""


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

    class reason:  # noqa: N801 - python-socketio's name
        """Why a client was disconnected."""

        SERVER_DISCONNECT = "server disconnect"
        CLIENT_DISCONNECT = "client disconnect"
        PING_TIMEOUT = "ping timeout"
        TRANSPORT_CLOSE = "transport close"
        TRANSPORT_ERROR = "transport error"

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
        super().__init__(kwargs.get("cors_allowed_origins"), skips_middleware)
        self.namespaces: str | list[str] = "*" if namespaces == "*" else list(namespaces or ["/"])
        self.async_handlers = async_handlers
        self.always_connect = kwargs.get("always_connect", False)
        self.async_mode = kwargs.get("async_mode") or "asgi"
        self.logger = _logger(logger)
        self._json = options.json_module(json)
        self._options = options.core_options(kwargs, any_namespace=self.namespaces == "*")
        _native.check_options(self._options)
        self.manager = Manager(self)
        self._context = contextvars.copy_context()
        self._bridge: Bridge | None = None
        self._opened: dict[str, _native.Namespace] = {}
        self._listeners: list[Listener] = []
        _servers[id(self)] = self

    def is_asyncio_based(self) -> bool:
        return True

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
            [departure for socket in sockets for departure in socket.disconnect(close)]
        )

    def transport(self, sid: str, namespace: str | None = None) -> str:
        """`polling` or `websocket`."""
        return self._connected_socket(sid, namespace).transport

    def get_environ(self, sid: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The environment that the connect handler got; `None` if it is not connected."""
        socket = self._native_socket(sid, namespace)
        return socket.environ if socket is not None else None

    # Running.

    async def handle_request(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Serves one ASGI connection, whatever its path."""
        await asgi.serve(self._running(), scope, receive, send)

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
        path = "/" + socketio_path.strip("/")
        if self._bridge is not None and path != self._options.get("path", "/socket.io"):
            raise ValueError("socketio_path must be the same for every port, and set before the first client")
        self._options["path"] = path
        tls = None
        if ssl is not None:
            with open(ssl[0], "rb") as certificates, open(ssl[1], "rb") as key:
                tls = (certificates.read(), key.read())
        address = f"[{host}]:{port}" if host is not None and ":" in host else f"{host or ''}:{port}"
        listener = Listener(await asgi.finished(self._running().listen(address, tls)))
        self._listeners.append(listener)
        return listener

    async def shutdown(self) -> None:
        """Disconnects everybody and waits for the disconnect handlers. The server can be used again after it."""
        if self._bridge is None:
            return
        bridge = self._bridge
        bridge.attach()
        listeners, self._listeners = self._listeners, []
        await bridge.close()
        for listener in listeners:
            await listener.close()
        self._release_enclosing_disconnects()
        while self._disconnects:
            await asyncio.wait(set(self._disconnects))
        await bridge.settle()
        if self._bridge is bridge:
            self._bridge, self._opened = None, {}
        bridge.detach()

    def metrics(self) -> dict[str, int]:
        """The core's counters by name; none before the first client."""
        return self._bridge.native.metrics() if self._bridge is not None else {}

    def start_background_task(
        self, target: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any
    ) -> asyncio.Task[T]:
        """Runs a coroutine function in a task."""
        return asyncio.ensure_future(target(*args, **kwargs))

    async def sleep(self, seconds: float = 0) -> None:
        """Sleeps."""
        await asyncio.sleep(seconds)

    # The core.

    def _running(self) -> _native.Server:
        """The core's server, made when it is first needed, on the running loop."""
        if self._bridge is None:
            native = _native.Server(
                self._options, self.handlers, self._json, self.async_handlers, self.always_connect
            )
            self._bridge = Bridge(native, self, self._context)
            if self.namespaces == "*":
                native.open_any()
            names: Iterable[str] = () if self.namespaces == "*" else self.namespaces
            for name in {*names, *self.handlers, *self.namespace_handlers, *self._middleware}:
                self._open(name)
        self._bridge.attach()
        return self._bridge.native

    def _reset_in_child(self) -> None:
        """Forgets what belongs to the process that this one was forked from; the handlers stay."""
        self._bridge, self._opened, self._listeners, self._disconnects = None, {}, [], set()

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

    async def _run_disconnects(self, departures: list[_native.Departure]) -> None:
        """Runs the disconnect handler of every client that was disconnected, even if another one raises."""
        failure: Exception | None = None
        try:
            while departures:
                try:
                    handling = self._disconnected(departures.pop(0))
                    if handling is not None:
                        await handling
                except Exception as error:
                    failure = failure or error
        finally:
            if departures:
                # The caller was cancelled. What it has begun ends without it.
                rest = asyncio.ensure_future(self._finish_disconnects(departures, self._begin_disconnect()))
                _at_work.add(rest)
                rest.add_done_callback(_at_work.discard)
        if failure is not None:
            raise failure

    async def _finish_disconnects(
        self, departures: list[_native.Departure], over: asyncio.Future[None]
    ) -> None:
        with self._under_way(over):
            await self._run_disconnects(departures)


class Listener:
    """A port of the server's own."""

    def __init__(self, native: _native.Listener) -> None:
        self._native = native

    @property
    def host(self) -> str:
        """The address it listens on."""
        return self._native.host

    @property
    def port(self) -> int:
        """The port, also when a free one was asked for."""
        return self._native.port

    async def close(self) -> None:
        """Accepts no more connections, and returns when the port is free. Clients stay connected."""
        self._native.close()
        await asgi.finished(self._native.closed())


def _logger(logger: bool | logging.Logger) -> logging.Logger:
    if not isinstance(logger, bool):
        return logger
    own = logging.getLogger("ferrio")
    if logger and own.level == logging.NOTSET:
        own.setLevel(logging.INFO)
    return own


def _in_child() -> None:
    """Lets every server of a forked child serve clients of its own; those of the parent stay with the parent."""
    _native.forked()
    for server in list(_servers.values()):
        server._reset_in_child()


os.register_at_fork(after_in_child=_in_child)
