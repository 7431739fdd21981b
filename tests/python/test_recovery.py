"""Connection state recovery: who comes back as the same socket, and with which events."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from support.node_client import NodeClient
from support.target import ConnectionRefusedError, new_server
from support.waiting import Mailbox, until
from support.wire import RawWebSocket, Wire, connect_packet

pytestmark = pytest.mark.ferrio_only("python-socketio has no connection state recovery.")


class Recovering:
    """A server with recovery, and the disconnects that it noticed."""

    def __init__(self, seconds: float = 60, **recovery: Any) -> None:
        self.sio = new_server(connection_state_recovery={"max_disconnection_duration": seconds, **recovery})
        self.gone: Mailbox[str] = Mailbox("disconnect handlers")
        self.sio.on("disconnect", lambda sid, reason: self.gone.put(sid))
        self.sio.on("echo", lambda sid, *args: args)

    async def cut(self, client: NodeClient) -> None:
        """Breaks the connection without leaving the namespace and waits until the server has seen it."""
        client.cut()
        assert await self.gone.next() == client.sid
        await client.disconnected()


async def come_back(client: NodeClient) -> None:
    """Connects the client again, and waits until everything sent so far has arrived."""
    client.reconnect()
    await client.connected()
    await client.call("echo")


def heard_after(client: NodeClient, position: int) -> list[tuple[Any, ...]]:
    """The events since `position`, without the offset that each stored event carries as its last argument."""
    return [
        event[:-1] if len(event) > 1 and isinstance(event[-1], str) else event
        for event in client.heard[position:]
    ]


async def first_event(server: Recovering, client: NodeClient) -> None:
    await server.sio.emit("first", to=client.sid)
    await client.receive("first")


@pytest.mark.both_loops
async def test_in_time(serve, connect_js):
    """a client that comes back in time keeps its id, rooms and data"""
    one = Recovering()
    client = await connect_js(await serve(one.sio), transports=["websocket"])
    sid = client.sid
    assert not client.recovered
    await first_event(one, client)
    await one.sio.enter_room(sid, "a")
    await one.sio.save_session(sid, {"user": "ann", "list": [1, None]})
    await one.cut(client)
    await come_back(client)
    assert client.recovered
    assert client.sid == sid
    assert set(one.sio.rooms(sid)) == {sid, "a"}
    assert await one.sio.get_session(sid) == {"user": "ann", "list": [1, None]}


async def test_missed_events(serve, connect_js):
    """missed events arrive in order and before new ones"""
    one = Recovering()
    client = await connect_js(await serve(one.sio), transports=["websocket"])
    await first_event(one, client)
    await one.cut(client)
    position = len(client.heard)
    for number in range(10):
        await one.sio.emit("missed", {"n": number})
    client.reconnect()
    await client.connected()
    await one.sio.emit("new")
    await client.receive("new")
    events = [event for event in heard_after(client, position) if event != ("connect",)]
    assert events == [*(("missed", {"n": number}) for number in range(10)), ("new",)]


async def test_whose_events(serve, connect_js):
    """events that were missed in rooms and by broadcast arrive, others do not"""
    one = Recovering()
    server = await serve(one.sio)
    client = await connect_js(server, transports=["websocket"])
    other = await connect_js(server)
    await first_event(one, client)
    await one.sio.enter_room(client.sid, "room")
    await one.cut(client)
    position = len(client.heard)
    await one.sio.emit("room", room="room")
    await one.sio.emit("other room", room="other room")
    await one.sio.emit("except", except_rooms="room")
    await one.sio.emit("private", to=client.sid)
    await one.sio.emit("to another", to=other.sid)
    await one.sio.emit("broadcast", skip_sid=other.sid)
    await come_back(client)
    assert [event[0] for event in client.heard[position:] if event != ("connect",)] == [
        "room",
        "private",
        "broadcast",
    ]


async def test_too_late(serve, connect_js):
    """a client that comes back too late gets a new id"""
    one = Recovering(0.05)
    client = await connect_js(await serve(one.sio), transports=["websocket"])
    sid = client.sid
    await first_event(one, client)
    await one.cut(client)
    late = time.monotonic() + 0.2
    await until(lambda: time.monotonic() > late, "the end of the time to recover")
    await come_back(client)
    assert not client.recovered
    assert client.sid != sid
    assert one.sio.rooms(client.sid) == [client.sid]


async def resume(wire: Wire, session: Any) -> tuple[RawWebSocket, dict[str, Any]]:
    """Joins the main namespace with what a client remembers of its session."""
    websocket = await wire.websocket()
    await websocket.receive()
    await websocket.send(connect_packet(auth=session))
    while True:
        packet = str(await websocket.receive())
        if packet.startswith("40"):
            return websocket, json.loads(packet[2:])


async def test_unknown_session(serve, wire):
    """an unknown private session id starts a new session"""
    http = wire(await serve(Recovering().sio))
    for session in (
        {"pid": "unknown", "offset": "x"},
        {"pid": "unknown"},
        {"pid": 1, "offset": {}},
        {"pid": None},
        {"pid": "__class__", "offset": ""},
    ):
        _, joined = await resume(http, session)
        assert joined["pid"] not in (joined["sid"], session["pid"])
        assert len(joined["pid"]) >= 20


async def test_left_on_purpose(serve, connect_js):
    """a client that left on purpose is not recovered"""
    one = Recovering()
    client = await connect_js(await serve(one.sio), transports=["websocket"])
    sid = client.sid
    await first_event(one, client)
    await client.disconnect()
    await one.gone.next()
    await come_back(client)
    assert not client.recovered
    assert client.sid != sid


async def test_missed_bytes(serve, connect_js):
    """missed bytes are replayed"""
    one = Recovering()
    client = await connect_js(await serve(one.sio), transports=["websocket"])
    await first_event(one, client)
    await one.cut(client)
    await one.sio.emit("bytes", (b"one", {"two": b"two"}))
    await come_back(client)
    assert (await client.receive("bytes"))[:2] == (b"one", {"two": b"two"})


async def test_skipped_middleware(serve, connect_js):
    """middleware is skipped for a recovered client by default"""
    # ferrio's default is the safer one; this asks for what socket.io does by default.
    one = Recovering(skip_middlewares=True)
    asked: Mailbox[str] = Mailbox("middleware")

    async def middleware(sid, environ, auth):
        asked.put(sid)

    one.sio.use(middleware)
    client = await connect_js(await serve(one.sio), transports=["websocket"])
    await first_event(one, client)
    await one.cut(client)
    await come_back(client)
    assert client.recovered
    assert len(asked.seen) == 1


async def test_middleware(serve, connect_js):
    """middleware runs for a recovered client when so configured"""
    one = Recovering(skip_middlewares=False)
    banned: list[bool] = []

    async def middleware(sid, environ, auth):
        if banned:
            raise ConnectionRefusedError("banned")

    one.sio.use(middleware)
    client = await connect_js(await serve(one.sio), transports=["websocket"])
    await first_event(one, client)
    await one.cut(client)
    banned.append(True)
    client.reconnect()
    assert (await client.refused())["message"] == "banned"


async def test_without_any_event(serve, connect_js):
    """a client that had no event yet is recovered"""
    one = Recovering()
    client = await connect_js(await serve(one.sio), transports=["websocket"])
    sid = client.sid
    await client.call("echo")
    await one.cut(client)
    await one.sio.emit("missed", 1)
    await come_back(client)
    assert client.recovered
    assert client.sid == sid
    assert [args[0] for args in client.received("missed")] == [1]


async def test_idle_for_long(serve, connect_js):
    """a client that was idle for long is recovered"""
    one = Recovering(0.5)
    client = await connect_js(await serve(one.sio), transports=["websocket"])
    await first_event(one, client)
    # Idle for longer than missed events are kept.
    idle = time.monotonic() + 1.2
    await until(lambda: time.monotonic() > idle, "the end of the idle time")
    await one.cut(client)
    await one.sio.emit("missed", 1)
    await come_back(client)
    assert client.recovered
    assert [args[0] for args in client.received("missed")] == [1]


async def test_volatile_text(serve, connect_js):
    """a volatile event's last text is not taken for an offset"""
    one = Recovering()
    client = await connect_js(await serve(one.sio), transports=["websocket"])
    await first_event(one, client)
    await client.call("echo")
    await one.sio.emit("fleeting", "a text", to=client.sid, volatile=True)
    await client.receive("fleeting")
    await one.cut(client)
    await one.sio.emit("missed", 1)
    await come_back(client)
    assert client.recovered
    assert [args[0] for args in client.received("missed")] == [1]


async def test_single_use(serve, wire):
    """a private session id works once"""
    one = Recovering()
    http = wire(await serve(one.sio))
    websocket, first = await resume(http, None)
    await one.sio.emit("first", to=first["sid"])
    offset = json.loads(str(await websocket.receive())[2:])[-1]
    await websocket.close()
    await one.gone.next()
    session = {"pid": first["pid"], "offset": offset}
    _, second = await resume(http, session)
    assert second == first
    _, third = await resume(http, session)
    assert third["sid"] != first["sid"]
    assert third["pid"] != first["pid"]


async def test_second_recovery(serve, connect_js):
    """a second recovery brings no event twice"""
    one = Recovering()
    client = await connect_js(await serve(one.sio), transports=["websocket"])
    await first_event(one, client)
    position = len(client.heard)
    for name in ("one", "two", "three"):
        await one.cut(client)
        await one.sio.emit(name)
        await come_back(client)
        assert client.recovered
    assert [event[0] for event in client.heard[position:] if event != ("connect",)] == ["one", "two", "three"]
