"""The options of a server, as type checkers see them.

The core's table of options has their names, what they accept and their documentation; a test compares it with what stands
here. Times are seconds.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, TypedDict

if TYPE_CHECKING:
    from typing import TypeAlias

Transport: TypeAlias = 'Literal["polling", "websocket"]'
OriginRule: TypeAlias = "Callable[..., bool]"


class Recovery(TypedDict, total=False):
    """Connection state recovery: a client that comes back in time keeps its id, rooms, session and missed events."""

    max_disconnection_duration: float
    """How long a session and the events it misses are kept. In seconds, from 0.001 to 86 400. Default 120."""
    skip_middlewares: bool
    """Whether `use` middleware is left out for a client that comes back. Default `False`."""
    max_packets: int
    """How many events a namespace keeps for replay. At least 1. Default 10 000."""
    max_bytes: int
    """How much of events a namespace keeps for replay. In bytes, at least 1. Default 64 MiB."""
    max_sessions: int
    """How many sessions a namespace keeps. At least 1. Default 100 000."""


class Limits(TypedDict, total=False):
    """What one client, or all of them together, may make the server keep or do."""

    max_attachments: int
    """Binary values in one packet. From 0 to 1 000. Default 10."""
    max_depth: int
    """Nesting of lists and objects in a packet. From 1 to 100 000. Default 512."""
    attachments_timeout: float
    """How long the binary values of one packet may take to arrive. In seconds, from 0.001 to 86 400. Default
    30."""
    max_namespaces_per_connection: int
    """Namespaces one connection may be in. At least 1. Default 100."""
    max_fragments: int
    """Fragments of one WebSocket message. At least 1. Default 1 024."""
    max_header_bytes: int
    """Length of a request's head on the server's own port. In bytes, from 8 KiB to 1 MiB. Default 16 KiB."""
    header_timeout: float
    """How long a request's head, or a TLS handshake, may take on the server's own port. In seconds, from
    0.001 to 86 400. Default 10."""
    max_connections: int
    """Connections of the server. A handshake beyond is answered with 503. At least 1. Default 1 000 000."""
    host_queue: int
    """Events that wait for the application. Beyond it messages wait with their clients, which take turns, and
    handshakes wait; nothing is dropped. From 16 to 1 073 741 824. Default 16 384."""
    host_queue_bytes: int
    """Length of the events that wait for the application, with the same effect. In bytes, at least 1. Default
    64 MiB."""
    host_queue_share: int
    """Events of one client that wait for the application or that it is at work on. Beyond it no more are
    taken from this client. A long one counts as several: one for each 4 KiB by default. While the client is
    asked for an answer, half of the whole queue may be under way. From 1 to 1 073 741 824. Default 256."""
    max_waiting_requests: int
    """Handshakes, and requests whose origin the application is asked about, that wait for the application.
    Those beyond are answered with 503. At least 1. Default 1 024."""
    max_ack_bytes: int
    """Length of the answers that one emit to many clients gathers. Beyond it, it fails with those it has. In
    bytes, at least 1. Default 16 MiB."""
    max_total_ack_bytes: int
    """The same of all such emits together. In bytes, at least 1. Default 64 MiB."""
    max_packets_per_poll: int
    """Packets in one answer to a poll. python-socketio's client takes no more than 16. At least 1. Default
    16."""


class MessageCompression(TypedDict, total=False):
    """What of WebSocket messages is compressed, and how."""

    threshold: int
    """From which length on messages to clients are compressed. In bytes. Default 1 KiB."""
    server_no_context_takeover: bool
    """Whether the server compresses each message by itself, without looking back at earlier ones. If false, a
    client that asks for it gets no compression. Default: as the client asks."""
    client_no_context_takeover: bool
    """Whether clients have to compress each message by itself. The server then keeps nothing of their
    messages. Default `False`."""
    server_max_window_bits: int | bool
    """How far the server looks back: over 2 to the power of so many bytes. A client that wants it to look
    back less gets no compression; if false, neither does any that has a wish. Default: as the client asks."""
    client_max_window_bits: int | bool
    """How far clients may look back, likewise. One that cannot be told so gets no compression. Default: as
    the client asks."""
    max_memory: int
    """How much is kept of earlier messages of all clients together. Each new client has all that it may need
    reserved, 32 KiB unless its window is smaller. Beyond, messages are compressed each by itself. In bytes.
    Default 256 MiB."""
    level: int
    """How much work is put into compression: from 0, none, to 9; -1 for zlib's default, which is 6. Default:
    that of zlib."""


class Outbox(TypedDict, total=False):
    """What happens to a client that does not read what it is sent."""

    max_bytes: int
    """How much may wait for one client. In bytes, at least 1 KiB. Default 16 MiB."""
    policy: Literal["disconnect", "drop-oldest", "drop-newest"]
    """What happens beyond: the client is disconnected, or its oldest or newest events are dropped. Default
    `disconnect`."""


class ServerOptions(TypedDict, total=False):
    """Keywords of `AsyncServer` beside those in its signature."""

    always_connect: bool
    """Whether a client is let in before its connect handler is asked. Default `False`."""
    serializer: Literal["default", "msgpack"]
    """The form of packets: Socket.IO's own text, or that of `socket.io-msgpack-parser`. Default `default`."""
    async_mode: str | None
    """For python-socketio's sake; ferrio runs on asyncio whatever it says. Default None."""
    ping_interval: float | tuple[float, float]
    """Time between two pings, in seconds. A shorter one finds dead clients sooner and costs traffic. The
    second number of a pair is a period of grace, which is added to `ping_timeout`, and to the interval that
    clients are told. Default 25."""
    ping_timeout: float
    """How long a client may take to answer a ping. In seconds, from 0.001 to 86 400. Default 20."""
    max_http_buffer_size: int
    """The largest incoming message and polling body. A longer body is answered with 413, a longer WebSocket
    message closes the connection. In bytes, from 1 to 1 GiB. Default 1 000 000."""
    allow_upgrades: bool
    """Whether a client may move from long-polling to WebSocket. Default `True`."""
    http_compression: bool
    """Whether polling bodies are compressed when the client accepts it. Default `True`."""
    compression_threshold: int
    """From which length on polling bodies are compressed. In bytes. Default 1 KiB."""
    per_message_deflate: bool | MessageCompression | None
    """Compression of WebSocket messages (RFC 7692), for clients that offer it. It costs processor time, and
    memory for each client: what is kept of its earlier messages, up to 32 KiB of those from it and 8 KiB of
    those to it. Default: off."""
    cookie: str | dict[str, Any] | None
    """Name of a cookie with the session's id, with path `/` and same site `Lax`; or a dictionary of its name
    (`name`, by default `io`) and attributes: texts, True, or functions that return one. Default None."""
    cors_allowed_origins: str | Sequence[str] | OriginRule | None
    """Who may connect from a page: None for pages of the same host, `'*'`, one origin, a list of them, or a
    function of the origin and the environment; `[]` switches the rules off. Default None."""
    cors_credentials: bool
    """Whether pages may send cookies. Default `True`."""
    monitor_clients: bool
    """For python-socketio's sake; the core always monitors its clients. Default `True`."""
    transports: Transport | Sequence[Transport] | None
    """The transports that clients may use. Default: both."""
    engineio_logger: bool | logging.Logger
    """For python-socketio's sake. Default `False`."""
    connect_timeout: float
    """How long a client may stay without joining a namespace. In seconds, from 0.001 to 86 400. Default
    45."""
    connect_pause: float
    """How long nothing follows a CONNECT packet on a WebSocket, for simple clients that only then listen for
    the next. It delays the first events of every client. In seconds, from 0 to 1. Default 0."""
    upgrade_timeout: float
    """How long an upgrade may take. In seconds, from 0.001 to 86 400. Default 10."""
    allow_eio3: bool
    """Whether clients of Socket.IO 2 are served. Default `False`."""
    connection_state_recovery: bool | Recovery | None
    """Connection state recovery: a client that comes back in time keeps its id, rooms, data and missed
    events. Default: off."""
    limits: Limits
    """Bounds on what one client, or all of them together, may ask for."""
    outbox: Outbox
    """What happens to a client that does not read what it is sent."""


def core_options(options: ServerOptions, *, any_namespace: bool) -> dict[str, Any]:
    """The keywords as the core takes them; its table of options says what each of them may be."""
    core: dict[str, Any] = {**options, "namespaces": "*" if any_namespace else None}
    if "cookie" in options:
        core["cookie"] = cookie_parts(options["cookie"])
    return core


def cookie_parts(cookie: Any) -> Any:
    """A cookie as the core takes it, its functions called."""
    if isinstance(cookie, dict):
        return {name: part() if callable(part) else part for name, part in cookie.items()}
    return cookie


def json_module(module: ModuleType | Any | None) -> Any:
    """The JSON module to use; the standard one stands for ferrio's own way, which does the same faster."""
    return None if module is None or getattr(module, "__name__", None) == "json" else module
