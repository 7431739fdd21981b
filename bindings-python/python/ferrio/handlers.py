"""The handlers of a server: how they are registered, and how they are found and asked."""

from __future__ import annotations

import asyncio
import builtins
from abc import abstractmethod
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from ferrio import calling
from ferrio.calling import Handler
from ferrio.exceptions import ConnectionRefusedError
from ferrio.namespace import AsyncNamespace
from ferrio.serving import REASONS, Serving

if TYPE_CHECKING:
    from ferrio import _native
    from ferrio.server import AsyncServer

H = TypeVar("H", bound=Handler)

OWN_EVENTS = frozenset({"connect", "disconnect"})
"""Events of the server itself, which catch-all handlers do not get."""


class Handlers(Serving):
    """What a server knows of the application's functions. The native part calls what begins with an underscore."""

    def __init__(self, skips_middleware: bool) -> None:
        super().__init__("/socket.io")
        self.handlers: dict[str, dict[str, Handler]] = {}
        self.namespace_handlers: dict[str, AsyncNamespace] = {}
        self._middleware: dict[str, list[Handler]] = {}
        self._skips_middleware = skips_middleware

    @abstractmethod
    def _open(self, namespace: str) -> None:
        """Opens a namespace for clients."""

    @overload
    def on(self, event: str, handler: None = None, namespace: str | None = None) -> Callable[[H], H]: ...
    @overload
    def on(self, event: str, handler: Handler, namespace: str | None = None) -> None: ...
    def on(
        self, event: str, handler: Handler | None = None, namespace: str | None = None
    ) -> Callable[[H], H] | None:
        """Registers the handler of an event, as a decorator when none is given.

        The event `'*'` stands for every event without a handler of its own, the namespace `'*'` for every namespace;
        such handlers get the event's and the namespace's name first.
        """
        namespace = namespace or "/"

        def register(handler: H) -> H:
            self.handlers.setdefault(namespace, {})[event] = handler
            self._open(namespace)
            return handler

        if handler is None:
            return register
        register(handler)
        return None

    @overload
    def event(self, handler: H, /) -> H: ...
    @overload
    def event(self, *, namespace: str | None = None) -> Callable[[H], H]: ...
    def event(self, handler: Any = None, *, namespace: str | None = None) -> Any:
        """Registers a function as the handler of the event that it is named after."""
        if callable(handler):
            return self.on(handler.__name__)(handler)

        def register(handler: H) -> H:
            return self.on(handler.__name__, namespace=namespace)(handler)

        return register

    def register_namespace(self, namespace_handler: AsyncNamespace) -> None:
        """Registers an object whose methods are the handlers of a namespace."""
        if not isinstance(namespace_handler, AsyncNamespace):
            raise ValueError(f"not a namespace: {namespace_handler!r}")
        namespace_handler._set_server(cast("AsyncServer", self))
        self.namespace_handlers[namespace_handler.namespace] = namespace_handler
        self._open(namespace_handler.namespace)

    def use(self, middleware: H, namespace: str | None = None) -> H:
        """Registers a middleware, which decides about every client before the connect handler does.

        It is called with `sid`, `environ` and `auth`, sync or async, in order of registration, and refuses the client
        by returning `False` or raising `ConnectionRefusedError`.
        """
        namespace = namespace or "/"
        self._middleware.setdefault(namespace, []).append(middleware)
        self._open(namespace)
        return middleware

    # What the core asks.

    def _find_handler(self, event: str, namespace: str) -> tuple[Handler, tuple[str, ...]] | None:
        """The handler of an event and what it gets first."""
        is_own = event in OWN_EVENTS
        for name, of_namespace in ((namespace, ()), ("*", (namespace,))):
            handlers = self.handlers.get(name)
            if handlers is None:
                continue
            # A client may name an event so, too: its arguments must not be taken for the event's name and the client's id.
            if event in handlers and event != "*":
                return handlers[event], of_namespace
            if not is_own and "*" in handlers:
                return handlers["*"], (event, *of_namespace)
        for name, of_namespace in ((namespace, ()), ("*", (namespace,))):
            if name in self.namespace_handlers:
                return self.namespace_handlers[name].trigger_event, (event, *of_namespace)
        return None

    def _decides(self, namespace: str) -> bool:
        """Whether anybody is to be asked about a new client."""
        return namespace in self._middleware or self._find_handler("connect", namespace) is not None

    async def _connect(
        self, sid: str, namespace: str, environ: dict[str, Any], auth: Any, recovered: bool
    ) -> tuple[str, Any] | None:
        """Asks middleware and handler about a new client: `None`, or message and data of the refusal."""
        auth = auth or None
        try:
            if not (recovered and self._skips_middleware):
                for middleware in self._middleware.get(namespace, ()):
                    if await calling.call(middleware, sid, environ, auth) is False:
                        raise ConnectionRefusedError()
            found = self._find_handler("connect", namespace)
            if found is not None:
                handler, first = found
                if await calling.call(handler, *first, sid, environ, auth, optional=1) is False:
                    raise ConnectionRefusedError()
        except ConnectionRefusedError as refusal:
            return refusal.error_args["message"], refusal.error_args.get("data")
        except builtins.ConnectionRefusedError:
            return "Connection refused by server", None
        except Exception as error:
            _report("the connect handler failed, and the client was refused", error)
            return "Connection rejected by server", None
        return None

    def _disconnected(self, disconnected: _native.DisconnectedSocket) -> Coroutine[Any, Any, None] | None:
        """Tells the disconnect handler; `None` when there is none and all is done."""
        found = self._find_handler("disconnect", disconnected.namespace)
        if found is None:
            disconnected.finish()
            return None
        handler, first = found
        reason = REASONS.get(disconnected.reason, disconnected.reason)

        async def run() -> None:
            with self._under_way(self._begin_disconnect()):
                try:
                    await calling.call(handler, *first, disconnected.sid, reason, optional=1)
                finally:
                    disconnected.finish()

        return run()

    def _connect_aborted(self, disconnected: _native.DisconnectedSocket) -> Coroutine[Any, Any, None] | None:
        """The same for a client that had gone when its connect handler let it in; middleware alone lets nobody in."""
        if self._find_handler("connect", disconnected.namespace) is None:
            disconnected.finish()
            return None
        return self._disconnected(disconnected)


def _report(message: str, error: BaseException) -> None:
    asyncio.get_running_loop().call_exception_handler({"message": message, "exception": error})
