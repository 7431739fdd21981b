"""Disconnects: who caused them, and what each side is told."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from support.target import QUICK_HEARTBEAT, new_server
from support.waiting import Mailbox, soon, until

both_clients = pytest.mark.clients("js", "python")


def watched_server(**options: Any) -> tuple[Any, Mailbox[tuple[str, str]]]:
    """A server that acknowledges `echo` and notes the sid and reason of each disconnect."""
    sio = new_server(**options)
    gone: Mailbox[tuple[str, str]] = Mailbox("disconnect handlers")

    @sio.event
    async def echo(sid, *args):
        return args

    @sio.event
    async def disconnect(sid, reason):
        gone.put((sid, reason))

    return sio, gone


@both_clients
@pytest.mark.both_loops
async def test_client_disconnects(serve, connect):
    """a client that disconnects gives its reason on both sides"""
    sio, gone = watched_server()
    client = await connect(await serve(sio), transports=["websocket"])
    sid = client.sid
    await client.disconnect()
    noticed = await gone.next()
    # The Python client may close its WebSocket before its disconnect packet has left.
    assert noticed == (sid, "client disconnect") or (
        client.kind == "python" and noticed == (sid, "transport close")
    )
    assert await client.disconnected() in ("io client disconnect", "client disconnect")


@both_clients
@pytest.mark.both_loops
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_server_disconnects(serve, connect, transport):
    """a server that disconnects a socket gives its reason on both sides"""
    sio, gone = watched_server()
    client = await connect(await serve(sio), transports=[transport])
    sid = client.sid
    await sio.disconnect(sid)
    assert await gone.next() == (sid, "server disconnect")
    assert await client.disconnected() in ("io server disconnect", "server disconnect")


async def test_last_words(serve, connect_js):
    """a server that disconnects a socket gives its reason on both sides"""
    sio, _ = watched_server()
    client = await connect_js(await serve(sio))
    for number in range(3):
        await sio.emit("last words", number, to=client.sid)
    await sio.disconnect(client.sid)
    await client.disconnected()
    assert client.received("last words") == [(0,), (1,), (2,)]


@pytest.mark.ferrio_only("python-socketio cannot close the connection under a socket.")
async def test_server_closes_the_connection(serve, connect_js):
    """a server that closes the connection gives its reason on both sides"""
    sio, gone = watched_server(namespaces=["/", "/other"])
    other_gone: Mailbox[str] = Mailbox("disconnect handlers of /other")
    sio.on("disconnect", lambda sid, reason: other_gone.put(sid), namespace="/other")
    server = await serve(sio)
    main = await connect_js(server)
    other = await connect_js(server, namespace="/other", shared=main)
    await sio.disconnect_sockets(room=main.sid, close=True)
    assert await gone.next() == (main.sid, "server disconnect")
    assert await other_gone.next() == other.sid
    assert await main.disconnected() in ("io server disconnect", "transport close")
    assert await other.disconnected() in ("io server disconnect", "transport close")


async def test_lost_websocket(serve, connect_js):
    """a lost WebSocket is a transport close"""
    sio, gone = watched_server()
    client = await connect_js(await serve(sio), transports=["websocket"])
    client.cut()
    assert await gone.next() == (client.sid, "transport close")
    assert await client.disconnected() == "transport close"


@pytest.mark.parametrize(
    "transport",
    [
        "polling",
        pytest.param(
            "websocket",
            marks=pytest.mark.ferrio_only(
                "In python-socketio the WebSocket's own read mostly times out first."
            ),
        ),
    ],
)
async def test_missing_pongs(serve, wire, transport):
    """a client that stops answering pings is a ping timeout"""
    sio, gone = watched_server(**QUICK_HEARTBEAT)
    http = wire(await serve(sio))
    if transport == "websocket":
        websocket = await http.joined_websocket()
        assert (await websocket.until_closed())[0] == "2"
    else:
        session = await http.join()
        assert await session.receive() == "2"
        # Somebody has to poll for python-socketio to notice.
        await session.poll()
    _, reason = await gone.next()
    assert reason == "ping timeout"


async def test_missing_pings(serve, connect_js):
    """a server that stops pinging is a ping timeout on the client"""
    # No server can be kept from pinging in time, so the client is made to expect a ping sooner.
    sio, gone = watched_server(ping_interval=3600, ping_timeout=3600)
    client = await connect_js(await serve(sio), transports=["websocket"])
    client.expect_pings_within(200)
    assert await client.disconnected() == "ping timeout"
    assert await gone.next() == (client.sid, "transport close")


@pytest.mark.ferrio_only("python-socketio logs the error and keeps the connection.")
async def test_invalid_payload(serve, wire):
    """a payload that cannot be decoded is a parse error"""
    sio, gone = watched_server()
    session = await wire(await serve(sio)).join()
    await session.post("abc")
    _, reason = await gone.next()
    # In python-socketio's words; the core says "parse error".
    assert reason == "transport error"


@pytest.mark.ferrio_only("python-socketio's shutdown leaves its clients alone.")
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_shutdown(serve, connect_js, transport):
    """a server that shuts down says so to its sockets"""
    sio, gone = watched_server()
    client = await connect_js(await serve(sio), transports=[transport])
    await sio.shutdown()
    # In python-socketio's words; the core says "server shutting down".
    assert await gone.next() == (client.sid, "server disconnect")
    told = {"io server disconnect", "transport close"}
    # A poll that comes too late finds neither session nor port.
    assert await client.disconnected() in told | ({"transport error"} if transport == "polling" else set())


async def test_disconnecting(serve, connect_js):
    """disconnecting comes before disconnect and still has the rooms"""
    # Python has one event for both, so its handler still finds rooms, session and environ.
    sio = new_server()
    found: Mailbox[tuple[Any, ...]] = Mailbox("disconnect handlers")

    @sio.event
    async def disconnect(sid, reason):
        found.put((set(sio.rooms(sid)), await sio.get_session(sid), sio.get_environ(sid)["REQUEST_METHOD"]))

    client = await connect_js(await serve(sio))
    await sio.enter_room(client.sid, "a")
    await sio.save_session(client.sid, {"name": "Ada"})
    await client.disconnect()
    assert await found.next() == ({client.sid, "a"}, {"name": "Ada"}, "GET")
    await until(lambda: sio.rooms(client.sid) == [], "the end of the rooms")


async def test_gone_socket(serve, connect_js):
    """a socket that is gone cannot join rooms, and emits to it are dropped"""
    sio, gone = watched_server()
    server = await serve(sio)
    client, other = await connect_js(server), await connect_js(server)
    await client.disconnect()
    await gone.next()
    await until(lambda: sio.rooms(client.sid) == [], "the end of the socket")
    with pytest.raises((ValueError, KeyError)):
        await sio.enter_room(client.sid, "a")
    await sio.emit("news", to=client.sid)
    await sio.leave_room(client.sid, "a")
    await sio.disconnect(client.sid)
    assert sio.rooms(client.sid) == []
    assert await other.call("echo", "still here") == ("still here",)
    assert len(gone.seen) == 1


async def test_event_behind_a_disconnect(serve, wire):
    """an event that follows a disconnect in the same read is not delivered"""
    sio, gone = watched_server()
    heard: Mailbox[int] = Mailbox("handlers")

    @sio.event
    async def number(sid, value):
        heard.put(value)

    session = await wire(await serve(sio)).join()
    await session.post('42["number",1]\x1e41\x1e42["number",2]')
    await gone.next()
    assert await heard.next() == 1
    with contextlib.suppress(AssertionError):
        # Comes back, or is refused, once everything in the payload was dealt with.
        await session.join()
    assert heard.seen == [1]


async def test_every_namespace_is_told(serve, connect_js):
    """every socket of a lost connection is disconnected once"""
    sio = new_server()
    gone: Mailbox[tuple[str, str, str]] = Mailbox("disconnect handlers")

    def register(namespace: str) -> None:
        async def disconnect(sid: str, reason: str) -> None:
            gone.put((namespace, sid, reason))

        sio.on("disconnect", disconnect, namespace=namespace)

    names = ["/", "/a", "/b"]
    for name in names:
        register(name)
    server = await serve(sio)
    main = await connect_js(server, transports=["websocket"])
    clients = [main, *[await connect_js(server, namespace=name, shared=main) for name in names[1:]]]
    main.cut()
    await gone.wait_for(3)
    later = await connect_js(server, namespace="/a")
    await sio.disconnect(later.sid, namespace="/a")
    await later.disconnected()
    expected = [(name, client.sid, "transport close") for name, client in zip(names, clients, strict=True)]
    assert sorted(gone.seen[:3]) == sorted(expected)
    assert len(gone.seen) == 4


@pytest.mark.ferrio_only(
    "python-socketio leaves the poll open until the next ping, and its own client waits for that."
)
@pytest.mark.clients("js", "python")
async def test_polling_client_leaves(serve, connect):
    """a polling client that disconnects ends its waiting poll"""
    sio, gone = watched_server(ping_interval=3600)
    client = await connect(await serve(sio), transports=["polling"])
    # The Python client's disconnect() returns only once its poll was answered.
    await soon(client.disconnect(), "the end of disconnect()")
    _, reason = await gone.next()
    assert reason == "client disconnect"
    await client.disconnected()


async def test_the_server_comes_back(serve, connect_js):
    """the client reconnects after the server went away and came back"""
    sio, _ = watched_server()
    server = await serve(sio)
    client = await connect_js(server, reconnection=True, reconnectionDelay=50, reconnectionDelayMax=50)
    first = client.sid
    await client.upgraded()
    await server.stop()
    assert await client.disconnected() in ("transport close", "io server disconnect")
    again, _ = watched_server()
    await serve(again, port=server.port)
    client.reconnect()
    assert await client.connected() != first
    assert await client.call("echo", "again") == ("again",)


async def test_disconnect_handler_that_waits(serve, connect_js):
    """every socket of a lost connection is disconnected once"""
    sio = new_server()
    calls: Mailbox[str] = Mailbox("disconnect handlers")
    release = asyncio.Event()

    @sio.event
    async def disconnect(sid, reason):
        calls.put(sid)
        await release.wait()

    client = await connect_js(await serve(sio), transports=["websocket"])
    client.cut()
    assert await calls.next() == client.sid
    await sio.disconnect(client.sid)
    release.set()
    await until(lambda: sio.rooms(client.sid) == [], "the end of the socket")
    assert len(calls.seen) == 1
