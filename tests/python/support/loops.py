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
