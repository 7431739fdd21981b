"""The server as a whole: closing, host applications, crowds, several servers and faults in handlers."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import fastapi
import pytest

from support.doors import open_door
from support.node_client import NodeProcess
from support.target import MODULE, new_server
from support.waiting import Mailbox, soon, until

closing = pytest.mark.ferrio_only("python-socketio's shutdown leaves its clients alone.")
once_more = pytest.mark.ferrio_only("python-socketio cannot be shut down a second time.")
hosted = pytest.mark.doors("uvicorn", "adopted")


def with_echo(**options: Any) -> Any:
    """A server that acknowledges `echo` with its own arguments."""
    sio = new_server(**options)

    @sio.event
    async def echo(sid, *args):
        return args

    return sio


@closing
@pytest.mark.both_loops
async def test_close(serve, connect_js):
    """close ends all clients and resolves"""
    sio = with_echo()
    server = await serve(sio)
    clients = [await connect_js(server, transports=[name]) for name in ("websocket", "polling") * 3]
    await soon(sio.shutdown(), "the end of shutdown()")
    for client in clients:
        await client.disconnected()


@closing
async def test_close_during_upgrades(serve, connect_js):
    """close in the middle of upgrades ends all clients"""
    sio = with_echo()
    for _ in range(5):
        server = await serve(sio)
        clients = await asyncio.gather(*(connect_js(server) for _ in range(8)))
        await soon(sio.shutdown(), "the end of shutdown()")
        for client in clients:
            await client.disconnected()
        await server.stop()


@closing
async def test_close_under_traffic(serve, connect_js):
    """close while events flow both ways resolves"""
    sio = with_echo()
    server = await serve(sio)
    clients = [await connect_js(server) for _ in range(5)]
    stop = asyncio.Event()

    async def traffic() -> None:
        while not stop.is_set():
            await sio.emit("number", 1)
            for client in clients:
                await client.emit("echo", b"\x00")
            await asyncio.sleep(0)

    flowing = asyncio.ensure_future(traffic())
    await clients[0].receive_many("number", 10)
    await soon(sio.shutdown(), "the end of shutdown()")
    stop.set()
    await flowing
    for client in clients:
        await client.disconnected()


@once_more
async def test_listening_again(serve, connect_js):
    """a closed server lets its port go and can listen again with the old handlers"""
    sio = with_echo()
    server = await serve(sio)
    await connect_js(server)
    await server.stop()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", server.port)
    client = await connect_js(await serve(sio, port=server.port))
    assert await client.call("echo", "again") == ("again",)


@pytest.mark.doors("standalone")
@pytest.mark.ferrio_only("python-socketio has no port of its own.")
async def test_own_port(serve, connect_js):
    """a server made with a port number listens by itself"""
    sio = with_echo()
    server = await serve(sio)
    assert server.port > 0
    assert await (await connect_js(server)).call("echo", 1) == (1,)


def application() -> fastapi.FastAPI:
    app = fastapi.FastAPI()

    @app.get("/hello/{name}")
    async def hello(name: str) -> dict[str, str]:
        return {"hello": name}

    @app.post("/length")
    async def length(request: fastapi.Request) -> int:
        return len(await request.body())

    @app.websocket("/ws")
    async def upper(websocket: fastapi.WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text((await websocket.receive_text()).upper())
        await websocket.close()

    return app


async def use_routes(url: str) -> None:
    async with aiohttp.ClientSession(url) as http:
        async with http.get("/hello/Ada") as answer:
            assert await answer.json() == {"hello": "Ada"}
        async with http.post("/length", data=b"x" * 300_000) as answer:
            assert await answer.text() == "300000"
        async with http.get("/nowhere") as answer:
            assert answer.status == 404
        async with http.ws_connect("/ws") as websocket:
            await websocket.send_str("loud")
            assert await soon(websocket.receive_str(), "the application's own WebSocket") == "LOUD"


@hosted
@pytest.mark.both_loops
async def test_routes(serve):
    """the routes of the host application keep working on the same port"""
    await use_routes((await serve(with_echo(), app=application())).url)


@hosted
async def test_routes_beside_sockets(serve, connect_js):
    """the routes of the host application answer while sockets are connected"""
    sio = with_echo()
    server = await serve(sio, app=application())
    clients = [await connect_js(server, transports=[name]) for name in ("websocket", "polling")]
    await use_routes(server.url)
    for client in clients:
        assert await client.call("echo", 1) == (1,)


@hosted
async def test_emit_from_a_route(serve, connect_js):
    """the routes of the host application answer while sockets are connected"""
    sio = with_echo()
    app = application()

    @app.post("/news/{text}")
    async def news(text: str) -> str:
        await sio.emit("news", text)
        return "sent"

    server = await serve(sio, app=app)
    client = await connect_js(server)
    async with aiohttp.ClientSession(server.url) as http, http.post("/news/flash") as answer:
        assert await answer.json() == "sent"
    assert await client.receive("news") == ("flash",)


async def test_three_hundred_clients(serve, connect_js):
    """three hundred clients are connected at once and each gets its own answer"""
    sio = with_echo()
    server = await serve(sio)
    clients = await asyncio.gather(*(connect_js(server, transports=["websocket"]) for _ in range(300)))
    assert len({client.sid for client in clients}) == 300
    answers = await asyncio.gather(*(client.call("echo", number) for number, client in enumerate(clients)))
    assert answers == [(number,) for number in range(300)]


async def test_broadcast_to_three_hundred(serve, connect_js):
    """three hundred clients hear one broadcast"""
    sio = with_echo()
    server = await serve(sio)
    clients = await asyncio.gather(*(connect_js(server, transports=["websocket"]) for _ in range(300)))
    await sio.emit("news", {"to": "all"})
    for client in clients:
        assert await client.receive("news") == ({"to": "all"},)
    await sio.emit("fence")
    for client in clients:
        await client.receive("fence")
        assert len(client.received("news")) == 1


async def test_nothing_is_left_behind(serve, connect_js):
    """clients that come and go leave nothing behind"""
    sio = with_echo()
    gone: Mailbox[str] = Mailbox("disconnect handlers")
    sio.on("disconnect", lambda sid, reason: gone.put(sid))
    server = await serve(sio)
    sids = []
    for number in range(30):
        client = await connect_js(server, transports=[("websocket", "polling")[number % 2]])
        await sio.enter_room(client.sid, "a")
        sids.append(client.sid)
        if number % 3 == 0 and client.transport == "websocket":
            client.cut()
        else:
            await client.disconnect()
    await gone.wait_for(30)
    assert sorted(gone.seen) == sorted(sids)
    await until(lambda: not any(sio.rooms(sid) for sid in sids), "the end of the rooms")
    await until(lambda: not any(sio.get_environ(sid) for sid in sids), "the end of the environs")
    await until(lambda: not sio.manager.rooms.get("/", {}).get("a"), "the end of the shared room")


async def test_several_servers(serve, connect_js):
    """several servers in one process do not hear each other"""
    servers = []
    for number in range(3):
        sio = new_server()
        sio.on("who", lambda sid, number=number: number)
        servers.append(await serve(sio))
    clients = [await connect_js(server) for server in servers]
    assert [await client.call("who") for client in clients] == [(0,), (1,), (2,)]
    await servers[1].sio.emit("news", "from one")
    assert await clients[1].receive("news") == ("from one",)
    for server, client in zip(servers, clients, strict=True):
        await server.sio.emit("fence")
        await client.receive("fence")
    assert [len(client.received("news")) for client in clients] == [0, 1, 0]


async def test_many_servers_in_turn(door, node):
    """many servers are opened and closed in turn"""
    for number in range(20):
        server = await open_door(with_echo(), door)
        client = node.client()
        client.open(server.url, transports=["websocket"])
        await client.connected()
        assert await client.call("echo", number) == (number,)
        await client.close()
        await server.stop()


@closing
@pytest.mark.doors("standalone")
async def test_closing_during_upgrades(door, node):
    """many servers are opened and closed in turn"""
    # Each server is closed wherever the upgrades of its clients happen to be. What then went on for ever would take one
    # of the few threads from all later servers of the process.
    for _ in range(15):
        server = await open_door(with_echo(), door)
        clients = [node.client() for _ in range(50)]
        for client in clients:
            client.open(server.url)
        for client in clients:
            await client.connected()
        for client in clients:
            await client.close()
        await soon(server.stop(), "the end of the server")


HERE = Path(__file__).parent


async def ends_by_itself(door: str, node: NodeProcess, *arguments: str) -> None:
    """Runs a server in a process of its own, interrupts it, and waits for its end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "support.standalone_script",
        door,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=HERE,
        env={**os.environ, "FERRIO_TEST_MODULE": MODULE},
    )
    assert process.stdout is not None
    try:
        port = int(await soon(process.stdout.readline(), "the port of the server"))
        client = node.client()
        client.open(f"http://127.0.0.1:{port}", transports=["websocket"])
        await client.connected()
        await client.keep_silent("question")
        assert await client.call("echo", 1) == (1,)
        process.send_signal(signal.SIGINT)
        _, errors = await soon(process.communicate(), "the end of the process")
        assert process.returncode == 0, errors.decode()
        await client.close()
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop", "blind"])
async def test_the_process_ends(door, node, loop):
    """the process ends by itself after close"""
    await ends_by_itself(door, node, loop)


async def test_the_process_ends_with_a_pending_ack(door, node):
    """a pending ack does not keep the process from ending"""
    await ends_by_itself(door, node, "asyncio", "pending-ack")


@once_more
async def test_coming_back_to_the_same_server(serve, connect_js):
    """a client reconnects to a server that listens again"""
    sio = with_echo()
    server = await serve(sio)
    client = await connect_js(server, reconnection=True, reconnectionDelay=20, reconnectionDelayMax=50)
    first = client.sid
    await client.upgraded()
    await server.stop()
    await client.disconnected()
    await serve(sio, port=server.port)
    # An orderly shutdown tells the client not to come back by itself.
    client.reconnect()
    assert await client.connected() != first
    assert await client.call("echo", "again") == ("again",)


async def test_an_exception_in_a_handler(serve, connect_js):
    """an exception in a handler has the documented fate"""
    sio = with_echo()
    reports: Mailbox[dict[str, Any]] = Mailbox("reports of the loop")
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: reports.put(context))

    @sio.event
    async def fails(sid):
        raise RuntimeError("on purpose")

    client = await connect_js(await serve(sio))
    # No ack is sent, the loop is told, and the client stays connected.
    with pytest.raises(asyncio.TimeoutError):
        await client.call_within(0.2, "fails")
    gc.collect()
    assert str((await reports.next())["exception"]) == "on purpose"
    assert await client.call("echo", "still here") == ("still here",)


@pytest.mark.ferrio_only("python-socketio leaves the client without an answer for ever.")
async def test_an_exception_in_the_connect_handler(serve, connect_js, caplog):
    """an exception in a handler has the documented fate"""
    sio = with_echo()

    @sio.event
    async def connect(sid, environ, auth):
        raise RuntimeError("on purpose")

    with caplog.at_level(logging.ERROR):
        client = await connect_js(await serve(sio), wait=False)
        await client.refused()
    assert sio.manager.rooms.get("/", {}) in ({}, {None: {}})
