"""Messages in both directions, and the handler that gets them."""

from __future__ import annotations

import asyncio
from typing import Any

import engineio
import pytest

from engine.target import QUICK, echo_server, new_server, recorded, target
from support.waiting import Mailbox, soon, until

TRANSPORTS = pytest.mark.parametrize("transport", ["polling", "websocket"])

ARRIVALS: list[tuple[str, Any]] = [
    ("hello", "hello"),
    ("", ""),
    ("snow ☃ and 🎈", "snow ☃ and 🎈"),
    ('{"a":[1,null]}', {"a": [1, None]}),
    ("[true,2.5]", [True, 2.5]),
    ('"quoted"', "quoted"),
    ("true", True),
    ("null", None),
    ("{broken", "{broken"),
    ("-5", -5),
    (" 12", 12),
    ("12", "12"),
    ("12abc", "12abc"),
]
"""What a text message is for the handler: JSON is read, but for what begins with a digit."""


@TRANSPORTS
@pytest.mark.parametrize(("text", "received"), ARRIVALS, ids=[text for text, _ in ARRIVALS])
async def test_text_arrives(serve, connect_js, transport, text, received):
    """a text message that is JSON reaches the handler as its value, any other as it is"""
    eio = new_server()
    calls = recorded(eio)
    client = await connect_js(await serve(eio), transports=[transport])
    client.send(text)
    (_, message) = await calls.wait_for(2)
    assert message == ("message", client.sid, received)
    assert type(message[2]) is type(received)


@TRANSPORTS
async def test_binary_arrives(serve, connect_js, transport):
    """a binary message reaches the handler as bytes"""
    eio = new_server()
    calls = recorded(eio)
    client = await connect_js(await serve(eio), transports=[transport])
    client.send(bytes(range(256)))
    (_, message) = await calls.wait_for(2)
    assert message == ("message", client.sid, bytes(range(256)))
    assert type(message[2]) is bytes


DEPARTURES: list[tuple[Any, Any]] = [
    ("hello", "hello"),
    ("", ""),
    ("snow ☃ and 🎈", "snow ☃ and 🎈"),
    (b"\x00\xff", b"\x00\xff"),
    ({"a": [1, None], "b": "c"}, '{"a":[1,null],"b":"c"}'),
    ([1, "two"], '[1,"two"]'),
    (7, "7"),
    (None, ""),
]


@TRANSPORTS
@pytest.mark.parametrize(("data", "received"), DEPARTURES, ids=[repr(data) for data, _ in DEPARTURES])
async def test_sent(serve, connect_js, transport, data, received):
    """text and bytes are sent as they are, dictionaries and lists as compact JSON"""
    eio = new_server()
    client = await connect_js(await serve(eio), transports=[transport])
    await eio.send(client.sid, data)
    await eio.send(client.sid, "end")
    assert await client.messages.wait_for(2) == [received, "end"]


class Shouting:
    """A JSON module of an application's own."""

    @staticmethod
    def dumps(value: Any, **_: Any) -> str:
        return f"SHOUTED {value}"

    @staticmethod
    def loads(text: str, **_: Any) -> Any:
        return ("read", text)


async def test_json_module(serve, wire, monkeypatch):
    """a json module of the application's own reads and writes"""
    # In python-engineio it is the whole process's, so it is set back at the end.
    monkeypatch.setattr(engineio.packet.Packet, "json", engineio.packet.Packet.json)
    eio = new_server(json=Shouting)
    calls = recorded(eio)
    websocket = await wire(await serve(eio)).websocket()
    await websocket.receive()
    sid = calls.seen[0][1]
    await eio.send(sid, [1])
    assert await websocket.receive() == "4SHOUTED [1]"
    await websocket.send('4{"a":1}')
    assert (await calls.wait_for(2))[1] == ("message", sid, ("read", '{"a":1}'))


@TRANSPORTS
async def test_order(serve, connect_js, transport):
    """many messages keep their order in both directions"""
    eio = new_server(async_handlers=False)

    @eio.on("message")
    async def message(sid, data):
        await eio.send(sid, data)

    client = await connect_js(await serve(eio), transports=[transport])
    texts = [f"message {idx}" for idx in range(12)]
    for text in texts:
        client.send(text)
    assert await client.messages.wait_for(12) == texts


@TRANSPORTS
async def test_long_messages(serve, connect_js, transport):
    """long messages pass whole"""
    client = await connect_js(await serve(echo_server()), transports=[transport])
    client.send("x" * 300_000)
    assert await client.messages.next() == "x" * 300_000
    client.send(b"\x07" * 300_000)
    assert await client.messages.next() == b"\x07" * 300_000


async def test_python_client(serve, connect):
    """python-engineio's client talks on polling, on WebSocket, and after its upgrade"""
    server = await serve(echo_server())
    for transports in (["polling"], ["websocket"], None):
        client = await connect(server, transports=transports)
        await client.send("text")
        assert await client.messages.next() == "text"
        await client.send(b"bytes")
        assert await client.messages.next() == b"bytes"
        await client.send({"a": 1})
        assert await client.messages.next() == {"a": 1}


async def test_send_to_one(serve, connect):
    """a message reaches the client that is named, and no other"""
    eio = new_server()
    server = await serve(eio)
    first, second = await connect(server), await connect(server)
    await eio.send(first.sid, "for the first")
    await eio.send(second.sid, "for the second")
    assert await first.messages.next() == "for the first"
    assert await second.messages.next() == "for the second"
    assert len(first.messages.seen) == len(second.messages.seen) == 1


async def test_send_to_nobody():
    """a message for nobody is dropped"""
    await new_server().send("nobody", "hello")


@TRANSPORTS
async def test_send_packet(serve, connect_js, transport):
    """send_packet sends a packet of the application's own making"""
    packet = pytest.importorskip(f"{target.__name__}.packet")
    eio = new_server()
    client = await connect_js(await serve(eio), transports=[transport])
    await eio.send_packet(client.sid, packet.Packet(packet.NOOP))
    await eio.send_packet(client.sid, packet.Packet(packet.MESSAGE, data="text"))
    await eio.send_packet(client.sid, packet.Packet(packet.MESSAGE, data=b"bytes"))
    assert await client.messages.wait_for(2) == ["text", b"bytes"]
    await eio.send_packet("nobody", packet.Packet(packet.MESSAGE, data="text"))


async def test_several_packets_in_a_request(serve, wire):
    """one POST may carry several messages, binary ones among them"""
    eio = new_server(async_handlers=False)
    calls = recorded(eio)
    session = await wire(await serve(eio)).open_session()
    assert (await session.post("4one\x1ebAQID\x1e4three")).status == 200
    messages = (await calls.wait_for(4))[1:]
    assert [data for _, _, data in messages] == ["one", b"\x01\x02\x03", "three"]


async def test_several_packets_in_an_answer(serve, wire):
    """what waits for a polling client comes in one answer, bytes in base64"""
    eio = new_server()
    session = await wire(await serve(eio)).open_session()
    await eio.send(session.sid, "one")
    await eio.send(session.sid, b"\x01\x02\x03")
    assert (await session.poll()).packets == ["4one", "bAQID"]


async def test_poll_waits(serve, wire):
    """a poll waits until there is a message"""
    eio = new_server()
    session = await wire(await serve(eio)).open_session()
    poll = await session.start_poll()
    assert not poll.done()
    await eio.send(session.sid, "at last")
    assert (await soon(poll, "the poll")).text == "4at last"


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_side_by_side(serve, connect_js, transport):
    """by default handlers of one client run side by side"""
    eio = new_server()
    gate, ends = asyncio.Event(), Mailbox("ends of handlers")

    @eio.on("message")
    async def message(sid, data):
        if data == "first":
            await gate.wait()
        ends.put(data)

    client = await connect_js(await serve(eio), transports=[transport])
    client.send("first")
    client.send("second")
    assert await ends.next() == "second"
    gate.set()
    assert await ends.next() == "first"


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_one_by_one(serve, connect_js, transport):
    """async_handlers=False runs the handlers of one client one after another"""
    eio = new_server(async_handlers=False)
    gate, log = asyncio.Event(), Mailbox("handlers")

    @eio.on("message")
    async def message(sid, data):
        log.put(f"begin {data}")
        if data == "first":
            await gate.wait()
        log.put(f"end {data}")

    server = await serve(eio)
    client = await connect_js(server, transports=[transport])
    other = await connect_js(server, transports=[transport])
    client.send("first")
    client.send("second")
    await log.wait_for(1)
    other.send("other")
    assert await log.wait_for(3) == ["begin first", "begin other", "end other"]
    gate.set()
    assert (await log.wait_for(6))[3:] == ["end first", "begin second", "end second"]


@TRANSPORTS
@pytest.mark.parametrize("kind", ["function", "coroutine", "method"])
async def test_kinds_of_handlers(serve, connect_js, transport, kind):
    """a message handler may be a function, a coroutine function or a bound method"""
    eio = new_server()
    seen = Mailbox("messages")

    class Application:
        async def message(self, sid: str, data: Any) -> None:
            seen.put(data)

    async def coroutine(sid: str, data: Any) -> None:
        seen.put(data)

    handlers = {
        "function": lambda sid, data: seen.put(data),
        "coroutine": coroutine,
        "method": Application().message,
    }
    eio.on("message", handlers[kind])
    client = await connect_js(await serve(eio), transports=[transport])
    client.send("hello")
    assert await seen.next() == "hello"


@TRANSPORTS
@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_failing_handler(serve, connect_js, transport, is_coroutine):
    """a message handler that raises costs nothing but that message"""
    eio = new_server()
    seen = Mailbox("messages")

    def message(sid: str, data: Any) -> None:
        if data == "bad":
            raise RuntimeError("out of order")
        seen.put(data)

    async def message_later(sid: str, data: Any) -> None:
        message(sid, data)

    eio.on("message", message_later if is_coroutine else message)
    client = await connect_js(await serve(eio), transports=[transport])
    client.send("bad")
    client.send("good")
    assert await seen.next() == "good"
    assert client.sid in eio.sockets


async def test_results_are_ignored(serve, connect_js):
    """what a message handler returns goes nowhere"""
    eio = new_server()
    eio.on("message", lambda sid, data: "ignored")
    client = await connect_js(await serve(eio))
    client.send("hello")
    await eio.send(client.sid, "end")
    assert await client.messages.next() == "end"


async def test_handler_is_replaced(serve, connect_js):
    """an event has one handler: that which was registered last, also while clients are connected"""
    eio = new_server()
    seen = Mailbox("messages")
    eio.on("message", lambda sid, data: seen.put(("old", data)))
    client = await connect_js(await serve(eio))
    client.send("one")
    assert await seen.next() == ("old", "one")
    eio.on("message", lambda sid, data: seen.put(("new", data)))
    client.send("two")
    assert await seen.next() == ("new", "two")


async def test_too_long_request(serve, connect_js, wire):
    """a POST beyond max_http_buffer_size is refused, and does not reach the handler"""
    eio = new_server(max_http_buffer_size=100)
    calls = recorded(eio)
    session = await wire(await serve(eio)).open_session()
    poll = await session.start_poll()
    answer = await session.post("4" + "x" * 200)
    assert answer.status in (400, 413)
    poll.cancel()
    assert not any(call[0] == "message" for call in calls.seen)


async def test_too_long_websocket_message(serve, wire):
    """a WebSocket message beyond max_http_buffer_size ends the connection"""
    eio = new_server(max_http_buffer_size=100)
    calls = recorded(eio)
    websocket = await wire(await serve(eio)).websocket()
    await websocket.receive()
    await websocket.send("4" + "x" * 200)
    assert await websocket.until_closed() in ([], ["1"])
    assert [call[0] for call in await calls.wait_for(2)] == ["connect", "disconnect"]


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_heartbeat(serve, connect_js, transport):
    """clients that answer pings stay connected"""
    eio = new_server(**QUICK)
    calls = recorded(eio)
    client = await connect_js(await serve(eio), transports=[transport])
    await client.heartbeats.wait_for(3)
    assert [call[0] for call in calls.seen] == ["connect"]
    client.send("still here")
    assert (await calls.wait_for(2))[1][2] == "still here"


async def test_many_clients(serve, connect_js):
    """many clients are served at once"""
    eio = echo_server()
    server = await serve(eio)
    clients = [await connect_js(server) for _ in range(20)]
    for client in clients:
        client.send(client.sid)
    for client in clients:
        assert await client.messages.next() == client.sid
    assert set(eio.sockets) == {client.sid for client in clients}
    for client in clients:
        client.close()
    await until(lambda: not eio.sockets, "the end of all clients")
