"""Packets of Engine.IO, for `AsyncServer.send_packet`."""

from __future__ import annotations

import base64
import json
from typing import Any

from ferrio.engine.exceptions import UnknownPacketError

OPEN, CLOSE, PING, PONG, MESSAGE, UPGRADE, NOOP = range(7)

packet_names = ["OPEN", "CLOSE", "PING", "PONG", "MESSAGE", "UPGRADE", "NOOP"]


class Packet:
    """A packet: its type, and what it carries. `encoded_packet` is read by `decode`."""

    def __init__(
        self, packet_type: int = NOOP, data: Any = None, encoded_packet: str | bytes | None = None
    ) -> None:
        self.packet_type = packet_type
        self.data = data
        if self.binary and packet_type != MESSAGE:
            raise ValueError("only a message carries bytes")
        if encoded_packet is not None:
            self.decode(encoded_packet)

    @property
    def binary(self) -> bool:
        """Whether it carries bytes."""
        return isinstance(self.data, (bytes, bytearray))

    def encode(self, b64: bool = False) -> str | bytes:
        """The packet as a message of WebSocket; with `b64`, as a part of a polling body."""
        if isinstance(self.data, (bytes, bytearray)):
            return "b" + base64.b64encode(self.data).decode() if b64 else bytes(self.data)
        return f"{self.packet_type}{as_text(self.data, json)}"

    def decode(self, encoded_packet: str | bytes) -> None:
        """Reads a packet. Text of a message that is JSON is read, as a message handler gets it."""
        if isinstance(encoded_packet, (bytes, bytearray)):
            self.packet_type, self.data = MESSAGE, bytes(encoded_packet)
        elif encoded_packet.startswith("b"):
            self.packet_type, self.data = MESSAGE, base64.b64decode(encoded_packet[1:])
        elif encoded_packet[:1] not in set("0123456"):
            raise UnknownPacketError("a packet of an unknown type")
        else:
            self.packet_type, self.data = int(encoded_packet[0]), encoded_packet[1:]
            if self.data and not self.data[0].isnumeric():
                try:
                    self.data = json.loads(self.data)
                except (ValueError, RecursionError):
                    return


def as_text(data: Any, module: Any) -> str:
    """What is sent of a value that is no bytes: text as it is, dictionaries and lists as compact JSON."""
    if isinstance(data, str):
        return data
    if data is None:
        return ""
    if isinstance(data, (dict, list)):
        return str(module.dumps(data, separators=(",", ":")))
    return str(data)
