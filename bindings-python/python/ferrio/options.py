"""The options of a server, and their form in the core.

The full text of each option of the core stands in its `Config`; here are python-socketio's names for them, and what only
the Python package knows. Times are seconds.
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
    """How long a session and the events it misses are kept. Default 120."""
    skip_middlewares: bool
    """Whether `use` middleware is left out for a client that comes back. Default False."""
    max_packets: int
    """How many events a namespace keeps for replay. Default 10 000."""
    max_bytes: int
    """How many bytes of events a namespace keeps for replay. Default 64 MiB."""
    max_sessions: int
    """How many sessions a namespace keeps. Default 100 000."""


class Limits(TypedDict, total=False):
    """What one client, or all of them together, may make the server keep or do."""

    max_attachments: int
    """Binary values in one packet. Default 10."""
    max_depth: int
    """Nesting of lists and dictionaries in a packet. Default 512."""
    attachments_timeout: float
    """How long the binary values of one packet may take to arrive. Default 30."""
    max_namespaces_per_connection: int
    """Namespaces one connection may be in. Default 100."""
    max_fragments: int
    """Fragments of one WebSocket message. Default 1 024."""
    max_header_bytes: int
    """Bytes of a request's head on the server's own port. Default 16 KiB."""
    header_timeout: float
    """How long a request's head may take on the server's own port. Default 10."""
    max_connections: int
    """Connections of the server. Default 1 000 000."""
    host_queue: int
    """Events that wait for the application. Beyond it messages wait with their clients, which take turns, and
    handshakes wait. Default 16 384, from 16 to 2³⁰."""
    host_queue_bytes: int
    """The same in bytes. Default 64 MiB."""
    host_queue_share: int
    """Events of one client that wait for the application or whose handlers are at work; beyond, no more are taken from
    this client. A long one counts as several: one for each 4 KiB by default. While the client is asked for an answer,
    half of `host_queue` may be under way. Default 256, from 1 to 2³⁰."""
    max_waiting_requests: int
    """Handshakes, and requests whose origin the application is asked about, that wait for the application. Those beyond
    are answered with 503. Default 1 024."""
    max_ack_bytes: int
    """Bytes of answers that one emit to many clients gathers; beyond, it fails with those it has. Default 16 MiB."""
    max_total_ack_bytes: int
    """The same of all such emits together. Default 64 MiB."""
    max_packets_per_poll: int
    """Packets in one answer to a poll. Default 16, the most that python-socketio's client takes."""


class Outbox(TypedDict, total=False):
    """What happens to a client that does not read what it is sent."""

    max_bytes: int
    """Bytes that may wait for one client. Default 16 MiB."""
    policy: Literal["disconnect", "drop-oldest", "drop-newest"]
    """What happens beyond. Default `disconnect`."""


class ServerOptions(TypedDict, total=False):
    """Keywords of `AsyncServer` beside those in its signature."""

    always_connect: bool
    """Whether a client is let in before its connect handler is asked. Default False."""
    serializer: Literal["default", "msgpack"]
    """The form of packets: Socket.IO's own text, or that of `socket.io-msgpack-parser`. Default `default`."""
    async_mode: str | None
    """For python-socketio's sake; ferrio runs on asyncio whatever it says."""
    ping_interval: float | tuple[float, float]
    """Time between two pings. Default 25. The second number of a pair is added to `ping_timeout`."""
    ping_timeout: float
    """How long a client may take to answer a ping. Default 20."""
    max_http_buffer_size: int
    """The largest incoming message and polling body, in bytes. Default 1 000 000."""
    allow_upgrades: bool
    """Whether a client may move from long-polling to WebSocket. Default True."""
    http_compression: bool
    """Whether polling bodies are compressed. Default True."""
    compression_threshold: int
    """From how many bytes on. Default 1024."""
    cookie: str | dict[str, Any] | None
    """Name of a cookie with the session's id, with path `/` and same site `Lax`; or its name (`name`) and attributes.
    Default None."""
    cors_allowed_origins: str | Sequence[str] | OriginRule | None
    """Who may connect from a page: None for pages of the same host, `'*'`, one origin, a list of them, or a function of
    the origin and the environment; `[]` switches the rules off. Default None."""
    cors_credentials: bool
    """Whether pages may send cookies. Default True."""
    monitor_clients: bool
    """For python-socketio's sake; the core always monitors its clients."""
    transports: Transport | Sequence[Transport] | None
    """The transports a client may use. Default both."""
    engineio_logger: bool | logging.Logger
    """For python-socketio's sake."""
    connect_timeout: float
    """How long a client may stay without joining a namespace. Default 45."""
    connect_pause: float
    """How long nothing follows a CONNECT packet on a WebSocket, for simple clients that only then listen for the next.
    Default 0."""
    upgrade_timeout: float
    """How long an upgrade may take. Default 10."""
    allow_eio3: bool
    """Whether clients of Socket.IO 2 are served. Default False."""
    connection_state_recovery: bool | Recovery | None
    """Connection state recovery; True for its defaults. Default None: off."""
    limits: Limits
    """Bounds on what clients may ask for."""
    outbox: Outbox
    """The bound for a client that does not read."""


PLAIN = (
    "allow_upgrades",
    "ping_timeout",
    "upgrade_timeout",
    "connect_timeout",
    "connect_pause",
    "max_http_buffer_size",
    "allow_eio3",
    "limits",
    "outbox",
)
"""Options that the core has under the same name."""


def core_options(options: ServerOptions, *, any_namespace: bool) -> dict[str, Any]:
    """The core's options."""
    unknown = options.keys() - ServerOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"there is no option `{sorted(unknown)[0]}`")
    core: dict[str, Any] = {name: value for name, value in options.items() if name in PLAIN}
    # One that a client brought into being goes with its last client.
    core["cleanup_empty_child_namespaces"] = any_namespace
    core["parser"] = options.get("serializer", "default")
    core["cors"] = cors(options.get("cors_allowed_origins"), options.get("cors_credentials", True))
    core["cookie"] = cookie(options.get("cookie"))
    core["http_compression"] = (
        options.get("compression_threshold", 1024) if options.get("http_compression", True) else None
    )
    transports = options.get("transports")
    if transports is not None:
        core["transports"] = [transports] if isinstance(transports, str) else list(transports)
    interval = options.get("ping_interval", 25)
    if isinstance(interval, tuple):
        core["ping_interval"] = interval[0]
        core["ping_timeout"] = options.get("ping_timeout", 20) + interval[1]
    else:
        core["ping_interval"] = interval
    recovery = options.get("connection_state_recovery")
    if recovery is not None and recovery is not False:
        core["connection_state_recovery"] = {} if recovery is True else recovery
    return core


def cors(origins: str | Sequence[str] | OriginRule | None, credentials: bool) -> dict[str, Any] | None:
    """The core's cross-origin rules; None switches them off."""
    rules: dict[str, Any] = {"credentials": credentials, "methods": "OPTIONS, GET, POST"}
    if origins is None:
        rules["rule"] = "same"
    elif callable(origins):
        rules["rule"] = "ask"
    elif origins == "*" or (not isinstance(origins, str) and "*" in origins):
        rules["rule"] = "any"
    elif isinstance(origins, str):
        rules["origins"] = [origins]
    elif len(origins) > 0:
        rules["origins"] = list(origins)
    else:
        return None
    return rules


def cookie(value: str | dict[str, Any] | None) -> dict[str, str] | None:
    """The core's cookie: a name, and the attributes as they stand behind its value."""
    if value is None:
        return None
    if isinstance(value, str):
        value = {"name": value, "path": "/", "SameSite": "Lax"}
    attributes = []
    for name, attribute in value.items():
        content = attribute() if callable(attribute) else attribute
        if name != "name" and content is not False:
            attributes.append(name if content is True else f"{name}={content}")
    return {"name": str(value.get("name", "io")), "attributes": "; ".join(attributes)}


def json_module(module: ModuleType | Any | None) -> Any:
    """The JSON module to use; the standard one stands for ferrio's own way, which does the same faster."""
    return None if module is None or getattr(module, "__name__", None) == "json" else module
