"""The server: handlers, emits, rooms and sessions, under python-socketio's names."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import contextvars
import logging
import os
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Hashable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from ferrio import _native, asgi, options
from ferrio.bridge import Bridge, _at_work
from ferrio.calling import Handler
from ferrio.exceptions import TimeoutError
from ferrio.handlers import Handlers
from ferrio.manager import Manager
from ferrio.socket import Socket

if TYPE_CHECKING:
    from typing import TypeAlias

    from typing_extensions import Unpack

Room: TypeAlias = "Hashable"
Rooms: TypeAlias = "Room | Sequence[Room] | set[Room] | None"
H = TypeVar("H", bound=Handler)
T = TypeVar("T")

_servers: weakref.WeakValueDictionary[int, AsyncServer] = weakref.WeakValueDictionary()
"""Every server of this process, for its children to begin anew."""


class AsyncServer(Handlers):
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
        `compress` says whether a polling answer with it may be compressed; a `local` one stays on this node of a
        cluster. When this returns, the event is queued for every receiver, in the order of the emits.
        """
        target = self._namespace(namespace)
        if target is None:
            return
        if callback is None:
            target.emit(event, data, to or room, skip_sid, except_rooms, volatile, compress, local)
            return
        for socket in self._receivers(target, to or room, skip_sid, except_rooms):
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
        if not self.async_handlers:
            raise RuntimeError("Cannot use call() when async_handlers is False.")
        answer = self._future()
        target = self._namespace(namespace)
        asked: list[tuple[_native.Socket, int]] = []
        try:
            for socket in self._receivers(target, to or sid) if target is not None else ():
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
        target = self._namespace(namespace)
        if target is None:
            return []
        answers = self._future()
        question = target.emit_with_ack(event, data, answers, timeout, to or room, skip_sid, except_rooms)
        try:
            return await asyncio.wrap_future(answers)
        finally:
            question.forget()

    # Rooms.

    async def enter_room(self, sid: str, room: Room, namespace: str | None = None) -> None:
        """Puts a client into a room. When it returns, what is sent to the room reaches the client."""
        socket = self._socket(sid, namespace)
        if socket is None:
            raise ValueError("sid is not connected to requested namespace")
        self._refuse_foreign(sid, room, namespace)
        socket.join(room)

    async def leave_room(self, sid: str, room: Room, namespace: str | None = None) -> None:
        """Takes a client out of a room."""
        socket = self._socket(sid, namespace)
        if socket is not None:
            socket.leave(room)

    async def close_room(self, room: Room, namespace: str | None = None) -> None:
        """Takes everybody out of a room."""
        self._refuse_foreign(None, room, namespace)
        target = self._namespace(namespace)
        if target is not None:
            target.close_room(room)

    def rooms(self, sid: str, namespace: str | None = None) -> list[Any]:
        """The rooms a client is in, its own first; none for a stranger."""
        socket = self._socket(sid, namespace)
        return socket.rooms() if socket is not None else []

    async def fetch_sockets(self, room: Rooms = None, namespace: str | None = None) -> list[Socket]:
        """The clients of a namespace, or of a room."""
        target = self._namespace(namespace)
        return [Socket(self, socket) for socket in target.sockets(room)] if target is not None else []

    async def disconnect_sockets(
        self, room: Rooms = None, namespace: str | None = None, close: bool = False
    ) -> None:
        """Puts the clients of a namespace, or of a room, out of it; `close` ends their whole connections."""
        target = self._namespace(namespace)
        sockets = target.sockets(room) if target is not None else []
        await self._farewell([departure for socket in sockets for departure in socket.disconnect(close)])

    # Clients.

    async def get_session(self, sid: str, namespace: str | None = None) -> Any:
        """What the application keeps with a client: a dictionary unless something else was saved."""
        return self._known(sid, namespace).session

    async def save_session(self, sid: str, session: Any, namespace: str | None = None) -> None:
        """Replaces what the application keeps with a client."""
        self._known(sid, namespace).session = session

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

    async def disconnect(
        self, sid: str, namespace: str | None = None, ignore_queue: bool = False, *, close: bool = False
    ) -> None:
        """Puts a client out of a namespace; `close` ends its whole connection.

        Its disconnect handler has run when this returns.
        """
        socket = self._socket(sid, namespace)
        if socket is not None:
            await self._farewell(socket.disconnect(close))

    def transport(self, sid: str, namespace: str | None = None) -> str:
        """`polling` or `websocket`."""
        return self._known(sid, namespace).transport

    def get_environ(self, sid: str, namespace: str | None = None) -> dict[str, Any] | None:
        """The environment that the connect handler got; `None` for a stranger."""
        socket = self._socket(sid, namespace)
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
        self._leave_farewells()
        while self._farewells:
            await asyncio.wait(set(self._farewells))
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

    def _begin_anew(self) -> None:
        """Forgets what belongs to the process that this one was forked from; the handlers stay."""
        self._bridge, self._opened, self._listeners, self._farewells = None, {}, [], set()

    def _open(self, namespace: str) -> None:
        """Opens a namespace for clients; before the core is needed there is nothing to do."""
        if self._bridge is not None and namespace != "*":
            # No client can name one that is no Unicode text.
            with contextlib.suppress(UnicodeEncodeError):
                self._opened[namespace] = self._bridge.native.open(namespace)

    def _namespace(self, name: str | None) -> _native.Namespace | None:
        """A namespace that exists."""
        target = self._opened.get(name or "/")
        if target is None and self._bridge is not None:
            target = self._bridge.native.namespace(name or "/")
        return target

    def _socket(self, sid: str, namespace: str | None) -> _native.Socket | None:
        target = self._namespace(namespace)
        return target.socket(sid) if target is not None else None

    def _known(self, sid: str, namespace: str | None) -> _native.Socket:
        socket = self._socket(sid, namespace)
        if socket is None:
            raise KeyError("Session not found")
        return socket

    def _future(self) -> asyncio.Future[Any] | concurrent.futures.Future[Any]:
        """What takes an answer on the server's loop and is waited for on the running one, which may be another."""
        loop = asyncio.get_running_loop()
        is_own = self._bridge is None or self._bridge.runs_on(loop)
        return loop.create_future() if is_own else concurrent.futures.Future()

    def _receivers(
        self, target: _native.Namespace, rooms: Rooms, skip_sid: Rooms = None, except_rooms: Rooms = None
    ) -> Iterable[_native.Socket]:
        """The clients that are meant."""
        if isinstance(rooms, str) and not skip_sid and not except_rooms:
            socket = target.socket(rooms)
            if socket is not None:
                return [socket]
        return target.sockets(rooms, skip_sid, except_rooms)

    async def _farewell(self, departures: list[_native.Departure]) -> None:
        """Runs the disconnect handlers of clients that were put out: of each, whatever another raises."""
        failure: Exception | None = None
        try:
            while departures:
                try:
                    farewell = self._disconnected(departures.pop(0))
                    if farewell is not None:
                        await farewell
                except Exception as error:
                    failure = failure or error
        finally:
            if departures:
                # The caller was cancelled. What it has begun ends without it.
                rest = asyncio.ensure_future(self._farewell_rest(departures, self._begin_farewell()))
                _at_work.add(rest)
                rest.add_done_callback(_at_work.discard)
        if failure is not None:
            raise failure

    async def _farewell_rest(self, departures: list[_native.Departure], over: asyncio.Future[None]) -> None:
        with self._under_way(over):
            await self._farewell(departures)

    def _refuse_foreign(self, sid: str | None, room: Room, namespace: str | None) -> None:
        """A client's own room is nobody else's."""
        if room != sid and isinstance(room, str) and self._socket(room, namespace) is not None:
            raise ValueError("the id of another client cannot be used as a room")


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
        server._begin_anew()


os.register_at_fork(after_in_child=_in_child)
