"""How a session begins, and what the connect handler decides."""

from __future__ import annotations

import json
from typing import Any

import engineio
import pytest

from engine.target import new_server, recorded
from support.wire import Answer, Wire

POLLING = {"EIO": "4", "transport": "polling"}


def handshake_of(answer: Answer) -> dict[str, Any]:
    """What the OPEN packet of an answer announces."""
    assert answer.status == 200, answer
    assert answer.text[0] == "0"
    announced: dict[str, Any] = json.loads(answer.packets[0][1:])
    return announced


async def handshake(http: Wire) -> dict[str, Any]:
    return handshake_of(await http.request("GET", POLLING))


async def refuses_websocket(http: Wire, **query: str) -> bool:
    """Whether a WebSocket is turned away, by the response or by the end of its connection."""
    try:
        websocket = await http.websocket(**query)
    except Exception:
        return True
    return await websocket.receive_or_end() is None


async def test_polling_handshake(serve, wire):
    """a polling handshake announces sid, upgrades, intervals and limit"""
    eio = new_server(ping_interval=25, ping_timeout=20, max_http_buffer_size=12345)
    answer = await wire(await serve(eio)).request("GET", POLLING)
    assert answer.headers["Content-Type"].lower().replace(" ", "") == "text/plain;charset=utf-8"
    announced = handshake_of(answer)
    assert announced.pop("sid") in eio.sockets
    assert announced == {
        "upgrades": ["websocket"],
        "pingInterval": 25000,
        "pingTimeout": 20000,
        "maxPayload": 12345,
    }


async def test_websocket_handshake(serve, wire):
    """a WebSocket handshake announces no upgrades"""
    eio = new_server()
    packet = str(await (await wire(await serve(eio)).websocket()).receive())
    announced = json.loads(packet[1:])
    assert packet[0] == "0"
    assert announced["sid"] in eio.sockets
    assert announced["upgrades"] == []


async def test_ping_grace_period(serve, wire):
    """a pair as ping interval is the interval and a period of grace, and their sum is announced"""
    announced = await handshake(wire(await serve(new_server(ping_interval=(7, 3)))))
    assert announced["pingInterval"] == 10000


async def test_no_upgrades(serve, wire):
    """allow_upgrades=False announces none"""
    assert (await handshake(wire(await serve(new_server(allow_upgrades=False)))))["upgrades"] == []


async def test_polling_only(serve, wire):
    """transports may leave out WebSocket"""
    http = wire(await serve(new_server(transports=["polling"])))
    assert await refuses_websocket(http)
    await handshake(http)


@pytest.mark.parametrize("transports", ["websocket", ["websocket"]])
async def test_websocket_only(serve, wire, transports):
    """transports may leave out polling"""
    eio = new_server(transports=transports)
    http = wire(await serve(eio))
    assert (await http.request("GET", POLLING)).status == 400
    assert str(await (await http.websocket()).receive())[0] == "0"


def test_no_valid_transport():
    """a server needs a transport that exists"""
    with pytest.raises(ValueError, match="transport"):
        new_server(transports=["carrier pigeon"])


def test_invalid_async_mode():
    """an async_mode that does not exist is refused"""
    with pytest.raises(ValueError, match="async_mode"):
        new_server(async_mode="carrier pigeon")


async def test_connect_handler(serve, connect):
    """the connect handler gets the sid that the client sees, and the environment"""
    eio = new_server()
    seen = []
    eio.on("connect", lambda sid, environ: seen.append((sid, environ["QUERY_STRING"])))
    client = await connect(await serve(eio), transports=["polling"])
    (sid, query) = seen[0]
    assert sid == client.sid
    assert "transport=polling" in query


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_coroutine_connect_handler(serve, connect, transport):
    """a connect handler may be a coroutine function, and ends before the client is connected"""
    eio = new_server()
    seen = []

    @eio.on("connect")
    async def on_connect(sid, environ):
        await eio.sleep()
        seen.append(sid)

    client = await connect(await serve(eio), transports=[transport])
    assert seen == [client.sid]


async def test_no_handlers(serve, connect):
    """a server without handlers accepts everybody"""
    eio = new_server()
    client = await connect(await serve(eio))
    await client.send("nobody hears this")
    assert client.sid in eio.sockets


@pytest.mark.parametrize("result", [None, True])
async def test_accepted(serve, wire, result):
    """None and True accept a client"""
    eio = new_server()
    eio.on("connect", lambda sid, environ: result)
    await handshake(wire(await serve(eio)))


@pytest.mark.parametrize(
    ("result", "told"),
    [
        (False, "Unauthorized"),
        ("", "Unauthorized"),
        (0, "Unauthorized"),
        ("not you", "not you"),
        ({"code": 7}, {"code": 7}),
        (["a", 1], ["a", 1]),
    ],
    ids=repr,
)
async def test_refused(serve, wire, result, told):
    """anything else refuses it with 401, and with what was returned as JSON"""
    eio = new_server()
    calls = recorded(eio)
    eio.on("connect", lambda sid, environ: result)
    answer = await wire(await serve(eio)).request("GET", POLLING)
    assert answer.status == 401
    assert answer.headers["Content-Type"].partition(";")[0] == "application/json"
    assert json.loads(answer.body) == told
    assert len(eio.sockets) == 0
    assert calls.seen == []


async def test_refused_by_exception(serve, wire):
    """a connect handler that raises refuses the client"""
    eio = new_server()

    @eio.on("connect")
    async def on_connect(sid, environ):
        raise RuntimeError("out of order")

    answer = await wire(await serve(eio)).request("GET", POLLING)
    assert (answer.status, json.loads(answer.body)) == (401, "Unauthorized")
    assert len(eio.sockets) == 0


async def test_refused_websocket(serve, wire):
    """a refused WebSocket is closed, and its client is not known"""
    eio = new_server()
    calls = recorded(eio)
    eio.on("connect", lambda sid, environ: False)
    assert await refuses_websocket(wire(await serve(eio)))
    assert len(eio.sockets) == 0
    assert calls.seen == []


async def test_refused_python_client(serve, connect):
    """python-engineio's client learns that and why it was refused"""
    eio = new_server()
    eio.on("connect", lambda sid, environ: "not you")
    server = await serve(eio)
    with pytest.raises(engineio.exceptions.ConnectionError) as refusal:
        await connect(server, transports=["polling"])
    assert refusal.value.args[1] == "not you"


async def test_refused_is_forgotten(serve, wire):
    """nothing is kept of a refused client"""
    eio = new_server()
    refused = []

    @eio.on("connect")
    async def on_connect(sid, environ):
        async with eio.session(sid) as session:
            session["name"] = "nobody"
        refused.append(sid)
        return False

    await wire(await serve(eio)).request("GET", POLLING)
    with pytest.raises(KeyError):
        await eio.get_session(refused[0])
    with pytest.raises(KeyError):
        eio.transport(refused[0])
    await eio.send(refused[0], "to nobody")


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_send_while_connecting(serve, connect_js, transport):
    """what the connect handler sends follows the handshake"""
    eio = new_server()

    @eio.on("connect")
    async def on_connect(sid, environ):
        await eio.send(sid, "welcome")
        await eio.send(sid, b"\x01")

    client = await connect_js(await serve(eio), transports=[transport])
    assert await client.messages.wait_for(2) == ["welcome", b"\x01"]


async def test_generated_id(serve, connect):
    """generate_id may be replaced, and names every session"""

    eio = new_server()
    names = iter(["first", "second"])
    eio.generate_id = lambda: next(names)
    server = await serve(eio)
    assert (await connect(server, transports=["polling"])).sid == "first"
    assert (await connect(server, transports=["websocket"])).sid == "second"
    assert list(eio.sockets) == ["first", "second"]


def test_generate_id():
    """ids are text that is never the same"""
    eio = new_server()
    ids = {eio.generate_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(isinstance(one, str) and len(one) == 20 for one in ids)


COOKIES: list[tuple[Any, str | None]] = [
    (None, None),
    ("io", "io={sid}; path=/; SameSite=Lax"),
    ({"name": "session", "path": "/engine.io"}, "session={sid}; path=/engine.io"),
    ({"path": "/"}, "io={sid}; path=/"),
    (
        {"name": "x", "HttpOnly": True, "Max-Age": lambda: "60", "SameSite": "None"},
        "x={sid}; HttpOnly; Max-Age=60; SameSite=None",
    ),
]


@pytest.mark.parametrize(("cookie", "expected"), COOKIES)
async def test_cookie(serve, wire, cookie, expected):
    """a polling handshake sets the cookie that was asked for"""
    answer = await wire(await serve(new_server(cookie=cookie))).request("GET", POLLING)
    sid = handshake_of(answer)["sid"]
    assert answer.headers.get("Set-Cookie") == (expected and expected.format(sid=sid))


async def test_cookie_once(serve, wire):
    """only the handshake sets the cookie"""
    eio = new_server(cookie="io")
    session = await wire(await serve(eio)).open_session()
    await eio.send(session.sid, "hello")
    answer = await session.poll()
    assert answer.text == "4hello"
    assert "Set-Cookie" not in answer.headers
