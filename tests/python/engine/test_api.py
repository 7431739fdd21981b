"""The rest of python-engineio's asyncio API: registering, sessions, attributes, tasks and logs."""

from __future__ import annotations

import asyncio
import inspect
import logging
from typing import Any

import engineio
import pytest

from engine.target import new_server, recorded, target
from support.waiting import Mailbox, soon, until

METHODS = (
    *("attach", "create_event", "create_queue", "disconnect", "generate_id", "get_queue_empty_exception"),
    *("get_session", "handle_request", "is_asyncio_based", "on", "save_session", "send", "send_packet"),
    *("session", "shutdown", "sleep", "start_background_task", "transport"),
)


def parameters(owner: Any, name: str) -> list[tuple[str, Any]]:
    """The positional parameters of a method, with their defaults."""
    given = inspect.signature(getattr(owner, name)).parameters.values()
    return [(one.name, one.default) for one in given if one.kind is one.POSITIONAL_OR_KEYWORD]


@pytest.mark.parametrize("method", [name for name in METHODS if name != "handle_request"])
def test_signatures(method):
    """methods have python-engineio's parameters, and are documented"""
    assert parameters(target.AsyncServer, method) == parameters(engineio.AsyncServer, method)
    assert getattr(target.AsyncServer, method).__doc__ or method == "is_asyncio_based"


def test_asgi_app_signature():
    """the ASGI application has python-engineio's parameters"""
    assert parameters(target.ASGIApp, "__init__") == parameters(engineio.ASGIApp, "__init__")


def test_on_decorates():
    """on() decorates a function, and gives it back"""
    eio = new_server()

    def message(sid: str, data: Any) -> None:
        """A handler."""

    assert eio.on("message")(message) is message
    assert eio.handlers["message"] is message


def test_on_takes_a_function():
    """on() takes a function as its second argument"""
    eio = new_server()

    def message(sid: str, data: Any) -> None:
        """A handler."""

    assert eio.on("message", message) is None
    assert eio.on("disconnect", handler=message) is None
    assert eio.handlers == {"message": message, "disconnect": message}


@pytest.mark.parametrize("event", ["Connect", "data", "*", ""])
def test_other_events(event):
    """there are no other events than connect, message and disconnect"""
    eio = new_server()
    with pytest.raises(ValueError, match="event"):
        eio.on(event)
    with pytest.raises(ValueError, match="event"):
        eio.on(event, print)


def test_options_are_attributes():
    """options are attributes of the server"""
    options = {
        "ping_interval": 7,
        "ping_timeout": 8,
        "max_http_buffer_size": 9,
        "allow_upgrades": False,
        "http_compression": False,
        "compression_threshold": 10,
        "cookie": "io",
        "cors_allowed_origins": ["http://a.example"],
        "cors_credentials": False,
        "async_handlers": False,
        "transports": ["polling"],
    }
    eio = new_server(**options)
    assert {name: getattr(eio, name) for name in options} == options
    assert eio.async_mode == "asgi"
    assert eio.is_asyncio_based()


def test_default_options():
    """options have python-engineio's defaults"""
    eio, official = new_server(), engineio.AsyncServer(async_mode="asgi")
    for name in (
        *("ping_interval", "ping_interval_grace_period", "ping_timeout", "max_http_buffer_size"),
        *("allow_upgrades", "http_compression", "compression_threshold", "cookie", "cors_allowed_origins"),
        *("cors_credentials", "async_handlers", "transports"),
    ):
        assert getattr(eio, name) == getattr(official, name), name
    assert dict(eio.sockets) == dict(eio.handlers) == {}


async def test_options_change_before_the_first_client(serve, wire):
    """options may be set on the server until it is used"""
    eio = new_server()
    eio.ping_interval, eio.ping_timeout, eio.max_http_buffer_size = 7, 8, 12345
    session = await wire(await serve(eio)).open_session()
    del session.handshake["sid"], session.handshake["upgrades"]
    assert session.handshake == {"pingInterval": 7000, "pingTimeout": 8000, "maxPayload": 12345}


async def test_no_monitor(serve, connect_js):
    """monitor_clients=False is accepted"""
    assert (await connect_js(await serve(new_server(monitor_clients=False)))).sid


async def test_sessions(serve, connect_js):
    """a session is a dictionary of each client, until something else is saved"""
    eio = new_server()
    server = await serve(eio)
    first, second = await connect_js(server), await connect_js(server)
    assert await eio.get_session(first.sid) == {}
    await eio.save_session(first.sid, {"name": "ada"})
    assert await eio.get_session(first.sid) == {"name": "ada"}
    assert await eio.get_session(second.sid) == {}
    value = object()
    await eio.save_session(second.sid, value)
    assert await eio.get_session(second.sid) is value


async def test_session_context_manager(serve, connect_js):
    """session() saves what its block did, in handlers and outside of them"""
    eio = new_server()
    seen: Mailbox[Any] = Mailbox("sessions")

    @eio.on("connect")
    async def connected(sid, environ):
        async with eio.session(sid) as session:
            session["name"] = "ada"

    @eio.on("message")
    async def message(sid, data):
        async with eio.session(sid) as session:
            session["last"] = data
            seen.put(dict(session))

    client = await connect_js(await serve(eio))
    client.send("hello")
    assert await seen.next() == {"name": "ada", "last": "hello"}
    async with eio.session(client.sid) as session:
        session["kept"] = True
    assert await eio.get_session(client.sid) == {"name": "ada", "last": "hello", "kept": True}


async def test_sessions_of_nobody():
    """there is no session and no transport of a client that is not connected"""
    eio = new_server()
    for lost in (eio.get_session("nobody"), eio.save_session("nobody", {})):
        with pytest.raises(KeyError, match="Session not found"):
            await lost
    with pytest.raises(KeyError, match="Session not found"):
        async with eio.session("nobody"):
            pass
    with pytest.raises(KeyError, match="Session not found"):
        eio.transport("nobody")


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_transport(serve, connect_js, transport):
    """transport() names the transport of a client"""
    eio = new_server()
    client = await connect_js(await serve(eio), transports=[transport])
    assert eio.transport(client.sid) == transport


async def test_sockets(serve, connect):
    """sockets holds the clients by sid while they are connected"""
    eio = new_server()
    server = await serve(eio)
    assert len(eio.sockets) == 0
    client = await connect(server)
    sid = client.sid
    assert list(eio.sockets) == [sid]
    socket = eio.sockets[sid]
    assert (socket.sid, socket.connected, socket.closed) == (sid, True, False)
    await eio.disconnect(sid)
    assert sid not in eio.sockets
    assert socket.closed


async def test_background_task():
    """start_background_task runs a coroutine function in a task"""
    eio = new_server()

    async def add(left: int, right: int = 0) -> int:
        await eio.sleep()
        return left + right

    task = eio.start_background_task(add, 1, right=2)
    assert isinstance(task, asyncio.Task)
    assert await soon(task, "the task") == 3


async def test_queue_and_event():
    """queues and events are asyncio's"""
    eio = new_server()
    queue, event = eio.create_queue(1), eio.create_event()
    assert isinstance(queue, asyncio.Queue)
    assert queue.maxsize == 1
    with pytest.raises(eio.get_queue_empty_exception()):
        queue.get_nowait()
    assert isinstance(event, asyncio.Event)


async def test_send_from_a_background_task(serve, connect_js):
    """a background task sends to clients"""
    eio = new_server()
    client = await connect_js(await serve(eio))

    async def count() -> None:
        for idx in range(3):
            await eio.send(client.sid, str(idx))
            await eio.sleep(0.01)

    await soon(eio.start_background_task(count), "the task")
    assert await client.messages.wait_for(3) == ["0", "1", "2"]


class Records(logging.Handler):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.errors: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info:
            self.errors.append(record.exc_info[1])


@pytest.mark.parametrize("event", ["connect", "message", "disconnect"])
async def test_failures_are_logged(serve, connect, event):
    """what a handler raises goes to the server's logger"""
    records, error = Records(), RuntimeError("out of order")
    logger = logging.Logger("application")
    logger.addHandler(records)
    eio = new_server(logger=logger)
    assert eio.logger is logger

    @eio.on(event)
    async def fail(*args):
        raise error

    server = await serve(eio)
    if event == "connect":
        with pytest.raises(engineio.exceptions.ConnectionError):
            await connect(server)
    else:
        client = await connect(server, transports=["websocket"])
        await client.send("hello")
        if event == "disconnect":
            await eio.disconnect(client.sid)
    await until(lambda: error in records.errors, "the logged error")
    assert records.errors == [error]


async def test_made_before_the_loop(serve, connect_js):
    """a server may be made before there is an event loop"""
    eio = await asyncio.get_running_loop().run_in_executor(None, new_server)
    assert (await connect_js(await serve(eio))).sid


async def test_shutdown(serve, connect_js):
    """a server can be shut down, used or not"""
    await soon(new_server().shutdown(), "the shutdown")
    server = await serve(new_server())
    await connect_js(server)
    await soon(server.stop(), "the shutdown")


@pytest.mark.ferrio_only(
    "python-engineio only stops looking for silent clients, and fails when that is done twice."
)
async def test_shutdown_disconnects(serve, connect_js):
    """a shutdown disconnects everybody, and may be repeated"""
    eio = new_server()
    calls = recorded(eio)
    client = await connect_js(await serve(eio), transports=["websocket"])
    await soon(eio.shutdown(), "the shutdown")
    assert calls.seen[1:] == [("disconnect", client.sid, "server disconnect")]
    await client.ended.next()
    await soon(eio.shutdown(), "the second shutdown")


def test_subclass():
    """a server may be derived from"""

    class Server(target.AsyncServer):
        def generate_id(self) -> str:
            return "mine"

    assert Server(async_mode="asgi").generate_id() == "mine"


async def test_subclass_generates_ids(serve, connect_js):
    """a subclass names its sessions"""

    class Server(target.AsyncServer):
        def generate_id(self) -> str:
            return "mine"

    assert (await connect_js(await serve(Server(async_mode="asgi")))).sid == "mine"
