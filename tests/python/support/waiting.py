"""Waiting for what is expected, with a deadline, and never for a fixed time."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

T = TypeVar("T")

# Far beyond what any scenario needs on a busy machine: reaching it means that the expected thing does not happen.
DEADLINE = float(os.environ.get("FERRIO_TEST_DEADLINE", "15"))

# How often a condition that announces nothing is looked at.
PROBE_EVERY = 0.01


async def soon(awaitable: Awaitable[T], what: str = "the awaited result") -> T:
    """Waits for `awaitable`, and fails with `what` when the deadline passes first."""
    # Not wait_for(): what is awaited may itself end with a TimeoutError.
    future = asyncio.ensure_future(awaitable)
    try:
        await asyncio.wait({future}, timeout=DEADLINE)
        if not future.done():
            raise AssertionError(f"{what} did not come within {DEADLINE} s")
        return future.result()
    finally:
        future.cancel()


async def until(condition: Callable[[], Any], what: str) -> None:
    """Waits until `condition()` is true, and fails with `what` when the deadline passes first."""

    async def probe() -> None:
        while not condition():
            await asyncio.sleep(PROBE_EVERY)

    await soon(probe(), what)


class Mailbox(Generic[T]):
    """Keeps what handlers saw, in order, and hands it to the test one by one."""

    def __init__(self, name: str = "the mailbox") -> None:
        self.name = name
        self.seen: list[T] = []
        self._taken = 0
        self._arrived = asyncio.Event()

    def put(self, item: T) -> None:
        self.seen.append(item)
        self._arrived.set()

    async def next(self) -> T:
        """The oldest item that was not taken yet."""
        await self.wait_for(self._taken + 1)
        self._taken += 1
        return self.seen[self._taken - 1]

    async def wait_for(self, count: int) -> list[T]:
        """Waits until `count` items came in all, and returns everything seen so far."""

        async def fill() -> None:
            while len(self.seen) < count:
                self._arrived.clear()
                await self._arrived.wait()

        await soon(fill(), f"item {count} of {self.name} (it has {len(self.seen)})")
        return self.seen
