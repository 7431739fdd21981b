"""Running an application on uvicorn, with Socket.IO's connections in the core's hands."""

from __future__ import annotations

from typing import Any


def run(app: Any, *, host: str = "127.0.0.1", port: int = 8000, **options: Any) -> None:
    """Runs an ASGI application until the process is told to end.

    The same as `uvicorn.run` with `ws="ferrio.uvicorn:WebSocketProtocol"`; `options` are uvicorn's.
    """
    import uvicorn

    uvicorn.run(app, host=host, port=port, ws="ferrio.uvicorn:WebSocketProtocol", **options)
