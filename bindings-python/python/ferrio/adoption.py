"""Taking a WebSocket over from the ASGI server that accepted it, so that no message of it passes through Python.

An ASGI server has no name for the connection, so it is found by what the server is made of: the method that it passes as
`receive`, whose object has the transport. That is private to each server, and looked at with care: what is not exactly as
expected is left alone, and its messages pass through ASGI. So are connections that the server encrypts, those whose `send` or
`receive` somebody has wrapped in order to see the messages, and those on which a client has sent more than its request.
"""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio
    from typing import TypeAlias

    from ferrio import _native

    Scope: TypeAlias = "MutableMapping[str, Any]"

    Found: TypeAlias = "tuple[asyncio.Transport, Callable[[], None]]"
    """A connection, and what makes its server think that it has answered the handshake."""

STARLETTE_SENDER = (
    "starlette._exception_handler",
    "wrap_app_handling_exceptions.<locals>.wrapped_app.<locals>.sender",
)
"""Starlette's wrapper of `send`, which passes the messages of a WebSocket on as they are."""

RESTORED = frozenset(
    (
        *(
            "type",
            "asgi",
            "http_version",
            "method",
            "scheme",
            "path",
            "raw_path",
            "query_string",
            "headers",
            "client",
        ),
        *("subprotocols", "extensions"),
    )
)
"""Parts of a scope that the core makes anew from the request, or that mean nothing once the connection has changed hands."""


def adopt(native: _native.Server, scope: Scope, receive: Any, send: Any) -> str | None:
    """Lets the core have the connection of a WebSocket whose connect message has been received.

    Returns the name of the server that it was taken from, or `None` if the connection stays where it is.
    """
    sender = _unwrapped(send)
    for name, find in SERVERS.items():
        try:
            found = find(receive, sender)
        except AttributeError:
            # Another version of the server.
            continue
        if found is not None:
            return name if _take(native, scope, *found) else None
    return None


def _take(
    native: _native.Server, scope: Scope, transport: asyncio.Transport, mark_answered: Callable[[], None]
) -> bool:
    connection = transport.get_extra_info("socket")
    if (
        connection is None
        or transport.get_extra_info("sslcontext") is not None
        or transport.is_closing()
        or transport.get_write_buffer_size() > 0
    ):
        return False
    # Nothing may be read any more from here on, and the loop must not wait for this descriptor.
    transport.pause_reading()
    kept = {name: value for name, value in scope.items() if name not in RESTORED and value not in ("", {})}
    native.adopt_scope(connection.fileno(), scope, kept or None)
    mark_answered()
    # The core has a descriptor of its own: this closes the server's and nothing else.
    transport.abort()
    return True


def _unwrapped(send: Any) -> Any:
    while (getattr(send, "__module__", None), getattr(send, "__qualname__", None)) == STARLETTE_SENDER:
        cells = dict(zip(send.__code__.co_freevars, send.__closure__ or (), strict=True))
        if "send" not in cells:
            return send
        send = cells["send"].cell_contents
    return send


def _is_method(function: Any, module: str, name: str) -> bool:
    owner = getattr(function, "__self__", None)
    return type(owner).__module__ == module and getattr(function, "__name__", None) == name


def _of_uvicorn(module: str, is_fresh: Callable[[Any], bool]) -> Callable[[Any, Any], Found | None]:
    """Looks for a protocol of uvicorn's. It is fresh when it has neither answered the handshake nor read anything behind it."""
    module = f"uvicorn.protocols.websockets.{module}"

    def find(receive: Any, send: Any) -> Found | None:
        if not (_is_method(receive, module, "receive") and _is_method(send, module, "send")):
            return None
        protocol = receive.__self__
        if send.__self__ is not protocol or not is_fresh(protocol):
            return None

        def mark_answered() -> None:
            protocol.handshake_complete = protocol.close_sent = True

        return protocol.transport, mark_answered

    return find


def _is_fresh_sansio(protocol: Any) -> bool:
    is_unanswered = protocol.handshake_initiated and not (protocol.handshake_complete or protocol.close_sent)
    return is_unanswered and protocol.queue.empty() and not (protocol.frames or protocol.conn.reader.buffer)


def _is_fresh_wsproto(protocol: Any) -> bool:
    is_answered = protocol.handshake_complete or protocol.close_sent or protocol.response_started
    trailing, has_ended = protocol.conn.handshake._h11_connection.trailing_data
    return not is_answered and protocol.queue.empty() and not (trailing or has_ended)


def _hypercorn(_receive: Any, send: Any) -> Found | None:
    """hypercorn with HTTP/1.1. It refuses what a client sends before its handshake is answered."""
    if not _is_method(send, "hypercorn.protocol.ws_stream", "app_send"):
        return None
    stream = send.__self__
    http = stream.send
    if stream.closed or stream.state.name != "HANDSHAKE" or not _is_method(http, H11, "stream_send"):
        return None
    tcp = http.__self__.send
    if not _is_method(tcp, "hypercorn.asyncio.tcp_server", "protocol_send"):
        return None
    server = tcp.__self__
    if server.reader._buffer:
        return None

    def mark_answered() -> None:
        stream.closed = True

    return server.writer.transport, mark_answered


H11 = "hypercorn.protocol.h11"

SERVERS: dict[str, Callable[[Any, Any], Found | None]] = {
    # uvicorn's own choice, which is also that of gunicorn's worker for it.
    "uvicorn": _of_uvicorn("websockets_sansio_impl", _is_fresh_sansio),
    "uvicorn (wsproto)": _of_uvicorn("wsproto_impl", _is_fresh_wsproto),
    "hypercorn": _hypercorn,
}
