"""The exceptions of an Engine.IO server, under python-engineio's names."""

from __future__ import annotations

__all__ = ["EngineIOError", "SocketIsClosedError", "UnknownPacketError"]


class EngineIOError(Exception):
    """The base of all others."""


class UnknownPacketError(EngineIOError):
    """A packet of a type that there is not."""


class SocketIsClosedError(EngineIOError):
    """A client that is not connected any more."""
