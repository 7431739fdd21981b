"""Requests: which are refused, and what the answers look like."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import pytest

from engine.target import new_server

POLLING = {"EIO": "4", "transport": "polling"}
SID = {"sid": "nobody"}


REFUSALS: dict[str, tuple[str, dict[str, str]]] = {
    "an unknown transport": ("GET", {**POLLING, "transport": "pigeon"}),
    "no version of the protocol": ("GET", {"transport": "polling"}),
    "an old version of the protocol": ("GET", {**POLLING, "EIO": "3"}),
    "a version that does not exist yet": ("GET", {**POLLING, "EIO": "5"}),
    "a WebSocket by a plain request": ("GET", {**POLLING, "transport": "websocket"}),
    "a poll of nobody": ("GET", {**POLLING, **SID}),
    "messages of nobody": ("POST", {**POLLING, **SID}),
    "a POST without a session": ("POST", POLLING),
    "a JSONP index that is no number": ("GET", {**POLLING, "j": "abc"}),
}


@pytest.mark.parametrize("case", REFUSALS)
async def test_refused(serve, wire, case):
    """requests that make no sense are answered with 400, and open nothing"""
    eio = new_server()
    method, query = REFUSALS[case]
    body = "4hello" if method == "POST" else None
    assert (await wire(await serve(eio)).request(method, query, body)).status == 400
    assert len(eio.sockets) == 0


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
async def test_other_methods(serve, wire, method):
    """other methods are refused"""
    assert (await wire(await serve(new_server())).request(method, POLLING)).status in (400, 405)


async def test_plain_request_of_a_session(serve, wire):
    """a session's WebSocket by a plain request is refused, and the session goes on"""
    eio = new_server()
    http = wire(await serve(eio))
    session = await http.open_session()
    assert (await http.request("GET", {**session.query, "transport": "websocket"})).status == 400
    await eio.send(session.sid, "still here")
    assert await session.receive() == "4still here"


async def test_post(serve, wire):
    """a POST is answered with 200"""
    session = await wire(await serve(new_server())).open_session()
    answer = await session.post("4hello")
    assert (answer.status, answer.text.lower()) == (200, "ok")


async def test_jsonp(serve, wire):
    """JSONP is answered with a script"""
    answer = await wire(await serve(new_server())).request("GET", {**POLLING, "j": "3"})
    assert answer.status == 200
    assert answer.text.startswith('___eio[3]("0{')
    assert answer.text.endswith('");')


OWN = "same origin"
ORIGINS: list[tuple[Any, str, bool]] = [
    (None, OWN, True),
    (None, "http://elsewhere.example", False),
    ("*", "http://elsewhere.example", True),
    (["*"], "http://elsewhere.example", True),
    ("http://a.example", "http://a.example", True),
    ("http://a.example", "http://b.example", False),
    (["http://a.example", "http://b.example"], "http://b.example", True),
    (["http://a.example", "http://b.example"], "http://c.example", False),
    ([], "http://elsewhere.example", True),
    (lambda origin: origin.startswith("http://a."), "http://a.example", True),
    (lambda origin: origin.startswith("http://a."), "http://b.example", False),
    (lambda origin, environ: environ["PATH_INFO"] == "/engine.io/", "http://a.example", True),
]


@pytest.mark.parametrize(("allowed", "origin", "is_allowed"), ORIGINS)
async def test_origins(serve, wire, allowed, origin, is_allowed):
    """cors_allowed_origins decides about requests of pages"""
    server = await serve(new_server(cors_allowed_origins=allowed))
    origin = server.url if origin == OWN else origin
    answer = await wire(server).request("GET", POLLING, headers={"Origin": origin})
    assert answer.status == (200 if is_allowed else 400)
    if allowed == []:
        assert not any(name.startswith("Access-Control") for name in answer.headers)
    elif is_allowed:
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert answer.headers["Access-Control-Allow-Credentials"] == "true"
    else:
        assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.parametrize(("origin", "is_allowed"), [("http://a.example", True), ("http://b.example", False)])
async def test_origin_of_a_websocket(serve, wire, origin, is_allowed):
    """origins are looked at for WebSockets, too"""
    eio = new_server(cors_allowed_origins=["http://a.example"])
    http = wire(await serve(eio))
    if is_allowed:
        websocket = await http.websocket(headers={"Origin": origin})
        assert str(await websocket.receive())[0] == "0"
        return
    with pytest.raises(Exception, match=r"40[03]"):
        await http.websocket(headers={"Origin": origin})
    assert len(eio.sockets) == 0


async def test_no_credentials(serve, wire):
    """cors_credentials=False keeps pages from sending credentials"""
    http = wire(await serve(new_server(cors_allowed_origins="*", cors_credentials=False)))
    answer = await http.request("GET", POLLING, headers={"Origin": "http://a.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "http://a.example"
    assert "Access-Control-Allow-Credentials" not in answer.headers


async def test_preflight(serve, wire):
    """OPTIONS asks what a page may do"""
    eio = new_server(cors_allowed_origins="*")
    answer = await wire(await serve(eio)).request(
        "OPTIONS",
        POLLING,
        headers={"Origin": "http://a.example", "Access-Control-Request-Headers": "X-Token"},
    )
    assert answer.status in (200, 204)
    assert answer.headers["Access-Control-Allow-Origin"] == "http://a.example"
    assert answer.headers["Access-Control-Allow-Headers"].lower() == "x-token"
    assert {"GET", "POST"} <= set(answer.headers["Access-Control-Allow-Methods"].replace(" ", "").split(","))
    assert len(eio.sockets) == 0


COMPRESSED: list[tuple[dict[str, Any], int, str, str | None]] = [
    ({}, 2000, "gzip", "gzip"),
    ({}, 2000, "deflate", "deflate"),
    ({}, 2000, "br, gzip;q=0.8", "gzip"),
    ({}, 2000, "identity", None),
    ({}, 500, "gzip", None),
    ({"http_compression": False}, 2000, "gzip", None),
    ({"compression_threshold": 5000}, 2000, "gzip", None),
    ({"compression_threshold": 400}, 500, "gzip", "gzip"),
]


@pytest.mark.parametrize(("options", "length", "accepted", "encoding"), COMPRESSED)
async def test_compression(serve, wire, options, length, accepted, encoding):
    """long polling answers are compressed as the client likes it"""
    eio = new_server(**options)
    session = await wire(await serve(eio)).open_session()
    await eio.send(session.sid, "x" * length)
    answer = await session.poll(**{"Accept-Encoding": accepted})
    assert answer.headers.get("Content-Encoding") == encoding
    decompress = {"gzip": gzip.decompress, "deflate": zlib.decompress, None: bytes}[encoding]
    assert decompress(answer.body) == b"4" + b"x" * length


async def test_environ(serve, wire):
    """the environment is that of WSGI, with the ASGI scope"""
    eio = new_server()
    seen: list[Any] = []
    eio.on("connect", lambda sid, environ: seen.append(environ))
    server = await serve(eio)
    await wire(server).request(
        "GET", {**POLLING, "token": "a b"}, headers={"X-Custom": "value", "User-Agent": "tester"}
    )
    environ = seen[0]
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["PATH_INFO"] == "/engine.io/"
    assert environ["QUERY_STRING"] in (
        "EIO=4&transport=polling&token=a+b",
        "EIO=4&transport=polling&token=a%20b",
    )
    assert environ["RAW_URI"] == f"/engine.io/?{environ['QUERY_STRING']}"
    assert environ["HTTP_X_CUSTOM"] == "value"
    assert environ["HTTP_USER_AGENT"] == "tester"
    assert environ["HTTP_HOST"] == f"127.0.0.1:{server.port}"
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert environ["wsgi.url_scheme"] == "http"
    assert environ["asgi.scope"]["type"] == "http"
    assert environ["asgi.scope"]["path"] == "/engine.io/"


async def test_environ_of_a_websocket(serve, wire):
    """the environment of a WebSocket is that of its request"""
    eio = new_server()
    seen: list[Any] = []
    eio.on("connect", lambda sid, environ: seen.append(environ))
    websocket = await wire(await serve(eio)).websocket(headers={"X-Custom": "value"})
    await websocket.receive()
    environ = seen[0]
    assert environ["REQUEST_METHOD"] == "GET"
    assert environ["HTTP_UPGRADE"].lower() == "websocket"
    assert environ["HTTP_X_CUSTOM"] == "value"
    assert environ["asgi.scope"]["type"] == "websocket"
