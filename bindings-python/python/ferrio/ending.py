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

_servers: weakref.WeakSet[Serving] = weakref.WeakSet()
"""The servers whose clients are let go when the process is told to end."""

_handlers: dict[int, Any] = {}
"""The handlers of the ASGI server, which are called after this one."""


def watch(server: Serving, send: Any) -> None:
    """Lets the clients of a server go when the ASGI server whose `send` this is has been told to end."""
    context: Any = getattr(getattr(_innermost(send), "__self__", None), "context", None)
    if type(context).__module__ == "hypercorn.asyncio.worker_context":
        waiting = asyncio.ensure_future(context.terminated.wait())
        waiting.add_done_callback(lambda over: None if over.cancelled() else server._let_go())
    else:
        _watch_signals(server)


def _innermost(send: Any) -> Any:
    """The ASGI server's own `send`, under the functions that middleware has put around it."""
    while "send" in getattr(getattr(send, "__code__", None), "co_freevars", ()):
        send = dict(zip(send.__code__.co_freevars, send.__closure__, strict=True))["send"].cell_contents
    return send


def _watch_signals(server: Serving) -> None:
    # Python has signals in the main thread alone.
    if threading.current_thread() is not threading.main_thread():
        return
    _servers.add(server)
    for number in SIGNALS:
        handler = signal.getsignal(number)
        # Without a handler the process ends at once, or not at all, or with a KeyboardInterrupt.
        if callable(handler) and handler not in (_on_signal, signal.default_int_handler):
            _handlers[number] = handler
            signal.signal(number, _on_signal)


def _on_signal(number: int, frame: FrameType | None) -> None:
    for server in list(_servers):
        server._begin_end()
    _handlers[number](number, frame)
