"""Connecting: ids, auth payloads, what a handler learns about the client, and refusals."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.target import ConnectionRefusedError, new_server
from support.waiting import Mailbox, until

both_clients = pytest.mark.clients("js", "python")


def connects_of(sio: Any, namespace: str = "/") -> Mailbox[tuple[str, Any, Any]]:
    """Registers a connect handler that accepts everybody and notes its arguments."""
    seen: Mailbox[tuple[str, Any, Any]] = Mailbox("connect handlers")

    async def connect(sid: str, environ: Any, auth: Any) -> None:
        seen.put((sid, environ, auth))

    sio.on("connect", connect, namespace=namespace)
    return seen


@both_clients
@pytest.mark.both_loops
async def test_over_websocket(serve, connect):
    """a client connects over WebSocket and both sides agree on the socket id"""
    sio = new_server()
    connects = connects_of(sio)
    client = await connect(await serve(sio), transports=["websocket"])
    sid, _, _ = await connects.next()
    assert client.sid == sid
    assert client.transport == "websocket"
    assert sio.transport(sid) == "websocket"


@both_clients
@pytest.mark.both_loops
async def test_over_polling(serve, connect):
    """a client connects over long-polling and both sides agree on the socket id"""
    sio = new_server()
    connects = connects_of(sio)
    client = await connect(await serve(sio), transports=["polling"])
    sid, _, _ = await connects.next()
    assert client.sid == sid
    assert client.transport == "polling"
    assert sio.transport(sid) == "polling"


@both_clients
async def test_the_session_id_is_another(serve, connect):
    """the socket id differs from the session id"""
    sio = new_server()
    client = await connect(await serve(sio))
    assert client.engine_sid
    assert client.sid
    assert client.engine_sid != client.sid


async def test_ids_are_unique(serve, wire):
    """every socket of a thousand handshakes gets its own id"""
    sio = new_server()
    http = wire(await serve(sio))
    socket_ids: set[str] = set()
    session_ids: set[str] = set()

    async def handshakes(count: int) -> None:
        for _ in range(count):
            session = await http.open_session()
            session_ids.add(session.sid)
            socket_ids.add(await session.join())

    await asyncio.gather(*(handshakes(50) for _ in range(20)))
    assert len(socket_ids) == 1000
    assert len(session_ids) == 1000
    assert socket_ids.isdisjoint(session_ids)


async def test_a_hundred_ids(serve, connect_js):
    """a hundred clients get a hundred different ids"""
    server = await serve(new_server())
    clients = await asyncio.gather(*(connect_js(server) for _ in range(100)))
    assert len({sid for client in clients for sid in (client.sid, client.engine_sid)}) == 200


@both_clients
async def test_auth_payload(serve, connect):
    """the auth payload reaches the server as the client wrote it"""
    sio = new_server()
    connects = connects_of(sio)
    payload = {"token": "s3cr3t ☂", "nested": {"list": [1, 2.5, None, True]}, "": "empty key"}
    await connect(await serve(sio), auth=payload)
    _, _, auth = await connects.next()
    assert auth == payload


async def test_auth_function_of_the_js_client(serve, connect_js):
    """an auth function of the client is asked for the payload"""
    sio = new_server()
    connects = connects_of(sio)
    client = await connect_js(await serve(sio), auths=[{"attempt": 1}, {"attempt": 2}])
    assert (await connects.next())[2] == {"attempt": 1}
    await client.disconnect()
    await client.disconnected()
    client.reconnect()
    assert (await connects.next())[2] == {"attempt": 2}


@pytest.mark.clients("python")
async def test_auth_function_of_the_python_client(serve, connect):
    """an auth function of the client is asked for the payload"""
    sio = new_server()
    connects = connects_of(sio)
    await connect(await serve(sio), auth=lambda: {"from": "a function"})
    assert (await connects.next())[2] == {"from": "a function"}


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_handshake(serve, connect_js, transport):
    """the handshake carries headers, query, url, address and time"""
    sio = new_server()
    connects = connects_of(sio)
    server = await serve(sio)
    client = await connect_js(
        server,
        transports=[transport],
        query={"colour": "blue green"},
        extraHeaders={"X-Colour": "blue", "Cookie": "a=b"},
    )
    sid, environ, _ = await connects.next()
    assert environ["HTTP_X_COLOUR"] == "blue"
    assert environ["HTTP_COOKIE"] == "a=b"
    assert environ["HTTP_HOST"] == f"127.0.0.1:{server.port}"
    assert "colour=blue%20green" in environ["QUERY_STRING"]
    assert f"transport={transport}" in environ["QUERY_STRING"]
    assert environ["PATH_INFO"] == "/socket.io/"
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["asgi.scope"]["client"][0] == "127.0.0.1"
    assert environ["asgi.scope"]["path"] == "/socket.io/"
    assert sio.get_environ(sid) == environ
    assert client.sid == sid


@both_clients
async def test_emit_in_connect_handler(serve, connect):
    """what the connect handler emits arrives after the client's connect event"""
    # Without always_connect python-socketio accepts a client only once the handler returned, hence after what it emits.
    sio = new_server(always_connect=True)

    @sio.on("connect")
    async def connect_handler(sid, environ, auth):
        await sio.emit("welcome", {"n": 1}, to=sid)
        await sio.emit("welcome", {"n": 2}, to=sid)

    client = await connect(await serve(sio))
    await client.receive_many("welcome", 2)
    assert client.heard == [("connect",), ("welcome", {"n": 1}), ("welcome", {"n": 2})]


@both_clients
@pytest.mark.both_loops
async def test_refusal(serve, connect):
    """a refused connection tells the client message and data"""
    sio = new_server()

    @sio.on("connect")
    async def refuse(sid, environ, auth):
        raise ConnectionRefusedError("not today", {"code": 7, "why": ["rain", None]})

    client = await connect(await serve(sio), wait=False)
    assert await client.refused() == {"message": "not today", "data": {"code": 7, "why": ["rain", None]}}
    assert client.sid is None


async def test_refused_client_may_try_again(serve, connect_js):
    """a refused client can connect after it changed its auth payload"""
    sio = new_server()

    @sio.event
    async def connect(sid, environ, auth):
        if auth != {"token": "good"}:
            raise ConnectionRefusedError("bad token")

    client = await connect_js(await serve(sio), wait=False, auths=[{"token": "bad"}, {"token": "good"}])
    assert (await client.refused())["message"] == "bad token"
    client.reconnect()
    assert await client.connected()
    await sio.emit("hello", to=client.sid)
    assert await client.receive("hello") == ()


@both_clients
async def test_slow_check(serve, connect):
    """a check that waits holds up only the client that is being checked"""
    sio = new_server()
    release = asyncio.Event()
    checking: Mailbox[str] = Mailbox("checks")

    @sio.on("connect")
    async def check(sid, environ, auth):
        if auth == {"slow": True}:
            checking.put(sid)
            await release.wait()

    @sio.event
    async def echo(sid, value):
        return value

    server = await serve(sio)
    slow = await connect(server, wait=False, auth={"slow": True})
    await checking.next()
    quick = await connect(server)
    assert await quick.call("echo", "while the other waits") == ("while the other waits",)
    assert slow.sid is None
    release.set()
    await slow.connected()
    assert await slow.call("echo", "now me") == ("now me",)


async def test_leaving_during_the_check(serve, connect_js):
    """a client that leaves while it is being checked never becomes a socket"""
    sio = new_server()
    release = asyncio.Event()
    checking: Mailbox[str] = Mailbox("checks")

    @sio.event
    async def connect(sid, environ, auth):
        if auth == {"slow": True}:
            checking.put(sid)
            await release.wait()

    server = await serve(sio)
    leaver = await connect_js(server, wait=False, auth={"slow": True}, transports=["websocket"])
    sid = await checking.next()
    await leaver.close()
    release.set()
    await until(lambda: sio.rooms(sid) == [], "the end of the client that left")
    await until(lambda: sio.get_environ(sid) is None, "the end of its environ")
    witness = await connect_js(server)
    await sio.emit("anybody there?")
    await witness.receive("anybody there?")


@both_clients
@pytest.mark.ferrio_only(
    "python-socketio sends a bare text, where clients look for an object with a message."
)
async def test_unknown_namespace(serve, connect):
    """a namespace that does not exist is refused"""
    sio = new_server()
    client = await connect(await serve(sio), wait=False, namespace="/nowhere")
    assert (await client.refused())["message"] == "Invalid namespace"


@pytest.mark.ferrio_only("python-socketio keeps a client that joins nothing as long as it answers pings.")
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_joining_nothing(serve, wire, transport):
    """a client that joins no namespace in time is closed"""
    sio = new_server(connect_timeout=0.2)
    http = wire(await serve(sio))
    if transport == "websocket":
        websocket = await http.websocket()
        assert len(await websocket.until_closed()) == 1
    else:
        session = await http.open_session()
        assert await session.receive() == "1"
        assert await session.is_gone()


@pytest.mark.ferrio_only("python-socketio hands whatever the payload is to the connect handler.")
@pytest.mark.parametrize("packet", ['40"text"', "40[1]", "40{", "40tru"])
async def test_malformed_auth(serve, wire, packet):
    """a client with a malformed auth payload is closed"""
    sio = new_server()
    connects = connects_of(sio)
    http = wire(await serve(sio))
    websocket = await http.websocket()
    await websocket.receive()
    await websocket.send(packet)
    assert await websocket.until_closed() == []
    assert connects.seen == []


@both_clients
async def test_reconnecting(serve, connect):
    """a reconnecting client gets a new socket id"""
    sio = new_server()
    server = await serve(sio)
    first = await connect(server)
    await first.disconnect()
    await first.disconnected()
    second = await connect(server)
    assert second.sid
    assert second.sid != first.sid
