"""What applications do with the Engine.IO server of a Socket.IO server, `sio.eio`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import pytest_asyncio

from support.doors import open_door
from support.python_client import PythonClient
from support.target import new_server
from support.waiting import Mailbox, soon, until
from support.wire import Wire

own = pytest.mark.ferrio_only("python-socketio's engine is occupied, or has other faults there.")


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


@own
async def test_engine_events():
    """the engine's events are the Socket.IO server's own"""
    sio = new_server()
    with pytest.raises(NotImplementedError, match=r"Socket\.IO"):
        sio.eio.on("message", print)


@own
async def test_disconnect_of_many_namespaces(start):
    """the clients of all namespaces of a session learn of its end, as does its handler of each"""
    sio = new_server(namespaces=["/", "/other"])
    ends: Mailbox[Any] = Mailbox("disconnects")
    for namespace in ("/", "/other"):
        sio.on("disconnect", lambda sid, reason: ends.put(reason), namespace=namespace)
    http = Wire(await start(sio))
    try:
        websocket = await http.joined_websocket()
        await websocket.join("/other")
        (eio_sid,) = sio.eio.sockets
        sids = [sio.manager.sid_from_eio_sid(eio_sid, namespace) for namespace in ("/", "/other")]
        assert len({eio_sid, *sids}) == 3
        assert [
            sio.manager.eio_sid_from_sid(sid, name) for sid, name in zip(sids, ("/", "/other"), strict=True)
        ] == [
            eio_sid,
            eio_sid,
        ]
        assert sio.manager.sid_from_eio_sid(eio_sid, "/elsewhere") is None
        await soon(sio.eio.disconnect(), "disconnect()")
        assert ends.seen == ["server disconnect"] * 2
        await websocket.until_closed()
    finally:
        await http.close()
    assert sio.manager.sid_from_eio_sid(eio_sid, "/") is None
    assert sio.manager.eio_sid_from_sid(sids[0], "/") is None
    assert not sio.eio.sockets


@own
@pytest.mark.parametrize("made", [7, "", "\ud800"], ids=repr)
async def test_ids_of_no_use(start, made):
    """an id that is none refuses the session"""
    sio = new_server()
    sio.eio.generate_id = lambda: made
    http = Wire(await start(sio))
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    try:
        answer = await http.request("GET", {"EIO": "4", "transport": "polling"})
        assert answer.status == 400
        sio.eio.generate_id = lambda: "mine"
        assert (await http.open_session()).sid == "mine"
        assert (await http.request("GET", {"EIO": "4", "transport": "polling"})).status == 400
    finally:
        await http.close()


@own
async def test_engine_sessions_are_forgotten(start, connect):
    """what is kept with a session goes with it"""
    sio = new_server()
    client = await connect(await start(sio), transports=["websocket"])
    (eio_sid,) = sio.eio.sockets
    await sio.eio.save_session(eio_sid, {"kept": True})
    assert sio.eio.sockets[eio_sid].session == {"kept": True}
    await client.close()
    await until(lambda: not sio.eio.sockets, "the end of the session")
    for lost in (sio.eio.get_session(eio_sid), sio.eio.save_session(eio_sid, {})):
        with pytest.raises(KeyError):
            await lost
    await sio.eio.send(eio_sid, "to nobody")
    await sio.eio.disconnect(eio_sid)
    await until(lambda: set(sio._bridge.native.held().values()) == {0}, "the end of all that is kept")


@own
async def test_before_the_first_client():
    """an engine that serves nobody has no sockets"""
    sio = new_server()
    assert (len(sio.eio.sockets), list(sio.eio.sockets), "nobody" in sio.eio.sockets) == (0, [], False)
    with pytest.raises(KeyError):
        sio.eio.transport("nobody")
    await sio.eio.disconnect()
    assert sio.manager.eio_sid_from_sid("nobody", "/") is sio.manager.sid_from_eio_sid("nobody", "/") is None
