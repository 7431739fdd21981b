"""The wire vectors that all languages share, sent to a real server and awaited from it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import aiohttp
import msgpack
import pytest

from support.target import ConnectionRefusedError, new_server
from support.waiting import Mailbox

pytestmark = [
    pytest.mark.ferrio_only(
        "python-socketio tolerates much of what the vectors refuse, and speaks no Engine.IO 3."
    ),
    # What is decoded does not depend on the door.
    pytest.mark.doors("standalone"),
]

FOLDER = Path(__file__).parent.parent / "vectors"
FILES = ("engine_packets", "msgpack_packets", "payloads", "socket_packets")

CONNECT, DISCONNECT, EVENT, ACK, CONNECT_ERROR, BINARY_EVENT, BINARY_ACK = range(7)

# Without attachments in MessagePack there is no bound on their number.
UNBOUNDED = {"one attachment too many"}

Frame = str | bytes


def vectors(file: str) -> Any:
    """Parametrises a test with the cases of a file."""
    cases = json.loads((FOLDER / f"{file}.json").read_text())
    return pytest.mark.parametrize("vector", [pytest.param(case, id=case["name"]) for case in cases])


def wire_of(vector: dict[str, Any]) -> Frame:
    return bytes.fromhex(vector["hex"]) if "hex" in vector else str(vector["text"])


def filled(value: Any, attachments: list[bytes]) -> Any:
    """The value with the attachments in their places, which is what the application sees."""
    if isinstance(value, list):
        return [filled(element, attachments) for element in value]
    if not isinstance(value, dict):
        return value
    if attachments and value.get("_placeholder") is True:
        return attachments[value["num"]]
    return {key: filled(member, attachments) for key, member in value.items()}


class TextForm:
    """The text form of Socket.IO packets, of either revision."""

    def __init__(self, vector: dict[str, Any]) -> None:
        self.protocol = 3 if vector["revision"] == 4 else 4
        self.options: dict[str, Any] = {"allow_eio3": True}
        n_attachments = vector.get("packet", {}).get("attachments", 0)
        self.attachments = [bytes([number, 255]) for number in range(n_attachments)]
        # The older protocol writes a binary message's type in front.
        head = b"\4" if self.protocol == 3 else b""
        self.frames: list[Frame] = [f"4{vector['text']}", *(head + data for data in self.attachments)]

    def connect(self, namespace: str) -> Frame:
        return "40" if namespace == "/" else f"40{namespace},"

    def question(self, namespace: str, ack_id: int) -> Frame:
        return f'42{"" if namespace == "/" else namespace + ","}{ack_id}["ask"]'

    def read(self, frame: Frame) -> tuple[int, str, int | None]:
        """The type, the namespace and the id of a packet from the server."""
        found = re.match(r"4(\d)(?:\d+-)?(?:(/[^,]*),)?(\d*)", str(frame))
        assert found, frame
        return int(found[1]), found[2] or "/", int(found[3]) if found[3] else None


class MsgpackForm:
    """The form of `socket.io-msgpack-parser`."""

    def __init__(self, vector: dict[str, Any]) -> None:
        self.protocol = 4
        self.options: dict[str, Any] = {"serializer": "msgpack"}
        self.attachments = [bytes.fromhex(data) for data in vector.get("packet", {}).get("attachments", [])]
        self.frames: list[Frame] = [wire_of(vector)]

    def connect(self, namespace: str) -> Frame:
        return bytes(msgpack.packb({"type": CONNECT, "nsp": namespace}))

    def question(self, namespace: str, ack_id: int) -> Frame:
        return bytes(msgpack.packb({"type": EVENT, "nsp": namespace, "id": ack_id, "data": ["ask"]}))

    def read(self, frame: Frame) -> tuple[int, str, int | None]:
        packet = msgpack.unpackb(frame)
        return packet["type"], packet["nsp"], packet.get("id")


class Meeting:
    """A server with one namespace, and a WebSocket to it that speaks the form."""

    def __init__(self, form: TextForm | MsgpackForm, namespace: str) -> None:
        self.form = form
        self.namespace = namespace
        self.sio = new_server(namespaces=["/", namespace], **form.options)
        self.came: Mailbox[tuple[str, Any]] = Mailbox("connect handlers")
        self.gone: Mailbox[str] = Mailbox("disconnect handlers")
        self.heard: Mailbox[list[Any]] = Mailbox("event handlers")
        self.sio.on("connect", lambda sid, environ, auth: self.came.put((sid, auth)), namespace=namespace)
        self.sio.on("disconnect", lambda sid, reason: self.gone.put(reason), namespace=namespace)
        self.sio.on("*", lambda event, sid, *args: self.heard.put([event, *args]), namespace=namespace)

    async def open(self, serve: Any, wire: Any) -> Meeting:
        self.peer = await wire(await serve(self.sio)).websocket(EIO=str(self.form.protocol))
        await self.peer.receive()
        if self.form.protocol == 3:
            # Every client is in the main namespace.
            await self.peer.receive()
        return self

    async def join(self) -> str:
        """Joins the namespace and returns the socket id."""
        if self.form.protocol == 4 or self.namespace != "/":
            await self.peer.send(self.form.connect(self.namespace))
            await self.peer.receive()
        return (await self.came.next())[0]

    async def send(self) -> None:
        for frame in self.form.frames:
            await self.peer.send(frame)

    async def expect_frames(self) -> None:
        assert [await self.peer.receive() for _ in self.form.frames] == self.form.frames


async def refused(meeting: Meeting, vector: dict[str, Any]) -> None:
    # A second CONNECT would be refused whatever is in it.
    if meeting.form.protocol == 4 and not vector.get("text", "").startswith("0"):
        await meeting.join()
    if vector["name"] in UNBOUNDED and isinstance(meeting.form, MsgpackForm):
        await meeting.send()
        assert len(await meeting.heard.next()) == 12
        return
    await meeting.send()
    assert await meeting.peer.until_closed() == []


async def connected(meeting: Meeting, packet: dict[str, Any]) -> None:
    if meeting.form.protocol == 4 or packet["nsp"] != "/":
        await meeting.send()
        assert meeting.form.read(await meeting.peer.receive()) == (CONNECT, packet["nsp"], None)
    # The query of the older protocol stands for the payload.
    expected = dict(parse_qsl(packet["query"])) if "query" in packet else packet.get("data")
    assert ((await meeting.came.next())[1] or None) == (filled(expected, meeting.form.attachments) or None)


async def disconnected(meeting: Meeting) -> None:
    await meeting.join()
    await meeting.send()
    assert await meeting.gone.next() == "client disconnect"


async def event(meeting: Meeting, packet: dict[str, Any], data: list[Any], is_emitted: bool) -> None:
    sid = await meeting.join()
    await meeting.send()
    # Handlers get the name as text.
    assert await meeting.heard.next() == [packet["event"], *data[1:]]
    if "id" in packet:
        assert meeting.form.read(await meeting.peer.receive()) == (ACK, packet["nsp"], packet["id"])
    elif is_emitted and isinstance(data[0], str):
        await meeting.sio.emit(data[0], tuple(data[1:]), to=sid, namespace=packet["nsp"])
        await meeting.expect_frames()


async def acknowledged(meeting: Meeting, packet: dict[str, Any], data: list[Any]) -> None:
    sid = await meeting.join()
    answers: Mailbox[tuple[Any, ...]] = Mailbox("ack callbacks")
    asked = None
    while asked != packet["id"]:
        await meeting.sio.emit(
            "question", to=sid, namespace=packet["nsp"], callback=lambda *args: answers.put(args)
        )
        asked = meeting.form.read(await meeting.peer.receive())[2]
    await meeting.send()
    assert await answers.next() == tuple(data)
    meeting.sio.on("ask", lambda sid: tuple(data), namespace=packet["nsp"])
    await meeting.peer.send(meeting.form.question(packet["nsp"], packet["id"]))
    await meeting.expect_frames()


async def turned_away(meeting: Meeting, message: Any, serve: Any, wire: Any) -> None:
    def refuse(sid: str, environ: Any, auth: Any) -> None:
        raise ConnectionRefusedError(message)

    meeting.sio.on("connect", refuse, namespace=meeting.namespace)
    peer = await wire(await serve(meeting.sio)).websocket(EIO=str(meeting.form.protocol))
    await peer.receive()
    if meeting.form.protocol == 4:
        await peer.send(meeting.form.connect(meeting.namespace))
    assert await peer.receive() == meeting.form.frames[0]


async def check(vector: dict[str, Any], form: TextForm | MsgpackForm, serve: Any, wire: Any) -> None:
    """What a packet does at the server, and that the server writes it the same way."""
    packet = vector.get("packet", {})
    meeting = Meeting(form, packet.get("nsp", "/"))
    raw = json.loads(packet["data_text"]) if "data_text" in packet else packet.get("data")
    if packet.get("type") == CONNECT_ERROR:
        # Only servers send it, and only some of what the vectors allow.
        message = raw.get("message") if isinstance(raw, dict) else raw
        if not vector.get("one_way") and (form.protocol == 3 or isinstance(raw, dict)):
            await turned_away(meeting, message, serve, wire)
        return
    await meeting.open(serve, wire)
    data = filled(raw, form.attachments)
    if "error" in vector:
        await refused(meeting, vector)
    elif packet["type"] == CONNECT:
        await connected(meeting, packet)
    elif packet["type"] == DISCONNECT:
        await disconnected(meeting)
    elif packet["type"] in (ACK, BINARY_ACK):
        await acknowledged(meeting, packet, data)
    else:
        # A packet whose attachments are not all in their places is not one that an encoder makes.
        placed = re.findall(r'{"_placeholder": true, "num": \d+}', json.dumps(raw))
        is_emitted = not vector.get("one_way") and len(form.attachments) in (0, len(placed))
        await event(meeting, packet, data, is_emitted)


@vectors("socket_packets")
async def test_socket_packets(serve, wire, vector):
    """every vector of a text packet"""
    await check(vector, TextForm(vector), serve, wire)


@vectors("msgpack_packets")
async def test_msgpack_packets(serve, wire, vector):
    """every vector of a MessagePack packet"""
    await check(vector, MsgpackForm(vector), serve, wire)


@vectors("engine_packets")
async def test_engine_packets(serve, wire, vector):
    """every vector of an Engine.IO packet"""
    packet, protocol = vector.get("packet", {}), vector["protocol"]
    form = TextForm({"text": "", "revision": 4 if protocol == 3 else 5})
    meeting = Meeting(form, "/")
    if packet.get("text") == "probe":
        http = wire(await serve(meeting.sio))
        answer = await http.request("GET", {"EIO": str(protocol), "transport": "polling"})
        session_id = re.search(r'"sid":"([^"]+)"', answer.body.decode(errors="replace"))
        assert session_id
        probe = await http.websocket(EIO=str(protocol), sid=session_id[1])
        await probe.send("2probe")
        assert await probe.receive() == "3probe"
        return
    await meeting.open(serve, wire)
    sid = await meeting.join()
    peer = meeting.peer
    if "hex" in packet:
        data = bytes.fromhex(packet["hex"])
        head = '451-["bytes",{"_placeholder":true,"num":0}]'
        await peer.send(head)
        await peer.send(wire_of(vector))
        assert await meeting.heard.next() == ["bytes", data]
        if "hex" in vector:
            await meeting.sio.emit("bytes", data, to=sid)
            assert [await peer.receive(), await peer.receive()] == [head, wire_of(vector)]
        return
    await peer.send(wire_of(vector))
    is_ping = packet.get("type") == "ping"
    # Text that is no Socket.IO packet, and a ping that only the server may send, end the connection, too.
    if "error" in vector or packet["type"] in ("close", "message") or (is_ping and protocol == 4):
        assert await peer.until_closed() == []
        return
    if is_ping:
        assert await peer.receive() == "3"
    await peer.send('4299["barrier"]')
    assert await peer.receive() == "4399[]"


@vectors("payloads")
async def test_payloads(serve, wire, vector):
    """every vector of a polling body"""
    protocol, packets = str(vector["protocol"]), vector["packets"]
    http = wire(await serve(new_server(allow_eio3=True)))
    opened = await http.request("GET", {"EIO": protocol, "transport": "polling"})
    session_id = re.search(r'"sid":"([^"]+)"', opened.body.decode(errors="replace"))
    assert session_id
    query = {"EIO": protocol, "transport": "polling", "sid": session_id[1]}
    content_type = "application/octet-stream" if vector.get("is_binary") else "text/plain;charset=UTF-8"
    answer = await http.request("POST", query, wire_of(vector), {"Content-Type": content_type})
    # The first message is no Socket.IO packet and ends the session; before that, the whole body was taken or refused.
    if not packets or "error" not in vector:
        assert answer.status == (400 if "error" in vector else 200)
    is_over = "error" in vector or any(packet["type"] in ("close", "message") for packet in packets)
    if is_over:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await http.websocket(EIO=protocol, sid=session_id[1])
    else:
        await http.websocket(EIO=protocol, sid=session_id[1])


def test_every_file_is_read():
    """no file of vectors is overlooked"""
    assert sorted(path.stem for path in FOLDER.glob("*.json")) == sorted(FILES)
