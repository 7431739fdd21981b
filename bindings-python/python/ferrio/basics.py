"""What every server offers beside its clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class Basics:
    """Tasks, and the words for how a client was disconnected."""

    class reason:  # noqa: N801 - python-socketio's name
        """Why a client was disconnected."""

        SERVER_DISCONNECT = "server disconnect"
        CLIENT_DISCONNECT = "client disconnect"
        PING_TIMEOUT = "ping timeout"
        TRANSPORT_CLOSE = "transport close"
        TRANSPORT_ERROR = "transport error"

    def is_asyncio_based(self) -> bool:
        return True

    def start_background_task(
        self, target: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any
    ) -> asyncio.Task[T]:
        """Runs a coroutine function in a task."""
        return asyncio.ensure_future(target(*args, **kwargs))

    async def sleep(self, seconds: float = 0) -> None:
        """Sleeps."""
        await asyncio.sleep(seconds)
