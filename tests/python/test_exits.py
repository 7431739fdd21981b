"""Handlers that end the process, and requests that are given up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.programs import run_program
from support.target import IS_FERRIO, new_server, target
from support.waiting import Mailbox

KINDS = ["plain", "coroutine", "task", "lane", "connect", "disconnect", "callback"]


@pytest.mark.skipif(not IS_FERRIO, reason="python-socketio has no port of its own")
@pytest.mark.parametrize("exception", ["SystemExit", "KeyboardInterrupt"])
@pytest.mark.parametrize("kind", KINDS)
async def test_handlers_that_end_the_process(kind, exception):
    """what ends a process does so in every kind of handler"""
    status, _, errors = await run_program("exit_script", kind, exception)
    assert status == (7 if exception == "SystemExit" else -2), errors.decode()


@pytest.mark.doors("uvicorn")
@pytest.mark.ferrio_only("python-socketio keeps the session until a ping is missed")
async def test_poll_that_is_cancelled(serve, wire):
    """a poll whose task the ASGI server cancels ends the session"""
    sio = new_server()
    left: Mailbox[Any] = Mailbox("disconnects")
    sio.on("disconnect", lambda sid, reason: left.put(reason))
    session = await wire(await serve(sio)).join()
    query = f"EIO=4&transport=polling&sid={session.sid}".encode()
    scope = {"type": "http", "method": "GET", "path": "/socket.io/", "query_string": query, "headers": []}

    async def receive() -> Any:
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        raise AssertionError(message)

    poll = asyncio.ensure_future(target.ASGIApp(sio)(scope, receive, send))
    await asyncio.sleep(0)
    assert sio._bridge.native.pending == 1
    poll.cancel()
    assert await left.next() == "transport error"
    assert sio._bridge.native.pending == 0
