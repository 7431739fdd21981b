"""The protocol documents of Engine.IO 4 and 3, sentence by sentence, over HTTP and a bare WebSocket."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import aiohttp
import pytest

from engine.target import QUICK, echo_server
from support.waiting import soon
from support.wire import Answer, PollingSession, RawWebSocket, Wire

strict = pytest.mark.ferrio_only("python-engineio tolerates what the protocol forbids.")
old = pytest.mark.ferrio_only("python-engineio serves version 4 of the protocol only.")

QUERY = {"EIO": "4", "transport": "polling"}
OLD_QUERY = {"EIO": "3", "transport": "polling", "b64": "1"}
ANNOUNCED = {
    "pingInterval": QUICK["ping_interval"] * 1000,
    "pingTimeout": QUICK["ping_timeout"] * 1000,
    "maxPayload": 1_000_000,
}


def conforming_server(**options: Any) -> Any:
    """The server that the official protocol suites ask for."""
    return echo_server(**{**QUICK, "async_handlers": False, **options})


def old_server(**options: Any) -> Any:
    """The same for clients of version 3, too."""
    return conforming_server(allow_eio3=True, **options)


def opened(packet: str, upgrades: list[str]) -> str:
    """Checks an OPEN packet, and returns its sid."""
    assert packet[0] == "0"
    handshake = json.loads(packet[1:])
    sid: str = handshake.pop("sid")
    assert isinstance(sid, str)
    assert sid
    assert handshake == {"upgrades": upgrades, **ANNOUNCED}
    return sid


async def next_packet(peer: PollingSession | RawWebSocket) -> str | bytes:
    """The next packet that is no ping; pings are answered."""
    while (packet := await peer.receive()) == "2":
        await (peer.post("3") if isinstance(peer, PollingSession) else peer.send("3"))
    return packet


async def open_websocket(http: Wire, **query: str) -> RawWebSocket:
    """A WebSocket whose OPEN packet has been read."""
    websocket = await http.websocket(**query)
    assert str(await websocket.receive())[0] == "0"
    return websocket


async def is_refused(http: Wire, query: dict[str, str]) -> bool:
    """Whether a WebSocket is refused."""
    async with aiohttp.ClientSession() as session:
        try:
            websocket = await session.ws_connect(http.url, params=query)
        except aiohttp.WSServerHandshakeError as refusal:
            # 403 is uvicorn's answer when an ASGI application does not accept.
            return refusal.status in (400, 403)
        # engine.io accepts it to give the reason as its close code.
        return await RawWebSocket(websocket).receive_or_end() is None


# Handshake.


async def test_polling_handshake(serve, wire):
    """a polling handshake opens a session"""
    answer = await wire(await serve(conforming_server())).request("GET", QUERY)
    assert answer.status == 200
    opened(answer.text, ["websocket"])


async def test_websocket_handshake(serve, wire):
    """a WebSocket handshake opens a session without upgrades"""
    websocket = await wire(await serve(conforming_server())).websocket()
    opened(str(await websocket.receive()), [])


@pytest.mark.parametrize("version", [{}, {"EIO": "abc"}])
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_unknown_version(serve, wire, version, transport):
    """a handshake without or with an unknown version is refused"""
    http = wire(await serve(conforming_server()))
    query = {"transport": transport, **version}
    if transport == "websocket":
        assert await is_refused(http, query)
    else:
        assert (await http.request("GET", query)).status == 400


@pytest.mark.parametrize("query", [pytest.param({"EIO": "4"}, marks=strict), {**QUERY, "transport": "abc"}])
async def test_unknown_transport(serve, wire, query):
    """a handshake without or with an unknown transport is refused"""
    http = wire(await serve(conforming_server()))
    assert (await http.request("GET", query)).status == 400
    assert await is_refused(http, query)


@pytest.mark.parametrize("method", ["POST", pytest.param("PUT", marks=strict)])
async def test_method(serve, wire, method):
    """a handshake by another method than GET is refused"""
    assert (await wire(await serve(conforming_server())).request(method, QUERY)).status == 400


# Messages.


@strict
async def test_post_is_answered_with_ok(serve, wire):
    """a posted packet is answered with ok"""
    session = await wire(await serve(conforming_server())).open_session()
    answer = await session.post("4hello")
    assert (answer.status, answer.text) == (200, "ok")


@pytest.mark.parametrize("payload", ["4hello", "4test1\x1e4test2\x1e4test3", "4hello\x1ebAQIDBA=="])
async def test_payload(serve, wire, payload):
    """a payload of text and binary packets comes back as it was sent"""
    session = await wire(await serve(conforming_server(ping_interval=25))).open_session()
    assert (await session.post(payload)).status == 200
    assert (await session.poll()).text == payload


@pytest.mark.parametrize("message", ["4hello", b"\x01\x02\x03\x04"])
async def test_websocket_message(serve, wire, message):
    """a WebSocket message comes back as it was sent"""
    websocket = await open_websocket(wire(await serve(conforming_server())))
    await websocket.send(message)
    assert await next_packet(websocket) == message


@strict
async def test_malformed_payload(serve, wire):
    """a malformed payload ends the session"""
    session = await wire(await serve(conforming_server(ping_interval=25))).open_session()
    # engine.io looks at the payload when it has answered.
    assert (await session.post("abc")).status in (200, 400)
    assert (await session.poll()).status == 400


@pytest.mark.parametrize("message", ["abc", pytest.param("", marks=strict)])
async def test_malformed_websocket_message(serve, wire, message):
    """a malformed WebSocket message ends the session"""
    websocket = await open_websocket(wire(await serve(conforming_server(ping_interval=25))))
    await websocket.send(message)
    assert await websocket.until_closed() == []


@strict
async def test_second_poll(serve, wire):
    """a second poll beside the first ends the session"""
    session = await wire(await serve(conforming_server(ping_interval=25))).open_session()
    first = await session.start_poll()
    assert (await session.poll()).status in (400, 500)
    assert (await soon(first, "the first poll")).text == "1"
    assert (await session.poll()).status == 400


# Heartbeat.


async def test_pings_over_polling(serve, wire):
    """the server pings, and lives on pongs, over long-polling"""
    session = await wire(await serve(conforming_server())).open_session()
    for _ in range(3):
        assert (await session.poll()).text == "2"
        assert (await session.post("3")).status == 200
    await session.post("4still here")
    assert await next_packet(session) == "4still here"


async def test_pings_over_websocket(serve, wire):
    """the server pings, and lives on pongs, over WebSocket"""
    websocket = await open_websocket(wire(await serve(conforming_server())))
    for _ in range(3):
        assert await websocket.receive() == "2"
        await websocket.send("3")
    await websocket.send("4still here")
    assert await next_packet(websocket) == "4still here"


async def test_missing_pong_over_polling(serve, wire):
    """a missing pong ends the session over long-polling"""
    eio = conforming_server()
    session = await wire(await serve(eio)).open_session()
    assert (await session.poll()).text == "2"
    assert (await session.poll()).text in ("1", "") or session.sid not in eio.sockets
    assert (await session.poll()).status == 400


async def test_missing_pong_over_websocket(serve, wire):
    """a missing pong ends the session over WebSocket"""
    websocket = await open_websocket(wire(await serve(conforming_server())))
    assert (await websocket.until_closed())[0] == "2"


# The end.


@strict
async def test_close_packet_over_polling(serve, wire):
    """a close packet ends the session, and the poll under way with a noop"""
    session = await wire(await serve(conforming_server(ping_interval=25))).open_session()
    poll = await session.start_poll()
    assert (await session.post("1")).status == 200
    assert (await soon(poll, "the poll")).text == "6"
    assert (await session.poll()).status == 400


async def test_close_packet_over_websocket(serve, wire):
    """a close packet closes the WebSocket"""
    eio = conforming_server(**QUICK)
    websocket = await open_websocket(wire(await serve(eio)))
    await websocket.send("1")
    assert set(await websocket.until_closed()) <= {"2"}


# Upgrade.


async def probed(session: PollingSession) -> RawWebSocket:
    websocket = await session.wire.websocket(EIO=session.query["EIO"], sid=session.sid)
    await websocket.send("2probe")
    assert await websocket.receive() == "3probe"
    return websocket


async def after_noops(websocket: RawWebSocket) -> str | bytes:
    while (packet := await next_packet(websocket)) == "6":
        pass
    return packet


async def test_upgrade(serve, wire):
    """a probed WebSocket takes over, and a poll meanwhile is answered with a noop"""
    session = await wire(await serve(conforming_server(ping_interval=25))).open_session()
    websocket = await probed(session)
    assert (await session.poll()).text == "6"
    await websocket.send("5")
    await websocket.send("4hello")
    assert await after_noops(websocket) == "4hello"


async def test_requests_after_the_upgrade(serve, wire):
    """requests after the upgrade are refused, and the WebSocket goes on"""
    session = await wire(await serve(conforming_server(ping_interval=25))).open_session()
    websocket = await probed(session)
    await websocket.send("5")
    await websocket.send("4one")
    assert await after_noops(websocket) == "4one"
    assert (await session.poll()).status == 400
    await websocket.send("4two")
    assert await after_noops(websocket) == "4two"


async def test_second_websocket_after_the_upgrade(serve, wire):
    """a second WebSocket after the upgrade is closed, and the first goes on"""
    session = await wire(await serve(conforming_server(ping_interval=25))).open_session()
    websocket = await probed(session)
    await websocket.send("5")
    await websocket.send("4one")
    assert await after_noops(websocket) == "4one"
    try:
        second = await session.wire.websocket(sid=session.sid)
        assert await second.until_closed() == []
    except aiohttp.WSServerHandshakeError:
        pass
    await websocket.send("4two")
    assert await after_noops(websocket) == "4two"


# Version 3: packets have their length in front, and the client pings.


def framed(*packets: str) -> str:
    """A payload of text packets."""
    return "".join(f"{len(packet)}:{packet}" for packet in packets)


class OldSession(PollingSession):
    """A session of version 3 over long-polling."""

    @property
    def query(self) -> dict[str, str]:
        return {**super().query, **OLD_QUERY}


async def old_session(http: Wire) -> OldSession:
    answer = await http.request("GET", OLD_QUERY)
    assert answer.status == 200
    return OldSession(http, json.loads(packet_of(answer)[1:]))


def packet_of(answer: Answer) -> str:
    """The only packet of an answer."""
    length, _, packet = answer.text.partition(":")
    assert length == str(len(packet))
    return packet


@old
async def test_old_polling_handshake(serve, wire):
    """a polling handshake of version 3 opens a session"""
    answer = await wire(await serve(old_server())).request("GET", OLD_QUERY)
    assert answer.status == 200
    opened(packet_of(answer), ["websocket"])


@old
async def test_old_websocket_handshake(serve, wire):
    """a WebSocket handshake of version 3 opens a session"""
    websocket = await wire(await serve(old_server())).websocket(EIO="3")
    opened(str(await websocket.receive()), [])


@old
@pytest.mark.parametrize("payload", ["6:4hello", "6:4test16:4test26:4test3", "6:4hello10:b4AQIDBA=="])
async def test_old_payload(serve, wire, payload):
    """a payload of version 3 comes back as it was sent, to a client that asks for base64"""
    session = await old_session(wire(await serve(old_server())))
    answer = await session.post(payload)
    assert (answer.status, answer.text) == (200, "ok")
    assert (await session.poll()).text == payload


@old
async def test_old_length(serve, wire):
    """the length of a packet is that of its characters, not of its bytes"""
    session = await old_session(wire(await serve(old_server())))
    await session.post(framed("4snow ☃"))
    assert (await session.poll()).text == "7:4snow ☃"


@old
@pytest.mark.parametrize("message", ["4hello", b"\x04\x01\x02\x03"])
async def test_old_websocket_message(serve, wire, message):
    """a WebSocket message of version 3 comes back as it was sent, its type in front"""
    websocket = await open_websocket(wire(await serve(old_server())), EIO="3")
    await websocket.send(message)
    assert await websocket.receive() == message


@old
async def test_old_malformed_payload(serve, wire):
    """a malformed payload of version 3 ends the session"""
    session = await old_session(wire(await serve(old_server())))
    # engine.io looks at the payload when it has answered.
    assert (await session.post("abc")).status in (200, 400)
    assert (await session.poll()).status == 400


@old
async def test_old_second_poll(serve, wire):
    """a second poll of version 3 ends the session"""
    session = await old_session(wire(await serve(old_server())))
    first = asyncio.ensure_future(session.poll())
    second = asyncio.ensure_future(session.poll())
    answers = await soon(asyncio.gather(first, second), "both polls")
    assert sorted(answer.status for answer in answers) in ([200, 400], [200, 500])
    assert "1:1" in [answer.text for answer in answers]
    assert (await session.poll()).status == 400


@old
async def test_old_heartbeat_over_polling(serve, wire):
    """pings of version 3 are answered over long-polling"""
    session = await old_session(wire(await serve(old_server())))
    for _ in range(3):
        assert (await session.post(framed("2"))).status == 200
        assert (await session.poll()).text == "1:3"


@old
async def test_old_heartbeat_over_websocket(serve, wire):
    """pings of version 3 are answered over WebSocket"""
    websocket = await open_websocket(wire(await serve(old_server())), EIO="3")
    for _ in range(3):
        await websocket.send("2")
        assert await websocket.receive() == "3"


@old
async def test_old_silence(serve, wire):
    """a client of version 3 that does not ping is disconnected"""
    websocket = await open_websocket(wire(await serve(old_server())), EIO="3")
    assert await websocket.until_closed() in ([], ["1"])


@old
async def test_old_close(serve, wire):
    """a close packet of version 3 ends the session, and the poll under way with a noop"""
    session = await old_session(wire(await serve(old_server(ping_interval=25))))
    poll = await session.start_poll()
    assert (await session.post(framed("1"))).status == 200
    assert (await soon(poll, "the poll")).text == "1:6"
    assert (await session.poll()).status == 400


@old
async def test_old_upgrade(serve, wire):
    """a client of version 3 upgrades"""
    session = await old_session(wire(await serve(old_server(ping_interval=25))))
    websocket = await probed(session)
    assert (await session.poll()).text == "1:6"
    await websocket.send("5")
    await websocket.send("4hello")
    assert await websocket.receive() == "4hello"
    assert (await session.poll()).status == 400
