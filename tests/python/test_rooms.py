"""Rooms: who hears what, and what a server can do with their members."""

from __future__ import annotations

import enum
import math
import weakref
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest

from support.node_client import NodeClient
from support.target import new_server
from support.waiting import Mailbox, until

both_clients = pytest.mark.clients("js", "python")
excepting = pytest.mark.ferrio_only("python-socketio can leave out single clients only.")
fetching = pytest.mark.ferrio_only("python-socketio cannot list, move or disconnect the clients of a room.")


async def crowd(serve: Any, connect_js: Any, size: int, **options: Any) -> tuple[Any, list[NodeClient]]:
    """A server and `size` clients of it, over both transports."""
    sio = new_server(**options)
    server = await serve(sio)
    transports = (["websocket"], ["polling"])
    return sio, [await connect_js(server, transports=transports[idx % 2]) for idx in range(size)]


async def heard_by(sio: Any, clients: list[NodeClient], event: str) -> list[int]:
    """Which of `clients` heard `event`: a broadcast behind it shows that everything before has arrived."""
    await sio.emit("fence")
    for client in clients:
        await client.receive("fence")
    return [idx for idx, client in enumerate(clients) for _ in client.received(event)]


@both_clients
async def test_own_room(serve, connect):
    """a socket is in the room of its own id from the start"""
    sio = new_server()
    rooms: Mailbox[list[str]] = Mailbox("connect handlers")

    @sio.on("connect")
    async def connected(sid, environ, auth):
        rooms.put(list(sio.rooms(sid)))

    client = await connect(await serve(sio))
    assert await rooms.next() == [client.sid]
    await sio.emit("hello", room=client.sid)
    assert await client.receive("hello") == ()


@pytest.mark.both_loops
async def test_members_hear(serve, connect_js):
    """a room's members hear what is sent to it and others do not"""
    sio, clients = await crowd(serve, connect_js, 4)
    await sio.enter_room(clients[0].sid, "a")
    await sio.enter_room(clients[1].sid, "a")
    await sio.emit("news", {"n": 1}, room="a")
    assert await heard_by(sio, clients, "news") == [0, 1]
    assert clients[0].received("news") == [({"n": 1},)]


@both_clients
async def test_polling_receivers(serve, connect):
    """polling receivers hear what is sent to their rooms"""
    sio = new_server()
    client = await connect(await serve(sio), transports=["polling"])
    await sio.enter_room(client.sid, "a")
    await sio.emit("first", room="a")
    await sio.emit("other", room="b")
    await sio.emit("second", {"n": 1}, room="a")
    assert await client.receive("second") == ({"n": 1},)
    assert client.heard[1:] == [("first",), ("second", {"n": 1})]


async def test_join_and_leave(serve, connect_js):
    """joining and leaving take effect when the call returns"""
    sio, clients = await crowd(serve, connect_js, 2)
    sid = clients[0].sid
    await sio.enter_room(sid, "a")
    assert set(sio.rooms(sid)) == {sid, "a"}
    await sio.emit("inside", room="a")
    await sio.leave_room(sid, "a")
    assert sio.rooms(sid) == [sid]
    await sio.emit("outside", room="a")
    assert await heard_by(sio, clients, "inside") == [0]
    assert clients[0].received("outside") == []


async def test_several_rooms(serve, connect_js):
    """joining several rooms at once"""
    sio, clients = await crowd(serve, connect_js, 1)
    sid = clients[0].sid
    for room in ("a", "b", "c", "b"):
        await sio.enter_room(sid, room)
    assert sorted(sio.rooms(sid)) == sorted([sid, "a", "b", "c"])


async def test_heard_once(serve, connect_js):
    """a receiver in several addressed rooms gets the event once"""
    sio, clients = await crowd(serve, connect_js, 3)
    for room in ("a", "b"):
        await sio.enter_room(clients[0].sid, room)
    await sio.enter_room(clients[1].sid, "b")
    await sio.emit("news", to=["a", "b", clients[0].sid])
    assert await heard_by(sio, clients, "news") == [0, 1]


async def test_leaving_a_strange_room(serve, connect_js):
    """leaving a room that was never joined does nothing"""
    sio, clients = await crowd(serve, connect_js, 1)
    await sio.leave_room(clients[0].sid, "never joined")
    await sio.leave_room("nobody", "never joined")
    assert sio.rooms(clients[0].sid) == [clients[0].sid]
    assert await heard_by(sio, clients, "news") == []


async def test_sender_in_a_room(serve, connect_js):
    """a socket that sends to a room does not hear itself"""
    sio, clients = await crowd(serve, connect_js, 3)

    @sio.event
    async def say(sid, text):
        await sio.emit("said", text, room="a", skip_sid=sid)

    await sio.enter_room(clients[0].sid, "a")
    await sio.enter_room(clients[1].sid, "a")
    await clients[0].call("say", "hi")
    assert await heard_by(sio, clients, "said") == [1]


async def test_sender_of_a_broadcast(serve, connect_js):
    """a socket that broadcasts reaches everybody but itself"""
    sio, clients = await crowd(serve, connect_js, 4)

    @sio.event
    async def say(sid, text):
        await sio.emit("said", text, skip_sid=sid)

    await clients[2].call("say", "hi")
    assert await heard_by(sio, clients, "said") == [0, 1, 3]


async def test_private_message(serve, connect_js):
    """a private message goes by the own room of another socket"""
    sio, clients = await crowd(serve, connect_js, 3)

    @sio.event
    async def whisper(sid, receiver, text):
        await sio.emit("whispered", {"from": sid, "text": text}, to=receiver)

    await clients[0].call("whisper", clients[2].sid, "psst")
    assert await heard_by(sio, clients, "whispered") == [2]
    assert clients[2].received("whispered") == [({"from": clients[0].sid, "text": "psst"},)]


@excepting
async def test_except(serve, connect_js):
    """except leaves out a room's members"""
    sio, clients = await crowd(serve, connect_js, 4)
    await sio.enter_room(clients[1].sid, "quiet")
    await sio.enter_room(clients[2].sid, "quiet")
    await sio.emit("news", except_rooms="quiet")
    assert await heard_by(sio, clients, "news") == [0, 3]


@excepting
async def test_combination(serve, connect_js):
    """to, in and except combine and later calls do not alter earlier operators"""
    sio, clients = await crowd(serve, connect_js, 5)
    for idx, rooms in enumerate((["a"], ["b"], ["a", "quiet"], ["b"], [])):
        for room in rooms:
            await sio.enter_room(clients[idx].sid, room)
    await sio.emit("first", to=["a", "b"], skip_sid=clients[3].sid, except_rooms=["quiet", "unknown"])
    await sio.emit("second", to=["a"])
    await sio.emit("third", to="a", skip_sid=[clients[0].sid, clients[1].sid])
    assert await heard_by(sio, clients, "first") == [0, 1]
    assert [idx for idx, client in enumerate(clients) if client.received("second")] == [0, 2]
    assert [idx for idx, client in enumerate(clients) if client.received("third")] == [2]


async def test_unknown_room(serve, connect_js):
    """an unknown room reaches nobody"""
    sio, clients = await crowd(serve, connect_js, 2)
    await sio.emit("news", room="unknown")
    assert await heard_by(sio, clients, "news") == []


async def test_numbers_as_rooms(serve, connect_js):
    """numbers work as rooms"""
    sio, clients = await crowd(serve, connect_js, 2)
    await sio.enter_room(clients[1].sid, 42)
    assert 42 in sio.rooms(clients[1].sid)
    await sio.emit("news", room=42)
    assert await heard_by(sio, clients, "news") == [1]


class Marker:
    """Something that can be seen to go."""


class Level(enum.Enum):
    """An application's own values."""

    HIGH = 1


def other_values() -> list[Any]:
    """Rooms that are no texts."""
    return [
        42,
        0.5,
        float("inf"),
        2**60 + 1,
        b"42",
        (1, "2"),
        ((1,), None),
        frozenset({1}),
        Level.HIGH,
        object(),
        "\ud800",
        Fraction(1, 3),
    ]


async def test_texts_are_themselves(serve, connect_js):
    """a text enters no room that is not the very same text"""
    sio, clients = await crowd(serve, connect_js, 2)
    values = other_values()
    for value in values:
        await sio.enter_room(clients[1].sid, value)
    # What a hostile client may send as a room's name, where the application enters what clients name.
    texts = [
        form for value in values for form in (str(value), repr(value), f"\0int:{value}", f"\0other:{value}")
    ]
    texts += ["\ufffd", "\ud83d", "\udc00", "\\ud800", "\0", *map(str, range(300))]
    for text in texts:
        if text != "\ud800":
            await sio.enter_room(clients[0].sid, text)
    for value in values:
        await sio.emit("secret", room=[value])
    assert await heard_by(sio, clients, "secret") == [1] * len(values)


async def test_values_of_every_kind(serve, connect_js):
    """any value is a room of its own and comes back as it was"""
    sio, [client] = await crowd(serve, connect_js, 1)
    values = other_values()
    for value in values:
        await sio.enter_room(client.sid, value)
    assert set(sio.rooms(client.sid)) == {client.sid, *values}
    assert set(sio.manager.rooms["/"]) == {None, client.sid, *values}
    # The same keys of a dictionary are the same rooms.
    twins = [(42, 42.0), (0.5, Fraction(1, 2)), (2**60 + 1, Decimal(2**60 + 1)), ((1, "2"), (True, "2"))]
    for value, twin in twins:
        assert len({value, twin}) == 1
        await sio.emit("twin", room=[twin])
        await sio.leave_room(client.sid, twin)
        assert value not in sio.rooms(client.sid)
    # Bytes are one room also where several may be named.
    await sio.enter_room(client.sid, b"*")
    await sio.enter_room(client.sid, 42)
    await sio.emit("bytes", room=b"*")
    await client.receive("bytes")
    await sio.leave_room(client.sid, b"*")
    await sio.emit("stranger", room=b"*")
    await sio.leave_room(client.sid, 42)
    for stranger in (2**60, "42", b"4", (1, 2), object(), "\udfff", float("nan"), -math.inf):
        await sio.emit("stranger", room=[stranger])
    assert await heard_by(sio, [client], "twin") == [0] * len(twins)
    assert client.received("stranger") == []
    for unhashable in ([], {}, [[1]]):
        with pytest.raises(TypeError):
            await sio.enter_room(client.sid, unhashable)


async def test_passing_values(serve, connect_js):
    """values that were rooms once do not pile up, and those in use stay rooms"""
    sio, [client] = await crowd(serve, connect_js, 1)
    kept, passing = object(), []
    await sio.enter_room(client.sid, kept)
    for number in range(5000):
        marker = Marker()
        passing.append(weakref.ref(marker))
        await sio.enter_room(client.sid, (number, marker))
        await sio.leave_room(client.sid, (number, marker))
    assert sio.rooms(client.sid) == [client.sid, kept]
    await sio.emit("still there", room=[kept])
    assert await heard_by(sio, [client], "still there") == [0]
    # A collector of garbage may run at any time, so some of the last ones may still be there.
    assert sum(reference() is not None for reference in passing) < 3000


async def test_very_many_rooms(serve, connect_js):
    """a client that names very many rooms enters and leaves them all"""
    sio, [client] = await crowd(serve, connect_js, 1)
    named = [f"room {number}" for number in range(5000)]
    for room in named:
        await sio.enter_room(client.sid, room)
    assert sio.rooms(client.sid) == [client.sid, *named]
    await sio.emit("everywhere", room=named + named)
    assert await heard_by(sio, [client], "everywhere") == [0]
    for room in reversed(named):
        await sio.leave_room(client.sid, room)
    assert sio.rooms(client.sid) == [client.sid]


async def test_rooms_at_the_end(serve, connect_js):
    """rooms are complete in disconnecting and empty in disconnect"""
    # Python has one event for both: the rooms are there while its handler runs and gone afterwards.
    sio, clients = await crowd(serve, connect_js, 1)
    rooms: Mailbox[list[str]] = Mailbox("disconnect handlers")

    @sio.event
    async def disconnect(sid, reason):
        rooms.put(list(sio.rooms(sid)))

    sid = clients[0].sid
    await sio.enter_room(sid, "a")
    await clients[0].disconnect()
    assert sorted(await rooms.next()) == sorted([sid, "a"])
    await until(lambda: sio.rooms(sid) == [], "the end of the rooms")


async def test_empty_room(serve, connect_js):
    """a room without members is gone"""
    sio, clients = await crowd(serve, connect_js, 2)
    for client in clients:
        await sio.enter_room(client.sid, "a")
    assert "a" in sio.manager.rooms["/"]
    await sio.leave_room(clients[0].sid, "a")
    assert "a" in sio.manager.rooms["/"]
    await clients[1].disconnect()
    await until(lambda: "a" not in sio.manager.rooms["/"], "the end of the room")


async def test_namespaces_have_their_own_rooms(serve, connect_js):
    """rooms of namespaces with the same name are separate"""
    sio = new_server(namespaces=["/", "/other"])
    server = await serve(sio)
    main = await connect_js(server)
    other = await connect_js(server, namespace="/other", shared=main)
    await sio.enter_room(main.sid, "a")
    await sio.enter_room(other.sid, "a", namespace="/other")
    await sio.emit("news", "main", room="a")
    await sio.emit("news", "other", room="a", namespace="/other")
    assert await main.receive("news") == ("main",)
    assert await other.receive("news") == ("other",)
    await sio.leave_room(main.sid, "a")
    assert set(sio.rooms(other.sid, namespace="/other")) == {other.sid, "a"}


@pytest.mark.ferrio_only("python-socketio has no volatile, local or compress.")
async def test_flags(serve, connect_js):
    """local, volatile, compress and timeout combine with rooms"""
    sio, clients = await crowd(serve, connect_js, 3)
    await sio.enter_room(clients[0].sid, "a")
    await sio.enter_room(clients[2].sid, "a")
    await sio.emit("news", 1, room="a", local=True, compress=False)
    await sio.emit("news", 2, room="a", local=True)
    assert await heard_by(sio, clients, "news") == [0, 0, 2, 2]
    # A client is ready for a volatile event only when nothing waits for it.
    await sio.emit("fleeting", room="a", volatile=True, local=True)
    assert set(await heard_by(sio, clients, "fleeting")) <= {0, 2}
    await clients[0].answer("question", "zero")
    await clients[2].answer("question", "two")
    assert sorted(await sio.call_all("question", room="a", timeout=10)) == ["two", "zero"]


@pytest.mark.ferrio_only("python-socketio has no volatile.")
async def test_volatile(serve, connect_js):
    """a volatile event to a client that is ready arrives"""
    sio, clients = await crowd(serve, connect_js, 1)
    await sio.emit("news", "now", to=clients[0].sid, volatile=True)
    assert await clients[0].receive("news") == ("now",)


@fetching
async def test_fetch_sockets(serve, connect_js):
    """fetchSockets lists the sockets of a room with id, rooms, data and handshake"""
    sio, clients = await crowd(serve, connect_js, 3)
    await sio.enter_room(clients[1].sid, "a")
    await sio.save_session(clients[1].sid, {"name": "Ada"})
    (one,) = await sio.fetch_sockets(room="a")
    assert one.sid == clients[1].sid
    assert set(one.rooms) == {clients[1].sid, "a"}
    assert one.session == {"name": "Ada"}
    assert "transport=polling" in one.environ["QUERY_STRING"]
    assert one.transport == "polling"
    assert {socket.sid for socket in await sio.fetch_sockets()} == {client.sid for client in clients}
    assert await sio.fetch_sockets(room="unknown") == []


@fetching
async def test_sockets_join_and_leave(serve, connect_js):
    """socketsJoin and socketsLeave move the sockets of a room"""
    sio, clients = await crowd(serve, connect_js, 3)
    await sio.enter_room(clients[0].sid, "a")
    await sio.enter_room(clients[1].sid, "a")
    for one in await sio.fetch_sockets(room="a"):
        await one.enter_room("b")
        await one.enter_room("c")
    for one in await sio.fetch_sockets(room="b"):
        await one.leave_room("a")
    assert set(sio.rooms(clients[0].sid)) == {clients[0].sid, "b", "c"}
    await sio.emit("news", room="b")
    assert await heard_by(sio, clients, "news") == [0, 1]


@fetching
async def test_disconnect_sockets(serve, connect_js):
    """disconnectSockets disconnects the sockets of a room"""
    sio, clients = await crowd(serve, connect_js, 3)
    await sio.enter_room(clients[0].sid, "a")
    await sio.enter_room(clients[1].sid, "a")
    await sio.disconnect_sockets(room="a")
    assert [await client.disconnected() for client in clients[:2]] == ["io server disconnect"] * 2
    assert await heard_by(sio, clients[2:], "news") == []


@fetching
async def test_disconnect_sockets_with_close(serve, connect_js):
    """disconnectSockets with close ends the whole connection"""
    sio = new_server(namespaces=["/", "/other"])
    server = await serve(sio)
    main = await connect_js(server)
    other = await connect_js(server, namespace="/other", shared=main)
    await sio.enter_room(main.sid, "a")
    await sio.disconnect_sockets(room="a", close=True)
    await main.disconnected()
    await other.disconnected()


@fetching
async def test_fetched_socket(serve, connect_js):
    """a fetched socket can be emitted to, moved and disconnected"""
    sio, clients = await crowd(serve, connect_js, 2)
    await sio.enter_room(clients[1].sid, "a")
    (one,) = await sio.fetch_sockets(room="a")
    await one.emit("news")
    await one.enter_room("b")
    assert "b" in sio.rooms(clients[1].sid)
    assert await heard_by(sio, clients, "news") == [1]
    await one.disconnect()
    assert await clients[1].disconnected() == "io server disconnect"


async def test_close_room(serve, connect_js):
    """close_room empties a room"""
    sio, clients = await crowd(serve, connect_js, 3)
    await sio.enter_room(clients[0].sid, "a")
    await sio.enter_room(clients[1].sid, "a")
    await sio.emit("before", room="a")
    await sio.close_room("a")
    await sio.emit("after", room="a")
    assert await heard_by(sio, clients, "before") == [0, 1]
    assert [client.received("after") for client in clients] == [[], [], []]
    assert sio.rooms(clients[0].sid) == [clients[0].sid]
