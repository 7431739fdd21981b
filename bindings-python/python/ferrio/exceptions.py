"""The exceptions of the package, under python-socketio's names."""

from __future__ import annotations

from typing import Any

__all__ = [
    "BadNamespaceError",
    "ConnectionError",
    "ConnectionRefusedError",
    "DisconnectedError",
    "SocketIOError",
    "TimeoutError",
    "TooLargeError",
]


class SocketIOError(Exception):
    """The base of all others."""


class ConnectionError(SocketIOError):
    """Something about a connection."""


class ConnectionRefusedError(ConnectionError):
    """Raised in a connect handler or a middleware, it refuses the client.

    The first argument is the message that the client gets, the others are its data: the bare value when there is one,
    a tuple when there are more.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.error_args: dict[str, Any] = {
            "message": str(args[0]) if args else "Connection rejected by server"
        }
        if len(args) == 2:
            self.error_args["data"] = args[1]
        elif len(args) > 2:
            self.error_args["data"] = args[1:]


class _IncompleteError(SocketIOError):
    """Some answers are missing; `answers` holds those that came."""

    answers: list[Any]

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.answers = []


class TimeoutError(_IncompleteError):
    """The answer to a call did not come in time.

    `answers` holds what came before: those of some clients, when many were asked.
    """


class TooLargeError(_IncompleteError):
    """The answers of many clients take more bytes than the server keeps, by `limits` with `max_ack_bytes`.

    `answers` holds those that came before it was too much.
    """


class BadNamespaceError(SocketIOError):
    """A namespace that is not connected."""


class DisconnectedError(SocketIOError):
    """A client that is not connected."""
