"""Noticing that the ASGI server of this process has been told to end.

ASGI tells an application at the very end, when the server has waited for its connections: for polls that wait for an event,
and for WebSockets that nobody closes. Most ASGI servers learn it from a signal, and have a handler for that; hypercorn's
workers learn it from their parent. Here the clients are let go at the same moment, so that the server has nothing left to
wait for.
"""

from __future__ import annotations

import asyncio
import signal
import threading
import weakref
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferrio.serving import Serving

SIGNALS = (signal.SIGINT, signal.SIGTERM)

LISTENERS = frozenset({"uvicorn", "twisted"})
"""Packages whose handlers of these signals end an ASGI server: gunicorn's worker has uvicorn's, daphne Twisted's."""

LOOPS = frozenset({"asyncio", "uvloop"})

MAX_WRAPPERS = 100

_servers: weakref.WeakSet[Serving] = weakref.WeakSet()
"""The servers whose clients are let go when the process is told to end."""

_handlers: dict[int, Any] = {}
"""The handlers of the ASGI server, which are called after this one."""


def watch(server: Serving, send: Any) -> None:
    """Lets the clients of a server go when the ASGI server whose `send` this is has been told to end."""
    owner: Any = getattr(_innermost(send), "__self__", None)
    context: Any = getattr(owner, "context", None)
    if type(context).__module__ == "hypercorn.asyncio.worker_context":
        waiting = asyncio.ensure_future(context.terminated.wait())
        waiting.add_done_callback(lambda over: None if over.cancelled() else server._let_go())
    else:
        # granian has the event loop listen; anywhere else that may be the application, which may take its time.
        _watch_signals(server, LISTENERS | LOOPS if _package(type(owner)) == "granian" else LISTENERS)


def _innermost(send: Any) -> Any:
    """The ASGI server's own `send`, under the functions that middleware has put around it."""
    # One may call itself by this name.
    for _ in range(MAX_WRAPPERS):
        names = getattr(getattr(send, "__code__", None), "co_freevars", ())
        if "send" not in names:
            break
        send = send.__closure__[names.index("send")].cell_contents
    return send


def _package(named: Any) -> str:
    return str(getattr(named, "__module__", "")).partition(".")[0]


def _watch_signals(server: Serving, listeners: frozenset[str]) -> None:
    # Python has signals in the main thread alone.
    if threading.current_thread() is not threading.main_thread():
        return
    _servers.add(server)
    for number in SIGNALS:
        handler = signal.getsignal(number)
        # Any other belongs to the application, or there is none and the process ends at once.
        if callable(handler) and _package(handler) in listeners:
            _handlers[number] = handler
            signal.signal(number, _on_signal)


def _on_signal(number: int, frame: FrameType | None) -> None:
    for server in list(_servers):
        server._begin_end()
    _handlers[number](number, frame)
