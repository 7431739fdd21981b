"""What applications do with the Engine.IO server of a Socket.IO server, `sio.eio`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest_asyncio

from support.doors import open_door
from support.python_client import PythonClient
from support.target import new_server
from support.waiting import Mailbox, soon, until
from support.wire import Wire


@pytest_asyncio.fixture
async def start(entry: str):
    """`await start(sio)` serves a Socket.IO server."""
    running = []

    async def serve(sio: Any) -> Any:
        running.append(await open_door(sio, entry))
        return running[-1]

    yield serve
    for server in running:
        await server.stop()


@pytest_asyncio.fixture
async def connect():
    """`await connect(server)` connects python-socketio's client."""
    clients: list[PythonClient] = []

    async def open_client(server: Any, **options: Any) -> PythonClient:
        clients.append(PythonClient(f"python-{len(clients)}", "/", "default"))
        await clients[-1].open(server.url, **options)
        await clients[-1].connected()
        return clients[-1]

    yield open_client
    for client in clients:
        await client.close()


async def handshake(server: Any) -> dict[str, Any]:
    http = Wire(server)
    try:
        return (await http.open_session()).handshake
    finally:
        await http.close()


def test_options():
    """the options of the engine are attributes of it"""
    sio = new_server(ping_interval=7, ping_timeout=8, max_http_buffer_size=9, cors_allowed_origins="*")
    assert (sio.eio.ping_interval, sio.eio.ping_timeout) == (7, 8)
    assert sio.eio.max_http_buffer_size == 9
    assert sio.eio.cors_allowed_origins == "*"
    assert sio.eio.async_mode == sio.async_mode == "asgi"


async def test_options_are_set(start):
    """options may be set on the engine after the server was made"""
    sio = new_server()
    sio.eio.ping_interval, sio.eio.ping_timeout = 7, 8
    sio.eio.max_http_buffer_size = 12345
    sio.eio.start_service_task = False
    announced = await handshake(await start(sio))
    assert announced["pingInterval"] == 7000
    assert announced["pingTimeout"] == 8000
    assert announced["maxPayload"] == 12345


async def test_origins_are_set(start):
    """origins may be set on the engine after the server was made"""
    sio = new_server()
    sio.eio.cors_allowed_origins = ["http://a.example"]
    http = Wire(await start(sio))
    query = {"EIO": "4", "transport": "polling"}
    try:
        allowed = await http.request("GET", query, headers={"Origin": "http://a.example"})
        refused = await http.request("GET", query, headers={"Origin": "http://b.example"})
    finally:
        await http.close()
    assert (allowed.status, refused.status) == (200, 400)


async def test_generate_id(start):
    """a generate_id of the application's own names the sessions"""
    sio = new_server()
    sio.eio.generate_id = lambda: "mine"
    server = await start(sio)
    assert (await handshake(server))["sid"] == "mine"


async def test_sockets(start, connect):
    """the engine's sockets are there under the sids of the engine"""
    sio = new_server()
    server = await start(sio)
    client = await connect(server, transports=["websocket"])
    (eio_sid,) = sio.eio.sockets
    assert eio_sid != client.sid
    assert sio.manager.eio_sid_from_sid(client.sid, "/") == eio_sid
    assert sio.manager.sid_from_eio_sid(eio_sid, "/") == client.sid
    assert sio.eio.transport(eio_sid) == "websocket"
    await client.close()
    await until(lambda: not sio.eio.sockets, "the end of the session")


async def test_disconnect(start, connect):
    """disconnecting a session of the engine disconnects its clients"""
    sio = new_server()
    ends: Mailbox[Any] = Mailbox("disconnects")
    sio.on("disconnect", lambda sid, reason: ends.put((sid, reason)))
    client = await connect(await start(sio), transports=["websocket"])
    (eio_sid,) = sio.eio.sockets
    await soon(sio.eio.disconnect(eio_sid), "disconnect()")
    assert await ends.next() == (client.sid, "server disconnect")
    await client.disconnected()


async def test_session(start, connect):
    """the engine keeps a session of its own for each connection"""
    sio = new_server()
    client = await connect(await start(sio))
    (eio_sid,) = sio.eio.sockets
    assert isinstance(await sio.eio.get_session(eio_sid), dict)
    async with sio.eio.session(eio_sid) as session:
        session["own"] = 1
    assert (await sio.eio.get_session(eio_sid))["own"] == 1
    assert await sio.get_session(client.sid) == {}


async def test_send(start, connect):
    """a message of the engine reaches the client as what it means"""
    sio = new_server()
    client = await connect(await start(sio))
    (eio_sid,) = sio.eio.sockets
    await sio.eio.send(eio_sid, '2["raw",1]')
    assert await client.receive("raw") == (1,)


async def test_helpers():
    """the engine starts tasks, sleeps, and makes queues and events"""
    sio = new_server()
    queue, event = sio.eio.create_queue(), sio.eio.create_event()

    async def work() -> None:
        await sio.eio.sleep(0)
        queue.put_nowait("done")
        event.set()

    task = sio.eio.start_background_task(work)
    await soon(event.wait(), "the event")
    assert queue.get_nowait() == "done"
    assert isinstance(task, asyncio.Task)
