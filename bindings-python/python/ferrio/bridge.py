"""The connection between a server of the core and the event loop that runs its handlers."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import os
import threading
import weakref
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferrio import _native
    from ferrio.serving import Serving


SETTLE_TIME = 1.0
"""How long the end of a server waits for its last responses: they are ready, and at most a descriptor is in their way."""

SETTLE_STEP = 0.002


_at_work: set[asyncio.Task[Any]] = set()
"""Handlers that outlive their server: asyncio alone would not keep them."""


class Bridge:
    """Lets one event loop at a time handle what comes from a server of the core.

    The loop watches a descriptor that the core makes readable; where a loop cannot watch descriptors, a thread does and
    wakes the loop. Every handler starts with the context variables of the place where the server was made.
    """

    def __init__(self, native: _native.Server, server: Serving, context: contextvars.Context) -> None:
        self.native = native
        self._context = context
        self._server = server
        self._loop: asyncio.AbstractEventLoop | None = None
        self._descriptor = -1

    def runs_on(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Whether this loop runs the handlers."""
        return loop is self._loop

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
            with contextlib.suppress(NotImplementedError, AttributeError):
                loop.remove_reader(self._descriptor)
        at_work = self.native.unbind()
        if loop is not None and not loop.is_closed():
            for task in at_work:
                _at_work.add(task)
                task.add_done_callback(_at_work.discard)

    async def close(self) -> None:
        """Ends every connection, and starts the disconnect handlers. What clients sent before and waits is dropped."""
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
        # Handlers that were at work on a loop that has ended never go on.
        self._server._disconnects.clear()
        self._descriptor = self.native.bind(loop, self._server, _task_starter(loop), self._context)
        self._loop = loop
        self._watch(loop, self._descriptor)

    def _watch(self, loop: asyncio.AbstractEventLoop, descriptor: int) -> None:
        try:
            loop.add_reader(descriptor, self.native.drain)
        except (NotImplementedError, AttributeError):
            self.native.leave_to_reader()
            # A descriptor of its own: the number of the server's may mean another file as soon as that is closed.
            arguments = (weakref.ref(self), weakref.ref(loop), os.dup(descriptor))
            threading.Thread(target=_read, args=arguments, name="ferrio", daemon=True).start()

    def _wake(self, loop: asyncio.AbstractEventLoop) -> bool:
        """Has the loop look what has come, from another thread. Returns whether it is still the server's."""
        if loop is not self._loop:
            return False
        # A closed loop may be the server's until it gets another.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(self.native.drain)
        return True


def _read(
    bridge_ref: weakref.ref[Bridge], loop_ref: weakref.ref[asyncio.AbstractEventLoop], descriptor: int
) -> None:
    """Reads what is to wake a loop that cannot watch descriptors. It keeps neither the server nor the loop alive."""
    try:
        while os.read(descriptor, 1):
            bridge, loop = bridge_ref(), loop_ref()
            if bridge is None or loop is None or not bridge._wake(loop):
                return
            del bridge, loop
    finally:
        os.close(descriptor)


def _task_starter(loop: asyncio.AbstractEventLoop) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """What makes a task of a coroutine, with the loop's own factory if it has one."""
    if loop.get_task_factory() is not None:
        return loop.create_task
    return functools.partial(asyncio.Task, loop=loop)
