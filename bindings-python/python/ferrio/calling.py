"""Calling handlers with as many arguments as they take.

The signature decides, never a `TypeError` from inside a handler.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

Handler = Callable[..., Any]


def takes(handler: Handler, count: int) -> bool:
    """Whether a handler can be called with `count` positional arguments."""
    bound = isinstance(handler, MethodType)
    function = handler.__func__ if isinstance(handler, MethodType) else handler
    if isinstance(function, FunctionType) and not hasattr(function, "__wrapped__"):
        # The same as below for nearly every handler, at a twentieth of the cost.
        code = function.__code__
        given = count + bound
        required = code.co_argcount - len(function.__defaults__ or ())
        has_rest = bool(code.co_flags & inspect.CO_VARARGS)
        required_keywords = code.co_kwonlyargcount - len(function.__kwdefaults__ or ())
        return required <= given and (has_rest or given <= code.co_argcount) and required_keywords == 0
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
