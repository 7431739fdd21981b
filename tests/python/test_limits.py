"""What hostile, broken and vanishing peers can do: they lose their own connection, and nobody else notices."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from support.frames import TEXT, FrameSocket
from support.node_client import NodeProcess
from support.target import QUICK_HEARTBEAT, new_server
from support.waiting import Mailbox, soon, until
from support.wire import RawWebSocket, raw_connection

tolerated = pytest.mark.ferrio_only(
    "python-socketio logs what it cannot understand and keeps the connection."
)

ONE_ATTACHMENT = '{"_placeholder":true,"num":0}'


class Guarded:
    """A server with a well-behaved client on each transport, which must not notice what others do."""

    def __init__(self, serve: Any, connect_js: Any, wire: Any) -> None:
        self._serve = serve
        self._connect_js = connect_js
        self._wire = wire

    async def start(self, **options: Any) -> Guarded:
        self.sio = new_server(**options)
        self.heard: Mailbox[tuple[Any, ...]] = Mailbox("handlers")
        self.gone: Mailbox[tuple[str, str]] = Mailbox("disconnect handlers")
        self.sio.on("echo", lambda sid, *args: args)
        self.sio.on("x", lambda sid, *args: self.heard.put(args))
        self.sio.on("disconnect", lambda sid, reason: self.gone.put((sid, reason)))
        self.server = await self._serve(self.sio)
        self.http = self._wire(self.server)
        self.clients = [
            await self._connect_js(self.server, transports=[name]) for name in ("websocket", "polling")
        ]
        return self

    async def unharmed(self) -> None:
        await self.sio.emit("still here")
        for client in self.clients:
            await client.receive("still here")
            assert client.heard.count(("still here",)) == len(client.heard) - 1, client.heard
            assert await client.call("echo", 1) == (1,)

    async def closes(self, *messages: str | bytes) -> None:
        """A peer that joined the main namespace and sends `messages` is closed, and nobody is harmed."""
        peer: RawWebSocket = await self.http.joined_websocket()
        for message in messages:
            # The server may be quicker to close than the peer is to send the rest.
            with contextlib.suppress(ConnectionError):
                await peer.send(message)
        assert await peer.until_closed() == []
        await self.unharmed()
        assert self.heard.seen == []

    async def answers_or_closes(self, message: str) -> None:
        """Whether `message` is delivered or closes its sender is the server's choice; that it goes on at all is not."""
        peer = await self.http.joined_websocket()
        await peer.send(message)
        await peer.send('421["echo"]')
        while (answer := await peer.receive_or_end()) is not None and answer != "431[]":
            pass
        await self.unharmed()


@pytest.fixture
def guarded(serve, connect_js, wire):
    return Guarded(serve, connect_js, wire)


@pytest.mark.ferrio_only("python-socketio closes the session, and answers only when somebody polls.")
async def test_big_post(guarded):
    """a post above maxHttpBufferSize gets 413 and the session lives on"""
    one = await guarded.start(max_http_buffer_size=1000)
    session = await one.http.join()
    assert (await session.post(f'42["x","{"x" * 1000}"]')).status == 413
    assert (await session.post('421["echo"]')).status == 200
    assert await session.receive() == "431[]"
    assert one.heard.seen == []
    await one.unharmed()


@pytest.mark.parametrize("kind", ["text", "bytes"])
async def test_big_message(guarded, kind):
    """a WebSocket message above maxHttpBufferSize closes its sender"""
    one = await guarded.start(max_http_buffer_size=1000)
    if kind == "text":
        await one.closes(f'42["x","{"x" * 1000}"]')
    else:
        await one.closes(f'451-["x",{ONE_ATTACHMENT}]', bytes(1001))


@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_just_below(guarded, transport):
    """a payload just below maxHttpBufferSize is accepted"""
    one = await guarded.start(max_http_buffer_size=1000)
    start, end = '421["echo","', '"]'
    packet = start + "x" * (1000 - len(start + end)) + end
    if transport == "polling":
        session = await one.http.join()
        assert (await session.post(packet)).status == 200
        assert (await session.receive()).startswith('431["xxx')
    else:
        peer = await one.http.joined_websocket()
        await peer.send(packet)
        assert str(await peer.receive()).startswith('431["xxx')


@pytest.mark.ferrio_only("python-socketio takes any number of attachments.")
async def test_many_attachments(guarded, connect_js):
    """more attachments than allowed close the sender"""
    one = await guarded.start()
    client = await connect_js(one.server)
    await client.upgraded()
    await client.emit("x", *(b"x" for _ in range(11)))
    await client.disconnected()
    assert one.heard.seen == []
    await one.unharmed()


@tolerated
async def test_closed_during_its_upgrade(guarded, connect_js):
    """a client that is closed in the middle of its upgrade notices"""
    one = await guarded.start()
    # A client that has seen the answer to its probe stops polling, and takes no notice of the WebSocket's end before it
    # has moved there: closed too early, it waits until no ping comes. One in ten clients is caught at that moment.
    for _ in range(30):
        client = await connect_js(one.server)
        await client.emit("x", *(b"x" for _ in range(11)))
        await client.disconnected()
    assert one.heard.seen == []
    await one.unharmed()


@tolerated
@pytest.mark.parametrize(
    "packet",
    [
        '4510000000000-["x"]',
        '4599999999999999999999999-["x"]',
        '4610000000000-1["x"]',
        '45-1-["x"]',
        '45-["x"]',
        '451["x"]',
        "451",
    ],
)
async def test_announced_attachments(guarded, packet):
    """ten thousand million announced attachments close the sender"""
    await (await guarded.start()).closes(packet)


async def test_attachments_that_never_come(guarded):
    """attachments that never come are dropped with their sender"""
    one = await guarded.start()
    peer = await one.http.joined_websocket()
    await peer.send(f'452-["x",{ONE_ATTACHMENT},{{"_placeholder":true,"num":1}}]')
    await peer.send(bytes(1000))
    await peer.close()
    await one.gone.next()
    assert one.heard.seen == []
    await one.unharmed()


@tolerated
@pytest.mark.parametrize("message", [b"x", b""])
async def test_attachment_without_announcement(guarded, message):
    """an attachment without announcement closes its sender"""
    await (await guarded.start()).closes(message)


@tolerated
@pytest.mark.parametrize("rest", [(b"x", '42["x"]'), (f'451-["x",{ONE_ATTACHMENT}]',), ("41",)])
async def test_text_between_attachments(guarded, rest):
    """a text packet between attachments closes its sender"""
    await (await guarded.start()).closes(f'452-["x",{ONE_ATTACHMENT},{{"_placeholder":true,"num":1}}]', *rest)


@tolerated
@pytest.mark.parametrize("number", ["1", "-1", "1e9", '"0"', "null"])
async def test_placeholder_to_nowhere(guarded, number):
    """a placeholder that points nowhere closes its sender"""
    await (await guarded.start()).closes(f'451-["x",{{"_placeholder":true,"num":{number}}}]', b"x")


@pytest.mark.ferrio_only(
    "python-socketio calls the connect and disconnect handlers for events of these names."
)
async def test_reserved_names(guarded):
    """events named error, connect, disconnect and newListener do no harm"""
    one = await guarded.start()
    connects: Mailbox[Any] = Mailbox("connect handlers")
    one.sio.on("connect", lambda sid, environ, auth: connects.put(environ))
    for name in ("connect", "connect_error", "disconnect", "disconnecting", "newListener", "removeListener"):
        await one.closes(f'42["{name}","forged","forged"]')
    peer = await one.http.joined_websocket()
    await peer.send('42["error",{"message":"forged"}]')
    await peer.send('421["echo"]')
    assert await peer.receive() == "431[]"
    assert "forged" not in connects.seen
    assert "forged" not in [reason for _, reason in one.gone.seen]
    await one.unharmed()


@tolerated
@pytest.mark.parametrize(
    "packet", ["42[]", "42[null]", "42[{}]", "42[[]]", "42[true]", '42{"0":"x"}', '42"x"']
)
async def test_event_names_of_other_types(guarded, packet):
    """an event name that is no text closes its sender"""
    await (await guarded.start()).closes(packet)


@tolerated
@pytest.mark.parametrize(
    "packet",
    [
        '42["x"',
        '42["x",]',
        "42['x']",
        '42["x"]x',
        '42["x",NaN]',
        '42["x",01]',
        '42["x",\u00a01]',
        '42["\u0001"]',
        '42["\\x41"]',
        "421{",
        "43[",
        '431"x"',
    ],
)
async def test_invalid_json(guarded, packet):
    """invalid JSON closes its sender"""
    await (await guarded.start()).closes(packet)


DEEP = 100_000


@pytest.mark.parametrize(
    "packet",
    [
        f'42["x",{"[" * DEEP}{"]" * DEEP}]',
        f'42["x",{"[" * DEEP}',
        '42["x",' + '{"a":' * DEEP + "1" + "}" * DEEP + "]",
        f'451-["x",{"[" * DEEP}{ONE_ATTACHMENT}{"]" * DEEP}]',
    ],
    ids=["arrays", "open arrays", "objects", "placeholder"],
)
async def test_deep_nesting(guarded, packet):
    """JSON nested a hundred thousand levels deep does no harm"""
    await (await guarded.start()).answers_or_closes(packet)


@tolerated
@pytest.mark.parametrize("packet", ["7", "8abc", "9", "x", "", " 42", "\U0001f600", "2"])
async def test_unknown_engine_packet(guarded, packet):
    """an unknown Engine.IO packet type closes its sender"""
    await (await guarded.start()).closes(packet)


@tolerated
@pytest.mark.parametrize(
    "packet", ["47", "48[]", "49", '4x["a"]', "4-1", '44{"message":"forged"}', "4\U0001f600"]
)
async def test_unknown_packet(guarded, packet):
    """an unknown Socket.IO packet type closes its sender"""
    await (await guarded.start()).closes(packet)


@pytest.mark.parametrize(
    "number", ["9" * 20, "9" * 5000, "18446744073709551616", "00000000000000001"], ids=len
)
async def test_overlong_ack_id(guarded, number):
    """an overlong ack id does no harm"""
    one = await guarded.start()
    await one.answers_or_closes(f'43{number}["forged"]')
    await one.answers_or_closes(f'42{number}["echo"]')


@pytest.mark.parametrize("junk", [b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"], ids=bytes.hex)
async def test_invalid_utf8(guarded, junk):
    """invalid UTF-8 closes its sender"""
    one = await guarded.start()
    peer, _ = await FrameSocket.joined(one.server)
    await peer.send(TEXT, b'42["x","' + junk + b'"]')
    assert await peer.close_code() == 1007
    assert one.heard.seen == []
    await one.unharmed()


GARBAGE_HEAD = "GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\n"
GARBAGE_UPGRADE = f"{GARBAGE_HEAD}Connection: Upgrade\r\nUpgrade: websocket\r\n"
GARBAGE_POST = "POST /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    "garbage",
    [
        bytes(number * 7919 % 256 for number in range(4096)),
        b"\r\n\r\n\r\n\0\0\0\0",
        b"GET / SPDY/9\r\n\r\n",
        f"{GARBAGE_UPGRADE}\r\n".encode(),
        f"{GARBAGE_UPGRADE}Sec-WebSocket-Version: 99\r\nSec-WebSocket-Key: x\r\n\r\n".encode(),
        f"{GARBAGE_UPGRADE}Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n".encode(),
        f"{GARBAGE_POST}Content-Length: -5\r\n\r\n".encode(),
        f"{GARBAGE_POST}Transfer-Encoding: chunked\r\n\r\nZZ\r\n".encode(),
    ],
    ids=["noise", "blanks", "protocol", "no key", "version", "short key", "negative length", "bad chunk"],
)
async def test_garbage(guarded, garbage):
    """garbage on the port does no harm"""
    one = await guarded.start()
    reader, writer = await raw_connection(one.server)
    writer.write(garbage)
    writer.write_eof()
    with contextlib.suppress(ConnectionError):
        await soon(reader.read(), "the end of the connection")
    writer.close()
    await one.unharmed()


@pytest.mark.parametrize("frames", [b"\xff" * 16, b"\x81\x0241"], ids=["reserved bits", "unmasked"])
async def test_garbage_in_frames(guarded, frames):
    """garbage on the port does no harm"""
    one = await guarded.start()
    peer, _ = await FrameSocket.joined(one.server)
    await peer.send_raw(frames)
    await peer.close_code()
    await one.unharmed()


async def test_silent_connections(guarded):
    """a connection that sends nothing does no harm"""
    one = await guarded.start()
    writers = [(await raw_connection(one.server))[1] for _ in range(20)]
    await one.unharmed()
    for writer in writers:
        writer.close()


async def test_half_a_request(guarded):
    """a request that stops half way does no harm"""
    one = await guarded.start()
    session = await one.http.join()
    writers = []
    for half in (
        "GET /socket.io/?EIO=4&transp",
        "GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\nX-Half",
        f"POST /socket.io/?EIO=4&transport=polling&sid={session.sid} HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n42[",
    ):
        _, writer = await raw_connection(one.server)
        writer.write(half.encode())
        await writer.drain()
        writers.append(writer)
    await one.unharmed()
    for writer in writers:
        writer.close()


async def test_half_a_handshake(guarded):
    """a WebSocket handshake that stops half way does no harm"""
    one = await guarded.start()
    session = await one.http.join()
    writers = []
    for query in ("", f"&sid={session.sid}"):
        _, writer = await raw_connection(one.server)
        target = f"/socket.io/?EIO=4&transport=websocket{query}"
        writer.write(f"GET {target} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnec".encode())
        await writer.drain()
        writers.append(writer)
    await session.post('421["echo"]')
    assert await session.receive() == "431[]"
    await one.unharmed()
    for writer in writers:
        writer.close()


@pytest.mark.ferrio_only("python-socketio keeps a client that joins nothing as long as it answers pings.")
async def test_no_connect_packet(guarded):
    """a session that never sends its connect packet is closed"""
    one = await guarded.start(connect_timeout=0.2)
    websocket = await one.http.websocket()
    await websocket.receive()
    assert await websocket.until_closed() == []
    await one.unharmed()


async def test_vanished_peer(guarded):
    """a peer that vanishes without a word is timed out"""
    one = await guarded.start(**QUICK_HEARTBEAT)
    peer, sid = await FrameSocket.joined(one.server)
    gone, reason = await one.gone.next()
    assert gone == sid
    # In python-socketio the read of the WebSocket mostly times out before the heartbeat does.
    assert reason in ("ping timeout", "transport close")
    peer.abort()


async def test_killed_clients(guarded):
    """clients killed in the middle of traffic do no harm"""
    one = await guarded.start()
    victims = NodeProcess()
    victims.use_loop(asyncio.get_running_loop())
    clients = []
    for number in range(20):
        client = victims.client()
        client.open(one.server.url, transports=[("websocket", "polling")[number % 2]])
        clients.append(client)
    for client in clients:
        await client.connected()
        client.burst("echo", 10)
    for number in range(100):
        await one.sio.emit("flood", number)
    victims.kill()
    for number in range(100, 200):
        await one.sio.emit("flood", number)
    for client in one.clients:
        assert await client.receive_many("flood", 200) == [(number,) for number in range(200)]
        client.heard.clear()
        client.heard.append(("connect",))
    await one.unharmed()
    sids = [client.sid for client in clients[::2]]
    await until(
        lambda: not any(sio_rooms for sio_rooms in map(one.sio.rooms, sids)),
        "the end of the killed WebSockets",
    )


@pytest.mark.doors("adopted", "standalone")
@pytest.mark.ferrio_only("Behind plain ASGI the number of fragments is left to uvicorn's WebSocket library.")
async def test_fragments(guarded):
    """a thousand fragments in one message are bounded"""
    one = await guarded.start(limits={"max_fragments": 100})
    fine, _ = await FrameSocket.joined(one.server)
    await fine.send(TEXT, b'421["echo"', final=False)
    for _ in range(90):
        await fine.send(0, b" ", final=False)
    await fine.send(0, b"]")
    assert await fine.receive() == b"431[]"
    peer, _ = await FrameSocket.joined(one.server)
    with contextlib.suppress(ConnectionError):
        await peer.send(TEXT, b'42["x"', final=False)
        for _ in range(1000):
            await peer.send(0, b" ", final=False)
    await peer.close_code()
    assert one.heard.seen == []
    await one.unharmed()
