"""Calling handlers with as many arguments as they take.

The signature decides, never a `TypeError` from inside a handler.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

Handler = Callable[..., Any]


def takes(handler: Handler, count: int) -> bool:
    """Whether a handler can be called with `count` positional arguments."""
    try:
        inspect.signature(handler).bind(*range(count))
    except TypeError:
        return False
    except ValueError:  # Some built-in functions tell no signature.
        return True
    return True


async def call(handler: Handler, *arguments: Any, optional: int = 0) -> Any:
    """Calls a handler, sync or async; it may leave out up to `optional` of the last arguments."""
    count = len(arguments)
    for left_out in range(optional + 1):
        if takes(handler, count - left_out):
            arguments = arguments[: count - left_out]
            break
    result = handler(*arguments)
    return await result if inspect.isawaitable(result) else result
