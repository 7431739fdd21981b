"""The admin UI: what its clients are shown, what they can do, and who may be one."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from support.node_client import NodeClient
from support.target import new_server
from support.waiting import Mailbox, until

bounded = pytest.mark.ferrio_only("python-socketio has no bounds here, and less to say.")
different = pytest.mark.ferrio_only(
    "python-socketio patches classes for good, and sends late what it has to say."
)

PASSWORD = "$2b$04$xFDA.aJoY8QG8T.R8BNCWebbXBNAHyV7IcvnWoBsjsGRVb5xzyZ/e"
"""Of "changeit", with the lowest cost."""

CREDENTIALS = {"username": "admin", "password": "changeit"}

COMMANDS = {"EMIT", "JOIN", "LEAVE", "DISCONNECT", "MJOIN", "MLEAVE", "MDISCONNECT"}


async def hears(client: NodeClient, event: str, test: Any = lambda *_: True) -> tuple[Any, ...]:
    """The arguments of the first event of this name that passes the test."""
    found: list[tuple[Any, ...]] = []

    def look() -> bool:
        found[:] = [args for args in client.received(event) if test(*args)]
        return bool(found)

    await until(look, f"the event {event!r}")
    return found[0]


async def admin_of(connect_js: Any, server: Any, auth: Any = None) -> NodeClient:
    """An admin client."""
    options = {} if auth is None else {"auth": auth}
    client: NodeClient = await connect_js(server, namespace="/admin", **options)
    return client


def instrumented(**options: Any) -> Any:
    """A server that admin clients can see, and that answers `ask`."""
    sio = new_server()
    sio.instrument(**{"auth": False, **options})

    @sio.on("ask")
    async def ask(sid: str, *args: Any) -> Any:
        return args

    return sio


def is_time(text: str) -> bool:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) is not None


@different
async def test_features(serve, connect_js):
    """the UI is told what it can do"""
    for read_only, mode, expected in (
        (False, "development", COMMANDS | {"AGGREGATED_EVENTS", "ALL_EVENTS"}),
        (True, "development", {"AGGREGATED_EVENTS", "ALL_EVENTS"}),
        (True, "production", {"AGGREGATED_EVENTS"}),
    ):
        sio = instrumented(read_only=read_only, mode=mode)
        admin = await admin_of(connect_js, await serve(sio))
        config = (await hears(admin, "config"))[0]
        assert set(config["supportedFeatures"]) == expected


@different
async def test_counters(serve, connect_js):
    """counters are shown, and in production nothing else"""
    sio = instrumented(mode="production", server_id="the server", server_stats_interval=0.1)
    server = await serve(sio)
    admin = await admin_of(connect_js, server)
    await hears(admin, "server_stats")
    client = await connect_js(server, transports=["polling"])
    assert await client.call("ask", 1) == (1,)
    stats = (await hears(admin, "server_stats", lambda stats: stats["clientsCount"] == 2))[0]
    assert stats["serverId"] == "the server"
    assert stats["uptime"] < 60
    assert {"name": "/", "socketsCount": 1} in stats["namespaces"]

    def counted() -> set[str]:
        lines = [line for stats in admin.received("server_stats") for line in stats[0]["aggregatedEvents"]]
        return {f"{line['type']}: {line.get('subType')}" for line in lines if line["count"] > 0}

    await client.disconnect()
    await client.close()
    plain = {f"{kind}: None" for kind in ("rawConnection", "packetsIn", "packetsOut", "bytesIn", "bytesOut")}
    await until(lambda: counted() >= plain | {"rawDisconnection: transport close"}, "the counters")
    assert not admin.received("all_sockets")
    assert not admin.received("socket_connected")


@different
async def test_sockets_and_events(serve, connect_js):
    """sockets, rooms and events are shown as they come and go"""
    sio = instrumented()
    server = await serve(sio)
    first = await connect_js(
        server,
        transports=["websocket"],
        query={"lang": "de"},
        extraHeaders={"cookie": "a=secret", "x-own": "1"},
    )
    await sio.enter_room(first.sid, "blue")
    await sio.enter_room(first.sid, 5)
    await sio.enter_room(first.sid, ("a", "tuple"))
    admin = await admin_of(connect_js, server)
    [shown] = [socket for socket in (await hears(admin, "all_sockets"))[0] if socket["id"] == first.sid]
    assert shown["clientId"] == first.engine_sid[:12]
    assert (shown["transport"], shown["nsp"], shown["data"]) == ("websocket", "/", {})
    assert shown["handshake"]["query"]["lang"] == "de"
    assert shown["handshake"]["headers"]["cookie"] == "[redacted]"
    assert shown["handshake"]["headers"]["x-own"] == "1"
    assert {first.sid, "blue", 5} <= set(shown["rooms"])

    second = await connect_js(server, transports=["polling", "websocket"])
    connected = await hears(admin, "socket_connected", lambda socket, _: socket["id"] == second.sid)
    assert is_time(connected[1])
    await sio.enter_room(second.sid, "green")
    assert (await hears(admin, "room_joined", lambda _nsp, room, *_: room == "green"))[2] == second.sid
    await sio.leave_room(second.sid, "green")
    assert (await hears(admin, "room_left", lambda _nsp, room, *_: room == "green"))[2] == second.sid

    assert await second.call("ask", b"\1\2", 3) == (b"\1\2", 3)
    received = await hears(admin, "event_received")
    assert received[:3] == ("/", second.sid, ["ask", b"\1\2", 3])
    await sio.emit("all", (1, {"b": 2}))
    for client in (first, second):
        sent = await hears(admin, "event_sent", lambda _nsp, sid, *_, to=client.sid: sid == to)
        assert sent[2] == ["all", 1, {"b": 2}]

    await second.upgraded()
    await hears(
        admin,
        "socket_updated",
        lambda socket: (socket["id"], socket.get("transport")) == (second.sid, "websocket"),
    )
    await second.disconnect()
    gone = await hears(admin, "socket_disconnected", lambda _nsp, sid, *_: sid == second.sid)
    assert gone[0] == "/"
    assert is_time(gone[3])
    await hears(admin, "room_left", lambda _nsp, room, *_: room == second.sid)


@different
async def test_commands(serve, connect_js):
    """a UI emits, joins, leaves and disconnects; what makes no sense is ignored"""
    sio = instrumented()
    server = await serve(sio)
    clients = [await connect_js(server) for _ in range(3)]
    admin = await admin_of(connect_js, server)
    first, second, third = (client.sid for client in clients)
    for arguments in (
        (),
        (None,),
        ("/unknown", "a"),
        ({}, [], {}),
        ("/", ["room"] * 2000, ["room"] * 2000),
        ("/", True, [1]),
        ("/", False, []),
        ("/", {"a": 1}, {"b": 2}),
    ):
        for command in ("emit", "join", "leave", "_disconnect"):
            await admin.emit(command, *arguments)
    # The room of another client.
    await admin.emit("join", "/", first, second)
    await admin.emit("join", "/", "one", first)
    await until(lambda: "one" in sio.rooms(first), "the room")
    assert "one" not in sio.rooms(second)
    assert first not in sio.rooms(second)
    await admin.emit("join", "/", "all")
    await until(lambda: "all" in sio.rooms(third), "the room of all")
    await admin.emit("leave", "/", "all", "one")
    await until(lambda: "all" not in sio.rooms(first), "the leaving")
    assert "all" in sio.rooms(second)
    await admin.emit("emit", "/", "one", "to the room", 1)
    await admin.emit("emit", "/", None, "to everybody", 2, {"b": 3})
    for client in clients:
        assert await client.receive("to everybody") == (2, {"b": 3})
    assert [client.received("to the room") for client in clients] == [[(1,)], [], []]
    await admin.emit("_disconnect", "/", False, "one")
    await until(lambda: not sio.manager.is_connected(first, "/"), "the end of the first")
    assert sio.manager.is_connected(second, "/")
    await admin.emit("_disconnect", "/", True)
    await until(lambda: "/" not in sio.manager.get_namespaces(), "the end of the others")


@different
async def test_read_only(serve, connect_js):
    """a UI that may only read changes nothing"""
    sio = instrumented(read_only=True)
    server = await serve(sio)
    client = await connect_js(server)
    admin = await admin_of(connect_js, server)
    await admin.emit("_disconnect", "/", True)
    await admin.emit("join", "/", "taken")
    # Its events are handled in their order.
    await hears(admin, "server_stats")
    assert await client.call("ask", 1) == (1,)
    assert sio.rooms(client.sid) == [client.sid]


async def refusal(connect_js: Any, server: Any, auth: Any) -> str:
    client = await connect_js(server, wait=False, namespace="/admin", auth=auth)
    message: str = (await client.refused())["message"]
    return message


@different
async def test_forms_of_auth(serve, connect_js):
    """an account, one of several, a function, and a bcrypt hash let admin clients in"""

    async def ask(auth: Any) -> bool:
        return bool(auth == CREDENTIALS)

    for auth in (
        CREDENTIALS,
        [{"username": "other", "password": "other"}, CREDENTIALS],
        lambda auth: auth == CREDENTIALS,
        ask,
        {"type": "basic", "username": "admin", "password": PASSWORD},
    ):
        server = await serve(instrumented(auth=auth))
        for wrong in (
            {"username": "admin", "password": "wrong"},
            {"username": "root", "password": "changeit"},
            {"username": ["admin"], "password": {}},
            {"username": "admin"},
            {"sessionId": "guessed"},
            {},
        ):
            assert await refusal(connect_js, server, wrong) == "authentication failed"
        admin = await admin_of(connect_js, server, CREDENTIALS)
        session = (await hears(admin, "session"))[0]
        again = await admin_of(connect_js, server, {"sessionId": session})
        await hears(again, "config")


@bounded
async def test_flood(serve, connect_js):
    """a flood of wrong passwords is refused"""
    for auth in (CREDENTIALS, {"type": "basic", "username": "admin", "password": PASSWORD}):
        server = await serve(instrumented(auth=auth))
        answers = [
            await refusal(connect_js, server, {"username": "admin", "password": f"{guess}"})
            for guess in range(30)
        ]
        assert answers[0] == "authentication failed"
        assert "too many attempts, try again later" in answers


@bounded
async def test_bad_options():
    """bad options are refused by name"""
    for options, message in (
        ({"auth": None}, "auth must be specified"),
        ({"auth": {}}, "option `auth`"),
        ({"auth": []}, "option `auth`"),
        ({"auth": 5}, "option `auth`"),
        ({"auth": True}, "option `auth`"),
        ({"auth": {"type": "basic", "username": "a"}}, "`username` and a `password`"),
        ({"auth": {"type": "basic", "username": "a", "password": "plain"}}, "must be a valid bcrypt hash"),
        ({"mode": "test"}, "option `mode`"),
        ({"server_stats_interval": 0.01}, "option `server_stats_interval` must be from 0.1 to 3600"),
    ):
        with pytest.raises(ValueError, match=message):
            new_server().instrument(**{"auth": False, **options})
    sio = new_server()
    sio.instrument(auth=False)
    with pytest.raises(ValueError, match="instrumented already"):
        sio.instrument(auth=False)


@bounded
async def test_uninstrument(serve, connect_js):
    """a server that is not instrumented any more tells its admin clients nothing"""
    sio = new_server()
    admin_ui = sio.instrument(auth=False, server_stats_interval=0.1)
    server = await serve(sio)
    connects: Mailbox[str] = Mailbox("connects")
    sio.on("connect", lambda sid, _environ: connects.put(sid))
    admin = await admin_of(connect_js, server)
    await hears(admin, "all_sockets")
    admin_ui.uninstrument()
    late = await connect_js(server)
    await connects.next()
    await sio.emit("fence", namespace="/admin")
    await admin.receive("fence")
    assert late.sid not in {socket["id"] for socket, _ in admin.received("socket_connected")}
