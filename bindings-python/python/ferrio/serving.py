"""What a server is for those who serve clients with it: on which loop it runs, how clients reach it, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import inspect
import logging
import os
import weakref
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterator
from contextvars import ContextVar
from typing import Any, cast

from ferrio import _native, asgi, calling, ending
from ferrio.basics import Basics
from ferrio.bridge import Bridge, _at_work

_servers: weakref.WeakValueDictionary[int, Serving] = weakref.WeakValueDictionary()
"""Every server of this process, to be reset in a forked child."""

_enclosing_disconnects: ContextVar[tuple[asyncio.Future[None], ...]] = ContextVar("disconnects", default=())
"""The disconnects whose handlers the current code runs in, directly or in a task that they started."""

SHUTTING_DOWN: asgi.Response = (503, [(b"content-type", b"text/plain")], b"The server is shutting down")

REASONS = {
    "client namespace disconnect": "client disconnect",
    "server namespace disconnect": "server disconnect",
    "forced server close": "server disconnect",
    "server shutting down": "server disconnect",
    "forced close": "transport error",
    "parse error": "transport error",
}
"""python-socketio's words for the core's disconnect reasons, where they differ."""


class Serving(Basics):
    """A server of the core on an event loop. Every server of the package is one.

    It belongs to the event loop that first serves a client with it, and moves to another when that one has ended. A
    forked process serves its own clients with it, also when it was used before the fork; those of the parent stay with
    the parent.
    """

    logger: logging.Logger

    def __init__(self, path: str) -> None:
        self._path = path
        self._disconnects: set[asyncio.Future[None]] = set()
        self._context = contextvars.copy_context()
        self._bridge: Bridge | None = None
        self._listeners: list[Listener] = []
        self._watched_loop: weakref.ref[asyncio.AbstractEventLoop] | None = None
        self._end: asyncio.Future[None] | None = None
        _servers[id(self)] = self

    # Running.

    async def handle_request(self, scope: asgi.Scope, receive: asgi.Receive, send: asgi.Send) -> None:
        """Serves one ASGI connection, whatever its path."""
        loop = asyncio.get_running_loop()
        if self._watched_loop is None or self._watched_loop() is not loop:
            self._watched_loop, self._end = weakref.ref(loop), None
            ending.watch(self, send)
        if self._end is None:
            await asgi.serve(self._running(), scope, receive, send)
        else:
            await asgi.refuse(scope, receive, send, SHUTTING_DOWN)

    def _begin_end(self) -> None:
        """The ASGI server has been told to end: tells the clients, and refuses those who come. Called by a signal's handler."""
        loop = self._watched_loop() if self._watched_loop is not None else None
        if loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(self._let_go)

    def _let_go(self) -> None:
        if self._end is None:
            self._end = asyncio.ensure_future(self.shutdown())

    async def _listen(
        self, host: str | None, port: int, path: str, path_option: str, ssl: tuple[str, str] | None
    ) -> Listener:
        path = "/" + path.strip("/")
        if self._bridge is not None and path != self._path:
            raise ValueError(
                f"{path_option} must be the same for every port, and set before the first client"
            )
        self._path = path
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
            self._forget_native()
        bridge.detach()

    def metrics(self) -> dict[str, int]:
        """The core's counters by name; none before the first client."""
        return self._bridge.native.metrics() if self._bridge is not None else {}

    # The core.

    def _running(self) -> _native.Server:
        """The core's server, made when it is first needed, on the running loop."""
        if self._bridge is None:
            self._bridge = Bridge(self._make_native(), self, self._context)
            self._made_native()
        self._bridge.attach()
        return self._bridge.native

    @abstractmethod
    def _make_native(self) -> _native.Server:
        """Makes the core's server."""

    def _made_native(self) -> None:
        """Called when there is a server of the core."""

    def _forget_native(self) -> None:
        """Forgets the core's server."""
        self._bridge = None

    def _reset_in_child(self) -> None:
        """Forgets what belongs to the process that this one was forked from; the handlers stay."""
        self._forget_native()
        self._listeners, self._disconnects = [], set()

    @abstractmethod
    def _disconnected(self, disconnected: Any) -> Coroutine[Any, Any, None] | None:
        """Tells the disconnect handler; `None` when there is none and all is done."""

    @abstractmethod
    def _origin_rule(self) -> Any:
        """What the application says of origins."""

    @abstractmethod
    def _session_id(self) -> Any:
        """An id for a new session of the engine, where the core does not make it."""

    async def _run_disconnects(self, disconnected_sockets: list[_native.DisconnectedSocket]) -> None:
        """Runs the disconnect handler of every client that was disconnected, even if another one raises."""
        failure: Exception | None = None
        try:
            while disconnected_sockets:
                try:
                    handling = self._disconnected(disconnected_sockets.pop(0))
                    if handling is not None:
                        await handling
                except Exception as error:
                    failure = failure or error
        finally:
            if disconnected_sockets:
                # The caller was cancelled. What it has begun ends without it.
                rest = asyncio.ensure_future(
                    self._finish_disconnects(disconnected_sockets, self._begin_disconnect())
                )
                _at_work.add(rest)
                rest.add_done_callback(_at_work.discard)
        if failure is not None:
            raise failure

    async def _finish_disconnects(
        self, disconnected_sockets: list[_native.DisconnectedSocket], over: asyncio.Future[None]
    ) -> None:
        with self._under_way(over):
            await self._run_disconnects(disconnected_sockets)

    def _begin_disconnect(self) -> asyncio.Future[None]:
        """Makes a shutdown wait until `_end_disconnect`."""
        over = asyncio.get_running_loop().create_future()
        self._disconnects.add(over)
        return over

    def _end_disconnect(self, over: asyncio.Future[None]) -> None:
        self._disconnects.discard(over)
        # Nobody is told on a loop that is closed.
        if not over.done() and not over.get_loop().is_closed():
            over.set_result(None)

    @contextlib.contextmanager
    def _under_way(self, over: asyncio.Future[None]) -> Iterator[None]:
        """Ends a disconnect after the block, which knows, as do the tasks it starts, that it runs within."""
        outer = _enclosing_disconnects.get()
        _enclosing_disconnects.set((*outer, over))
        try:
            yield
        finally:
            _enclosing_disconnects.set(outer)
            self._end_disconnect(over)

    def _release_enclosing_disconnects(self) -> None:
        """Makes no shutdown wait for the disconnect handlers that this is called in: they wait for the shutdown."""
        for over in _enclosing_disconnects.get():
            self._end_disconnect(over)

    def _allow_origin(self, origin: str, environ: dict[str, Any]) -> bool:
        """Asks the application's rule about an origin."""
        rule = cast(Callable[..., bool], self._origin_rule())
        allows = rule(origin, environ) if calling.takes(rule, 2) else rule(origin)
        if inspect.isawaitable(allows):
            if inspect.iscoroutine(allows):
                allows.close()
            raise TypeError("cors_allowed_origins must not be a coroutine function")
        return bool(allows)


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
