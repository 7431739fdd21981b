"""The protocol documents, sentence by sentence, over HTTP and a bare WebSocket."""

from __future__ import annotations

import json
from typing import Any

import aiohttp
import pytest

from support.target import QUICK_HEARTBEAT, new_server
from support.waiting import Mailbox
from support.wire import PollingSession, RawWebSocket

strict = pytest.mark.ferrio_only("python-socketio tolerates what the protocol forbids.")

ANNOUNCED = {
    "pingInterval": QUICK_HEARTBEAT["ping_interval"] * 1000,
    "pingTimeout": QUICK_HEARTBEAT["ping_timeout"] * 1000,
    "maxPayload": 1_000_000,
}
QUERY = {"EIO": "4", "transport": "polling"}


def conforming_server(**options: Any) -> Any:
    """The server that the official protocol suites ask for."""
    sio = new_server(
        namespaces=["/", "/custom"], **{**QUICK_HEARTBEAT, "max_http_buffer_size": 1_000_000, **options}
    )
    sio.gone = Mailbox("disconnect handlers")

    def register(namespace: str) -> None:
        async def connect(sid: str, environ: Any, auth: Any) -> None:
            await sio.emit("auth", auth or {}, to=sid, namespace=namespace)

        async def message(sid: str, *args: Any) -> None:
            await sio.emit("message-back", args, to=sid, namespace=namespace)

        async def message_with_ack(sid: str, *args: Any) -> Any:
            return args

        sio.on("connect", connect, namespace=namespace)
        sio.on("message", message, namespace=namespace)
        sio.on("message-with-ack", message_with_ack, namespace=namespace)
        sio.on("disconnect", lambda sid, reason: sio.gone.put((namespace, sid, reason)), namespace=namespace)

    register("/")
    register("/custom")
    return sio


async def next_packet(peer: PollingSession | RawWebSocket) -> str:
    """The next packet that is no ping; pings are answered."""
    while (packet := str(await peer.receive())) == "2":
        await (peer.post("3") if isinstance(peer, PollingSession) else peer.send("3"))
    return packet


async def joined(http: Any, namespace: str = "/") -> RawWebSocket:
    """A WebSocket in `namespace` whose `auth` event has been read."""
    websocket: RawWebSocket = await http.websocket()
    await websocket.receive()
    await websocket.send("40" if namespace == "/" else f"40{namespace},")
    packets = {str(await websocket.receive())[:2] for _ in range(2)}
    assert packets == {"40", "42"}
    return websocket


async def test_polling_handshake(serve, wire):
    """a polling handshake announces sid, upgrades, intervals and limit"""
    answer = await wire(await serve(conforming_server())).request("GET", QUERY)
    assert answer.status == 200
    assert answer.headers["Content-Type"].lower().replace(" ", "") == "text/plain;charset=utf-8"
    handshake = json.loads(answer.text[1:])
    assert answer.text[0] == "0"
    assert handshake.pop("sid")
    assert handshake == {"upgrades": ["websocket"], **ANNOUNCED}


@pytest.mark.ferrio_only("python-socketio announces whole seconds only.")
async def test_fractional_interval(serve, wire):
    """a polling handshake announces sid, upgrades, intervals and limit"""
    session = await wire(await serve(new_server(ping_interval=0.25, ping_timeout=1.5))).open_session()
    assert (session.handshake["pingInterval"], session.handshake["pingTimeout"]) == (250, 1500)


async def test_websocket_handshake(serve, wire):
    """a WebSocket handshake announces sid, no upgrades, intervals and limit"""
    websocket = await wire(await serve(conforming_server())).websocket()
    packet = str(await websocket.receive())
    handshake = json.loads(packet[1:])
    assert packet[0] == "0"
    assert handshake.pop("sid")
    assert handshake == {"upgrades": [], **ANNOUNCED}


@pytest.mark.parametrize(
    "query", [pytest.param({"EIO": "4"}, marks=strict), {"EIO": "4", "transport": "abc"}]
)
async def test_unknown_transport(serve, wire, query):
    """a handshake without or with unknown transport is refused"""
    http = wire(await serve(conforming_server()))
    assert (await http.request("GET", query)).status == 400


@pytest.mark.parametrize("version", [{}, {"EIO": "abc"}])
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_unknown_version(serve, wire, version, transport):
    """a handshake without or with an unknown protocol version is refused"""
    http = wire(await serve(conforming_server()))
    query = {"transport": transport, **version}
    if transport == "polling":
        assert (await http.request("GET", query)).status == 400
        assert (await http.request("POST", query)).status == 400
        return
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            await session.ws_connect(http.url, params=query)
    # 403 is uvicorn's answer when an ASGI application does not accept.
    assert refusal.value.status in (400, 403)


async def test_post(serve, wire):
    """a posted packet is answered with ok"""
    session = await wire(await serve(conforming_server())).join()
    answer = await session.post('42["message",1]')
    assert (answer.status, answer.text.lower()) == (200, "ok")


async def test_several_packets_in_a_post(serve, wire):
    """several packets in one payload are all received"""
    session = await wire(await serve(conforming_server())).join()
    await session.read_all(2)
    await session.post('42["message",1]\x1e42["message",2]\x1e42["message",3]')
    assert [await next_packet(session) for _ in range(3)] == [
        f'42["message-back",{number}]' for number in (1, 2, 3)
    ]


async def test_several_packets_in_an_answer(serve, wire):
    """several packets wait in one polling answer"""
    sio = conforming_server(ping_interval=25)
    session = await wire(await serve(sio)).open_session()
    sid = await session.join()
    await session.read_all(2)
    for number in range(3):
        await sio.emit("news", number, to=sid)
    assert (await session.poll()).packets == [f'42["news",{number}]' for number in range(3)]


async def test_pongs_over_polling(serve, wire):
    """the server pings and lives on pongs over long-polling"""
    session = await wire(await serve(conforming_server())).open_session()
    await session.post("40")
    pings = 0
    while pings < 3:
        packet = await session.receive()
        if packet == "2":
            pings += 1
            assert (await session.post("3")).status == 200
    assert not await session.is_gone()


async def test_pongs_over_websocket(serve, wire):
    """the server pings and lives on pongs over WebSocket"""
    websocket = await joined(wire(await serve(conforming_server())))
    for _ in range(3):
        assert await websocket.receive() == "2"
        await websocket.send("3")
    await websocket.send('42["message",1]')
    assert await next_packet(websocket) == '42["message-back",1]'


async def test_missing_pong_over_polling(serve, wire):
    """a missing pong closes the session over long-polling"""
    sio = conforming_server()
    session = await wire(await serve(sio)).open_session()
    await session.post("40")
    while await session.receive() != "2":
        pass
    # The session may end while this poll waits, or before it is looked for.
    await session.poll()
    await sio.gone.next()
    assert await session.is_gone()


async def test_missing_pong_over_websocket(serve, wire):
    """a missing pong closes the session over WebSocket"""
    sio = conforming_server()
    websocket = await joined(wire(await serve(sio)))
    assert await websocket.until_closed() in (["2"], ["2", "1"])
    await sio.gone.next()


@strict
async def test_close_packet_over_polling(serve, wire):
    """a close packet ends the session over long-polling"""
    session = await wire(await serve(conforming_server())).join()
    await session.read_all(2)
    poll = await session.start_poll()
    assert (await session.post("1")).status == 200
    assert (await poll).text == "6"
    assert await session.is_gone()


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_close_packet(serve, wire, transport):
    """a close packet ends the session over WebSocket"""
    sio = conforming_server()
    http = wire(await serve(sio))
    if transport == "websocket":
        websocket = await joined(http)
        await websocket.send("1")
        await websocket.until_closed()
    else:
        await (await http.join()).post("1")
    assert (await sio.gone.next())[0] == "/"


async def test_closed_websocket(serve, wire):
    """a closed WebSocket ends the session"""
    sio = conforming_server()
    websocket = await joined(wire(await serve(sio)))
    await websocket.close()
    assert (await sio.gone.next())[2] == "transport close"


async def test_probe(serve, wire):
    """a probe is answered and the upgrade moves the session"""
    session = await wire(await serve(conforming_server())).join()
    await session.read_all(2)
    websocket = await session.wire.websocket(sid=session.sid)
    await websocket.send("2probe")
    assert await websocket.receive() == "3probe"
    await websocket.send("5")
    await websocket.send('42["message",1]')
    packets = [await next_packet(websocket)]
    while packets[-1] == "6":
        packets.append(await next_packet(websocket))
    assert packets[-1] == '42["message-back",1]'


async def test_noop_during_upgrade(serve, wire):
    """a poll under way is released with noop when the upgrade is asked for"""
    session = await wire(await serve(conforming_server(ping_interval=25))).join()
    await session.read_all(2)
    poll = await session.start_poll()
    websocket = await session.wire.websocket(sid=session.sid)
    await websocket.send("2probe")
    assert await websocket.receive() == "3probe"
    assert (await poll).text == "6"
    await websocket.send("5")
    await websocket.send('42["message",1]')
    while (packet := await websocket.receive()) == "6":
        pass
    assert packet == '42["message-back",1]'


async def test_requests_after_the_upgrade(serve, wire):
    """requests on the old transport after the upgrade are refused"""
    session = await wire(await serve(conforming_server(ping_interval=25))).join()
    websocket = await session.wire.websocket(sid=session.sid)
    await websocket.send("2probe")
    await websocket.receive()
    await websocket.send("5")
    await websocket.send('42["message",1]')
    while "message-back" not in str(await websocket.receive()):
        pass
    assert (await session.poll()).status == 400
    assert (await session.post("3")).status == 400


async def test_wrong_probe(serve, wire):
    """a probe that is followed by something else is dropped"""
    session = await wire(await serve(conforming_server(ping_interval=25))).join()
    await session.read_all(2)
    websocket = await session.wire.websocket(sid=session.sid)
    await websocket.send("2probe")
    await websocket.receive()
    await websocket.send('42["message",1]')
    assert await websocket.until_closed() == []
    await session.post('42["message",2]')
    while (packet := await session.receive()) == "6":
        pass
    assert packet == '42["message-back",2]'


async def test_joining_without_payload(serve, wire):
    """a connect packet without payload joins the main namespace"""
    http = wire(await serve(conforming_server()))
    websocket = await http.websocket()
    await websocket.receive()
    await websocket.send("40")
    packets = sorted([str(await websocket.receive()), str(await websocket.receive())])
    assert list(json.loads(packets[0][2:])) == ["sid"]
    assert packets[1] == '42["auth",{}]'


async def test_joining_with_payload(serve, wire):
    """a connect packet with payload is seen by the server"""
    http = wire(await serve(conforming_server()))
    websocket = await http.websocket()
    await websocket.receive()
    await websocket.send('40{"token":"123"}')
    packets = sorted([str(await websocket.receive()), str(await websocket.receive())])
    assert packets[0].startswith('40{"sid":')
    assert packets[1] == '42["auth",{"token":"123"}]'


async def test_joining_another(serve, wire):
    """a connect packet names its namespace and joins it"""
    http = wire(await serve(conforming_server()))
    websocket = await http.websocket()
    await websocket.receive()
    await websocket.send('40/custom,{"token":"abc"}')
    packets = sorted([str(await websocket.receive()), str(await websocket.receive())])
    assert packets[0].startswith('40/custom,{"sid":')
    assert packets[1] == '42/custom,["auth",{"token":"abc"}]'


@strict
async def test_joining_an_unknown_one(serve, wire):
    """a connect packet for an unknown namespace is answered with an error"""
    http = wire(await serve(conforming_server()))
    websocket = await http.websocket()
    await websocket.receive()
    await websocket.send("40/random")
    assert await websocket.receive() == '44/random,{"message":"Invalid namespace"}'


@strict
async def test_event_before_joining(serve, wire):
    """an event before any connect packet closes the connection"""
    http = wire(await serve(conforming_server()))
    websocket = await http.websocket()
    await websocket.receive()
    await websocket.send('42["message",1]')
    assert await websocket.until_closed() == []


async def test_event(serve, wire):
    """an event in text is echoed"""
    websocket = await joined(wire(await serve(conforming_server())))
    await websocket.send('42["message",1,"2",{"3":[true]}]')
    assert await next_packet(websocket) == '42["message-back",1,"2",{"3":[true]}]'


def placeholders(packet: str) -> Any:
    """What follows the number of attachments, ack id and all, with JSON's whitespace and key order left aside."""
    head, bracket, rest = packet.partition("[")
    return head, json.loads(bracket + rest)


async def test_event_with_attachments(serve, wire):
    """an event with attachments is echoed with attachments"""
    websocket = await joined(wire(await serve(conforming_server())))
    first, second = {"_placeholder": True, "num": 0}, {"_placeholder": True, "num": 1}
    await websocket.send(f'452-["message",{json.dumps(first)},{json.dumps(second)}]')
    await websocket.send(b"\x01\x02\x03")
    await websocket.send(b"\x04\x05\x06")
    assert placeholders(await next_packet(websocket)) == ("452-", ["message-back", first, second])
    assert [await websocket.receive(), await websocket.receive()] == [b"\x01\x02\x03", b"\x04\x05\x06"]


async def test_event_with_ack(serve, wire):
    """an event with an ack id is answered with that id"""
    websocket = await joined(wire(await serve(conforming_server())))
    await websocket.send('42456["message-with-ack",1,"2",{"3":[false]}]')
    assert await next_packet(websocket) == '43456[1,"2",{"3":[false]}]'


async def test_event_with_attachments_and_ack(serve, wire):
    """an event with attachments and an ack id is answered in kind"""
    websocket = await joined(wire(await serve(conforming_server())))
    first, second = {"_placeholder": True, "num": 0}, {"_placeholder": True, "num": 1}
    await websocket.send(f'452-789["message-with-ack",{json.dumps(first)},{json.dumps(second)}]')
    await websocket.send(b"\x01\x02\x03")
    await websocket.send(b"\x04\x05\x06")
    assert placeholders(await next_packet(websocket)) == ("462-789", [first, second])
    assert [await websocket.receive(), await websocket.receive()] == [b"\x01\x02\x03", b"\x04\x05\x06"]


async def test_disconnect(serve, wire):
    """a disconnect packet leaves the namespace and keeps the session"""
    sio = conforming_server()
    websocket = await joined(wire(await serve(sio)))
    await websocket.send("41")
    assert (await sio.gone.next())[0] == "/"
    await websocket.send("40")
    assert {str(await websocket.receive())[:2] for _ in range(2)} == {"40", "42"}


async def test_disconnect_from_one(serve, wire):
    """a disconnect packet of one namespace leaves the others"""
    sio = conforming_server()
    websocket = await joined(wire(await serve(sio)))
    await websocket.send("40/custom,")
    await websocket.receive()
    await websocket.receive()
    await websocket.send("41/custom,")
    assert (await sio.gone.next())[0] == "/custom"
    await websocket.send('42["message",1]')
    assert await next_packet(websocket) == '42["message-back",1]'


async def test_joining_two_in_one_payload(serve, wire):
    """two connect packets in one polling payload are answered in order"""
    session = await wire(await serve(conforming_server())).open_session()
    await session.post("40\x1e40/custom,")
    packets = [await next_packet(session) for _ in range(4)]
    answers = [packet for packet in packets if packet.startswith("40")]
    assert [answer.partition("{")[0] for answer in answers] == ["40", "40/custom,"]


@strict
@pytest.mark.parametrize(
    "packet",
    [
        "4abc",
        "42[]",
        "42{}",
        '42["message"',
        "42[null]",
        '42abc["message"]',
        "431{}",
        "49",
        "4",
        "41[1]",
        '451-["message"]\x00',
        "40",
    ],
)
async def test_malformed(serve, wire, packet):
    """every malformed packet of a list closes the connection"""
    websocket = await joined(wire(await serve(conforming_server(ping_interval=25))))
    await websocket.send(packet)
    assert await websocket.until_closed() == []
