"""The connection between a server of the core and the event loop that runs its handlers."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import os
import threading
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferrio import _native
    from ferrio.server import AsyncServer


SETTLE_TIME = 1.0
"""How long the end of a server waits for its last responses: they are ready, and at most a descriptor is in their way."""

SETTLE_STEP = 0.002


class Bridge:
    """Lets one event loop at a time handle what comes from a server of the core.

    The loop watches a descriptor that the core makes readable; where a loop cannot watch descriptors, a thread does and
    wakes the loop. Every handler starts with the context variables of the place where the server was made.
    """

    def __init__(self, native: _native.Server, host: AsyncServer, context: contextvars.Context) -> None:
        self.native = native
        self._context = context
        self._host = host
        self._loop: asyncio.AbstractEventLoop | None = None
        self._descriptor = -1

    def attach(self) -> None:
        """Makes the running loop the one that runs the handlers."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            self._move_to(loop)

    def detach(self) -> None:
        """Leaves the loop."""
        loop, self._loop = self._loop, None
        if loop is not None and not loop.is_closed():
            # Where a thread does the watching, it ends with the pipe.
            with contextlib.suppress(NotImplementedError):
                loop.remove_reader(self._descriptor)
        self.native.unbind()

    async def close(self) -> None:
        """Ends every connection, and starts the handlers for all that came until then."""
        self.native.close()
        while self.native.drain():
            await asyncio.sleep(0)
        # The handlers' tasks take their first steps.
        await asyncio.sleep(0)
        self.native.flush()

    async def settle(self) -> None:
        """Waits, within reason, until the requests that were under way are answered."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + SETTLE_TIME
        while self.native.pending and loop.time() < deadline:
            await asyncio.sleep(SETTLE_STEP)

    def _move_to(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._loop is not None and self._loop.is_running():
            raise RuntimeError("the server runs on another event loop")
        self.detach()
        self._descriptor = self.native.bind(loop, self._host, _task_starter(loop), self._context)
        self._loop = loop
        self._watch(loop, self._descriptor)

    def _watch(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        try:
            loop.add_reader(descriptor, self.native.drain)
        except NotImplementedError:
            threading.Thread(target=self._wait, args=(loop, descriptor), name="ferrio", daemon=True).start()

    def _wait(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        try:
            while os.read(descriptor, 1):
                loop.call_soon_threadsafe(self.native.drain)
        except (OSError, RuntimeError):
            pass  # The server or the loop has ended.


def _task_starter(loop: asyncio.AbstractEventLoop) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """What makes a task of a coroutine, with the loop's own factory if it has one."""
    if loop.get_task_factory() is not None:
        return loop.create_task
    return functools.partial(asyncio.Task, loop=loop)
