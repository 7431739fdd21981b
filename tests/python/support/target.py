"""The module under test, and what it can do.

The scenarios use python-socketio's asyncio server API. ``FERRIO_TEST_MODULE=socketio`` runs them against python-socketio
itself: that is how the suite knows that it asks for nothing but its behaviour.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

MODULE = os.environ.get("FERRIO_TEST_MODULE", "ferrio")
IS_FERRIO = MODULE == "ferrio"

target: Any = importlib.import_module(MODULE)

AsyncNamespace: Any = target.AsyncNamespace
ConnectionRefusedError: Any = target.exceptions.ConnectionRefusedError
TimeoutError: Any = target.exceptions.TimeoutError

# python-socketio announces whole seconds only.
QUICK_HEARTBEAT: dict[str, float] = (
    {"ping_interval": 0.3, "ping_timeout": 0.3} if IS_FERRIO else {"ping_interval": 1, "ping_timeout": 1}
)


def new_server(**options: Any) -> Any:
    """Makes a server of the module under test."""
    return target.AsyncServer(async_mode="asgi", **options)
