"""Event loops of other makes."""

from __future__ import annotations

import asyncio
from typing import Any


class BlindLoop(asyncio.SelectorEventLoop):
    """A loop that cannot watch descriptors, as asyncio's own on Windows."""

    def add_reader(self, *_: Any) -> None:
        raise NotImplementedError

    def remove_reader(self, *_: Any) -> bool:
        raise NotImplementedError


class BareLoop(asyncio.SelectorEventLoop):
    """A loop that does not even have the methods for it."""

    @property
    def add_reader(self) -> Any:
        raise AttributeError("add_reader")

    @property
    def remove_reader(self) -> Any:
        raise AttributeError("remove_reader")
