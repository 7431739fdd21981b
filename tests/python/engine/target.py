"""The Engine.IO module under test: `ferrio.engine`, or python-engineio itself when the suite runs on python-socketio."""

from __future__ import annotations

import importlib
from typing import Any

from support.target import IS_FERRIO, QUICK_HEARTBEAT
from support.waiting import Mailbox

MODULE = "ferrio.engine" if IS_FERRIO else "engineio"

target: Any = importlib.import_module(MODULE)

QUICK = {**QUICK_HEARTBEAT}


def new_server(**options: Any) -> Any:
    """Makes an Engine.IO server of the module under test."""
    return target.AsyncServer(**{"async_mode": "asgi", **options})


def recorded(eio: Any) -> Mailbox[tuple[Any, ...]]:
    """What a server's handlers are called with, from now on: the event's name, then the arguments."""
    calls: Mailbox[tuple[Any, ...]] = Mailbox("handlers")
    eio.on("connect", lambda sid, environ: calls.put(("connect", sid)))
    eio.on("message", lambda sid, data: calls.put(("message", sid, data)))
    eio.on("disconnect", lambda sid, reason: calls.put(("disconnect", sid, reason)))
    return calls


def echo_server(**options: Any) -> Any:
    """A server that returns every message to its sender."""
    eio = new_server(**options)

    @eio.on("message")
    async def message(sid: str, data: Any) -> None:
        await eio.send(sid, data)

    return eio
