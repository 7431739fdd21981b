"""Transports: long-polling, WebSocket, the upgrade between them, and what HTTP answers to bad requests."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from typing import Any

import aiohttp
import pytest

from support.node_client import NodeClient
from support.target import QUICK_HEARTBEAT, new_server
from support.waiting import Mailbox, soon, until
from support.wire import Answer, raw_connection

both_clients = pytest.mark.clients("js", "python")
own_texts = pytest.mark.ferrio_only(
    "python-socketio answers bad requests with texts of its own instead of codes."
)

POLLING = {"EIO": "4", "transport": "polling"}

# python-socketio takes 16 packets in one post, and an attachment is a packet of its own.
OUTSTANDING = 8


def with_echo(**options: Any) -> Any:
    """A server that acknowledges `echo` with its own arguments."""
    sio = new_server(**options)

    @sio.event
    async def echo(sid, *args):
        return args

    return sio


def error_of(answer: Answer) -> tuple[int, int, str]:
    body = json.loads(answer.text)
    return answer.status, body["code"], body["message"]


async def both_ways(serve: Any, connect: Any, transport: str) -> None:
    sio = with_echo()
    client = await connect(await serve(sio), transports=[transport])
    await client.answer("question", {"a": [1]})
    assert client.transport == transport
    assert await client.call("echo", "text", b"\x00\xff", None) == ("text", b"\x00\xff", None)
    assert await sio.call("question", to=client.sid, timeout=10) == {"a": [1]}
    await sio.emit("news", ("text", b"\x00\xff"), to=client.sid)
    assert await client.receive("news") == ("text", b"\x00\xff")
    assert client.transport == transport


@both_clients
@pytest.mark.both_loops
async def test_polling_alone(serve, connect):
    """long-polling alone carries events and acks both ways"""
    await both_ways(serve, connect, "polling")


@both_clients
@pytest.mark.both_loops
async def test_websocket_alone(serve, connect):
    """WebSocket alone carries events and acks both ways"""
    await both_ways(serve, connect, "websocket")


@both_clients
@pytest.mark.both_loops
async def test_upgrade(serve, connect):
    """a client upgrades from long-polling to WebSocket"""
    sio = with_echo()
    client = await connect(await serve(sio))
    await until(lambda: client.transport == "websocket", "the client's upgrade")
    await until(lambda: sio.transport(client.sid) == "websocket", "the server's upgrade")
    assert await client.call("echo", "upgraded") == ("upgraded",)
    await sio.emit("news", to=client.sid)
    assert await client.receive("news") == ()


async def traffic_during_upgrade(sio: Any, client: NodeClient, value: Any) -> None:
    """Keeps events in flight both ways until the client has upgraded and for a while after; checks that all arrived in order."""
    heard: Mailbox[Any] = sio.heard[client.sid]
    count = 0
    after_the_upgrade = 0
    while after_the_upgrade < 3 * OUTSTANDING:
        await client.emit("number", count, value(count))
        await sio.emit("number", (count, value(count)), to=client.sid)
        count += 1
        after_the_upgrade += client.transport == "websocket"
        await heard.wait_for(count - OUTSTANDING)
        await client.receive_many("number", count - OUTSTANDING)
    expected = [(number, value(number)) for number in range(count)]
    assert await heard.wait_for(count) == expected
    assert await client.receive_many("number", count) == expected


def counting_server() -> Any:
    """A server that notes the numbers of each client in `sio.heard`."""
    sio = new_server()
    sio.heard = {}

    @sio.event
    async def connect(sid, environ, auth):
        sio.heard[sid] = Mailbox(f"numbers of {sid}")

    @sio.event
    async def number(sid, *args):
        sio.heard[sid].put(args)

    return sio


@pytest.mark.both_loops
async def test_upgrade_under_traffic(serve, connect_js):
    """an upgrade under traffic in both directions loses and reorders nothing"""
    sio = counting_server()
    client = await connect_js(await serve(sio))
    await traffic_during_upgrade(sio, client, str)


async def test_many_upgrades_under_traffic(serve, connect_js):
    """many clients upgrade under traffic at once"""
    sio = counting_server()
    server = await serve(sio)
    clients = await asyncio.gather(*(connect_js(server) for _ in range(20)))
    await asyncio.gather(*(traffic_during_upgrade(sio, client, str) for client in clients))


async def test_bytes_during_upgrade(serve, connect_js):
    """bytes sent during an upgrade arrive whole and in order"""
    sio = counting_server()
    client = await connect_js(await serve(sio))
    await traffic_during_upgrade(sio, client, lambda number: bytes([number % 256]) * number)


@both_clients
async def test_allow_upgrades(serve, connect, wire):
    """allowUpgrades false keeps a client on long-polling"""
    sio = with_echo(allow_upgrades=False)
    server = await serve(sio)
    assert (await wire(server).open_session()).handshake["upgrades"] == []
    client = await connect(server)
    for number in range(5):
        assert await client.call("echo", number) == (number,)
    assert client.transport == "polling"
    assert sio.transport(client.sid) == "polling"


@both_clients
async def test_polling_only(serve, connect):
    """transports restricted to polling refuse a WebSocket"""
    sio = with_echo(transports=["polling"])
    server = await serve(sio)
    refused = await connect(server, wait=False, transports=["websocket"])
    await refused.refused()
    client = await connect(server)
    assert await client.call("echo", 1) == (1,)
    assert client.transport == "polling"


@both_clients
async def test_websocket_only(serve, connect):
    """transports restricted to WebSocket refuse long-polling"""
    sio = with_echo(transports=["websocket"])
    server = await serve(sio)
    refused = await connect(server, wait=False, transports=["polling"])
    await refused.refused()
    client = await connect(server, transports=["websocket"])
    assert await client.call("echo", 1) == (1,)


async def test_falling_back(serve, connect_js):
    """a client falls back to long-polling when WebSocket is refused"""
    sio = with_echo(transports=["polling"])
    client = await connect_js(await serve(sio), transports=["websocket", "polling"], tryAllTransports=True)
    assert client.transport == "polling"
    assert await client.call("echo", 1) == (1,)


@pytest.mark.ferrio_only("python-socketio answers every poll with noop while a probe is open.")
async def test_unfinished_probe(serve, wire):
    """a probe that never completes leaves long-polling working"""
    sio = with_echo()
    session = await wire(await serve(sio)).join()
    websocket = await session.wire.websocket(sid=session.sid)
    await websocket.send("2probe")
    assert await websocket.receive() == "3probe"
    for number in range(5):
        await session.post(f'42{number}["echo",{number}]')
        packet = await session.receive()
        while packet == "6":
            packet = await session.receive()
        assert packet == f"43{number}[{number}]"


@own_texts
async def test_upgrade_with_another_version(serve, wire):
    """an upgrade that is not asked for by the session's protocol version is refused"""
    sio = with_echo(allow_eio3=True)
    session = await wire(await serve(sio)).join()
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        await session.wire.websocket(EIO="3", sid=session.sid)
    assert refusal.value.status == 400
    await session.post('421["echo"]')
    assert await session.receive() == "431[]"


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_pings(serve, connect_js, transport):
    """the server's pings keep an idle connection open"""
    sio = with_echo(**QUICK_HEARTBEAT)
    client = await connect_js(await serve(sio), transports=[transport])
    await client.heartbeats.wait_for(3)
    assert await client.call("echo", 1) == (1,)


async def test_own_path(serve, connect_js, wire):
    """an own path serves the engine and other paths do not"""
    sio = with_echo()
    server = await serve(sio, path="own/engine")
    client = await connect_js(server, path="/own/engine/")
    await client.upgraded()
    assert await client.call("echo", 1) == (1,)
    assert (await wire(server).request("GET", POLLING)).status == 404


@own_texts
async def test_code_0(serve, wire):
    """an unknown transport is code 0 "Transport unknown\""""
    http = wire(await serve(with_echo()))
    for query in (
        {"EIO": "4", "transport": "carrier pigeon"},
        {"EIO": "4"},
        {"EIO": "4", "transport": "constructor"},
    ):
        assert error_of(await http.request("GET", query)) == (400, 0, "Transport unknown")


@own_texts
async def test_code_1(serve, wire):
    """an unknown session is code 1 "Session ID unknown\""""
    http = wire(await serve(with_echo()))
    for method in ("GET", "POST"):
        answer = await http.request(method, {**POLLING, "sid": "unknown"})
        assert error_of(answer) == (400, 1, "Session ID unknown")


@own_texts
async def test_code_2(serve, wire):
    """a handshake by POST is code 2 "Bad handshake method\""""
    http = wire(await serve(with_echo()))
    assert error_of(await http.request("POST", POLLING)) == (400, 2, "Bad handshake method")


@own_texts
async def test_code_3(serve, wire):
    """a request of another transport for the session is code 3 "Bad request\""""
    http = wire(await serve(with_echo()))
    session = await http.open_session()
    answer = await http.request("GET", {"EIO": "4", "transport": "websocket", "sid": session.sid})
    assert error_of(answer) == (400, 3, "Bad request")
    websocket = await http.websocket()
    sid = json.loads(str(await websocket.receive())[1:])["sid"]
    assert error_of(await http.request("GET", {**POLLING, "sid": sid})) == (400, 3, "Bad request")


@own_texts
async def test_code_5(serve, wire):
    """an unsupported protocol version is code 5"""
    http = wire(await serve(with_echo()))
    for query in ({"EIO": "3"}, {}):
        answer = await http.request("GET", {"transport": "polling", **query})
        assert error_of(answer) == (400, 5, "Unsupported protocol version")


@pytest.mark.ferrio_only("python-socketio lets both polls wait.")
async def test_two_polls(serve, wire):
    """two polls at the same time close the session"""
    session = await wire(await serve(with_echo())).join()
    first, second = await asyncio.gather(session.poll(), session.poll())
    assert sorted([first.status, second.status]) == [200, 400]
    assert {first.status: first.text, second.status: second.text}[200] == "1"
    assert await session.is_gone()


@pytest.mark.ferrio_only("python-socketio takes posts that overlap.")
async def test_two_posts(serve, wire):
    """two posts at the same time close the session"""
    server = await serve(with_echo())
    session = await wire(server).join()
    _, writer = await raw_connection(server)
    target = f"/socket.io/?EIO=4&transport=polling&sid={session.sid}"
    writer.write(
        f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\nContent-Length: 10\r\n\r\n42".encode()
    )
    await writer.drain()

    async def until_refused() -> None:
        # The first request may still be on its way to the engine.
        while (await session.post("3")).status != 400:
            pass

    await soon(until_refused(), "the refusal")
    assert await session.is_gone()
    writer.close()


@pytest.mark.ferrio_only("python-socketio keeps the session.")
async def test_post_given_up(serve, wire):
    """a post that is given up before its body closes the session"""
    server = await serve(with_echo())
    session = await wire(server).join()
    reader, writer = await raw_connection(server)
    target = f"/socket.io/?EIO=4&transport=polling&sid={session.sid}"
    head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
    writer.write(head.encode())
    assert b" 100 " in await soon(reader.readline(), "the wish for the body")
    writer.close()
    assert await session.is_gone()


@pytest.mark.ferrio_only("python-socketio logs the error and keeps the session.")
@pytest.mark.parametrize("payload", ["", "abc", "4\x1e9", "\x1e", "x\x1e3", "4\udc80"], ids=ascii)
async def test_invalid_payload(serve, wire, payload):
    """a polling payload with an invalid packet closes the session"""
    session = await wire(await serve(with_echo())).join()
    # socket.io answers 200 and closes the session all the same.
    answer = await session.post(payload.encode("utf-8", "surrogateescape"))
    assert answer.status in (200, 400)
    assert await session.is_gone()


@pytest.mark.ferrio_only("python-socketio leaves the poll open until the next ping.")
async def test_close_ends_the_poll(serve, wire):
    """a poll under way is answered when the client closes"""
    sio = with_echo(ping_interval=3600)
    session = await wire(await serve(sio)).join()
    poll = await session.start_poll()
    assert (await session.post("1")).text == "ok"
    assert (await poll).text in ("6", "1")
    assert await session.is_gone()


@pytest.mark.ferrio_only("python-socketio does not look at the content type.")
async def test_binary_post(serve, wire):
    """a binary post is refused in protocol 4"""
    session = await wire(await serve(with_echo())).join()
    answer = await session.wire.request(
        "POST", session.query, b"3", {"Content-Type": "application/octet-stream"}
    )
    assert answer.status == 400
    assert await session.is_gone()


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_compressed_answer(serve, wire, encoding):
    """a polling answer above the threshold is compressed when the client accepts it"""
    sio = with_echo(compression_threshold=500)
    session = await wire(await serve(sio)).join()
    await sio.emit("news", "x" * 1000)
    answer = await session.poll(**{"Accept-Encoding": f"br, {encoding};q=0.8"})
    assert answer.headers["Content-Encoding"] == encoding
    plain = gzip.decompress(answer.body) if encoding == "gzip" else zlib.decompress(answer.body)
    assert plain.decode() == f'42["news","{"x" * 1000}"]'
    await sio.emit("news", "x" * 1000)
    assert "Content-Encoding" not in (await session.poll(**{"Accept-Encoding": "identity"})).headers


async def test_small_answer(serve, wire):
    """a polling answer below the threshold is not compressed"""
    sio = with_echo(compression_threshold=500)
    session = await wire(await serve(sio)).join()
    await sio.emit("news", "x" * 100)
    answer = await session.poll(**{"Accept-Encoding": "gzip, deflate"})
    assert "Content-Encoding" not in answer.headers
    assert answer.text == f'42["news","{"x" * 100}"]'


async def test_no_compression(serve, wire):
    """a polling answer is not compressed when compression is off"""
    sio = with_echo(compression_threshold=500, http_compression=False)
    session = await wire(await serve(sio)).join()
    await sio.emit("news", "x" * 1000)
    assert "Content-Encoding" not in (await session.poll(**{"Accept-Encoding": "gzip, deflate"})).headers


async def allowed_origin(http: Any, origin: str) -> str | None:
    """The origin that the server names to one that asks."""
    answer = await http.request("GET", POLLING, headers={"Origin": origin})
    value: str | None = answer.headers.get("Access-Control-Allow-Origin")
    return value


async def test_same_origin(serve, wire):
    """without the cors option only the server's own origin is let in"""
    server = await serve(with_echo())
    http = wire(server)
    assert (await http.request("GET", POLLING, headers={"Origin": server.url})).status == 200
    refusal = await http.request("GET", POLLING, headers={"Origin": "http://a.example"})
    assert refusal.status == 400
    assert "Access-Control-Allow-Origin" not in refusal.headers
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await http.websocket(headers={"Origin": "http://a.example"})


async def test_one_origin(serve, wire):
    """cors with one origin names that origin"""
    http = wire(await serve(with_echo(cors_allowed_origins="http://a.example")))
    assert await allowed_origin(http, "http://a.example") == "http://a.example"
    assert (await http.request("GET", POLLING, headers={"Origin": "http://b.example"})).status == 400


async def test_several_origins(serve, wire):
    """cors with a list names the origin that asks, if it is listed"""
    http = wire(await serve(with_echo(cors_allowed_origins=["http://a.example", "http://b.example"])))
    assert await allowed_origin(http, "http://a.example") == "http://a.example"
    assert await allowed_origin(http, "http://b.example") == "http://b.example"
    assert (await http.request("GET", POLLING, headers={"Origin": "http://c.example"})).status == 400


async def test_function_for_origins(serve, wire):
    """cors with a function asks it"""
    asked: list[tuple[str, str]] = []

    def allowed(origin: str, environ: Any) -> bool:
        asked.append((origin, environ["REQUEST_METHOD"]))
        return origin == "http://a.example"

    http = wire(await serve(with_echo(cors_allowed_origins=allowed)))
    assert await allowed_origin(http, "http://a.example") == "http://a.example"
    assert (await http.request("GET", POLLING, headers={"Origin": "http://b.example"})).status == 400
    assert {("http://a.example", "GET"), ("http://b.example", "GET")} <= set(asked)


async def test_every_origin(serve, wire):
    """cors with `*` names every origin"""
    http = wire(await serve(with_echo(cors_allowed_origins="*")))
    assert await allowed_origin(http, "http://a.example") == "http://a.example"
    assert await allowed_origin(http, "https://b.example:8443") == "https://b.example:8443"


async def test_credentials(serve, wire):
    """cors with credentials says so"""
    for credentials in (True, False):
        sio = with_echo(cors_allowed_origins="*", cors_credentials=credentials)
        answer = await wire(await serve(sio)).request("GET", POLLING, headers={"Origin": "http://a.example"})
        assert answer.headers.get("Access-Control-Allow-Credentials") == ("true" if credentials else None)


async def test_headers_of_polls_and_posts(serve, wire):
    """polls and posts carry the CORS headers too"""
    session = await wire(await serve(with_echo(cors_allowed_origins="*"))).open_session()
    for answer in (
        await session.post("40", Origin="http://a.example"),
        await session.poll(Origin="http://a.example"),
    ):
        assert answer.headers["Access-Control-Allow-Origin"] == "http://a.example"
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"


async def test_preflight(serve, wire):
    """a preflight request is answered with methods and headers"""
    http = wire(await serve(with_echo(cors_allowed_origins="*")))
    asking = {
        "Origin": "http://a.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "content-type,x-colour",
    }
    answer = await http.request("OPTIONS", POLLING, headers=asking)
    assert answer.status in (200, 204)
    assert answer.headers["Access-Control-Allow-Origin"] == "http://a.example"
    assert {"GET", "POST"} <= set(answer.headers["Access-Control-Allow-Methods"].replace(" ", "").split(","))
    assert answer.headers["Access-Control-Allow-Headers"] == "content-type,x-colour"


async def test_cookie(serve, wire):
    """a cookie is set when so configured"""
    answer = await wire(await serve(with_echo(cookie="io"))).request("GET", POLLING)
    sid = json.loads(answer.packets[0][1:])["sid"]
    cookie = answer.headers["Set-Cookie"].replace(" ", "").split(";")
    assert cookie[0] == f"io={sid}"
    assert "samesite=lax" in [part.lower() for part in cookie]
    answer = await wire(
        await serve(with_echo(cookie={"name": "own", "path": "/x", "HttpOnly": True}))
    ).request("GET", POLLING)
    cookie = answer.headers["Set-Cookie"].replace(" ", "").split(";")
    assert cookie[0].startswith("own=")
    assert {"path=/x", "httponly"} <= {part.lower() for part in cookie}
    assert "Set-Cookie" not in (await wire(await serve(with_echo())).request("GET", POLLING)).headers
