"""Events: every kind of value, names and order, in both directions."""

from __future__ import annotations

from typing import Any

import pytest

from support.target import new_server
from support.waiting import Mailbox

both_clients = pytest.mark.clients("js", "python")

EVERY_KIND: list[Any] = [
    None,
    True,
    False,
    0,
    -1,
    2.5,
    -1e-7,
    1e300,
    "",
    "text",
    [],
    {},
    [1, [2, [3, []]]],
    {"a": {"b": {"c": None}}},
    [None, {"": [False]}],
]

SCRIPTS = [
    "ASCII",
    "Grüße, naïve café",
    "Здравствуй, мир",
    "שלום עולם",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "你好,世界",
    "こんにちは",
    "😀👩‍👩‍👧‍👦🏴‍☠️",
    "\U0001d518\U0001d52b \U0010ffff",
    "".join(map(chr, range(0x20))) + "\x7f\x80\x9f",
    "\u2028\u2029\ufeff\ufffe",
    "quotes \" ' ` and \\ / slashes \\u0041",
    "\x1e record separator",
]


def with_echo(**options: Any) -> Any:
    """A server that sends every `echo` back, as an event and as an ack."""
    sio = new_server(**options)

    @sio.event
    async def echo(sid, *args):
        await sio.emit("echo", args, to=sid)
        return args

    return sio


def hearing(sio: Any, event: str) -> Mailbox[tuple[Any, ...]]:
    """Registers a handler that notes the arguments of `event`."""
    heard: Mailbox[tuple[Any, ...]] = Mailbox(f"{event} handlers")

    async def handler(sid: str, *args: Any) -> None:
        heard.put(args)

    sio.on(event, handler)
    return heard


def same(left: Any, right: Any) -> bool:
    """Equality that tells True from 1."""
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict) and isinstance(right, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    return isinstance(left, bool) == isinstance(right, bool) and left == right


@both_clients
@pytest.mark.both_loops
async def test_values_to_the_server(serve, connect):
    """every kind of JSON value reaches the server unchanged"""
    sio = new_server()
    heard = hearing(sio, "value")
    client = await connect(await serve(sio))
    for value in EVERY_KIND:
        await client.emit("value", value)
    for value in EVERY_KIND:
        (got,) = await heard.next()
        assert same(got, value), (got, value)


@both_clients
@pytest.mark.both_loops
async def test_values_to_the_client(serve, connect):
    """every kind of JSON value reaches the client unchanged"""
    sio = new_server()
    client = await connect(await serve(sio))
    for value in EVERY_KIND:
        # A bare None as data means no argument at all.
        await sio.emit("value", (value,), to=client.sid)
    for value in EVERY_KIND:
        (got,) = await client.receive("value")
        assert same(got, value), (got, value)


@both_clients
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_scripts(serve, connect, transport):
    """text in every script, surrogate pairs and control characters survive both ways"""
    sio = with_echo()
    client = await connect(await serve(sio), transports=[transport])
    for text in SCRIPTS:
        assert await client.call("echo", text, {text: text}) == (text, {text: text})
        assert await client.receive("echo") == (text, {text: text})


async def test_lone_surrogates(serve, connect_js):
    """a lone surrogate does not break the connection"""
    sio = with_echo()
    client = await connect_js(await serve(sio))
    # What becomes of the surrogate itself is the host language's affair; what follows it must arrive.
    await client.emit("echo", "\ud800")
    await client.emit("echo", "a\udfffb")
    assert await client.call("echo", "after") == ("after",)


@both_clients
async def test_no_arguments(serve, connect):
    """an event without arguments has none on the other side"""
    sio = new_server()
    heard = hearing(sio, "nothing")
    client = await connect(await serve(sio))
    await client.emit("nothing")
    assert await heard.next() == ()
    await sio.emit("nothing", to=client.sid)
    assert await client.receive("nothing") == ()


@both_clients
async def test_many_arguments(serve, connect):
    """many arguments arrive in their order"""
    sio = with_echo()
    client = await connect(await serve(sio))
    args = tuple(range(100))
    assert await client.call("echo", *args) == args
    assert await client.receive("echo") == args


async def test_proto_key(serve, connect_js):
    """a `__proto__` key stays plain data and pollutes nothing"""
    sio = with_echo()
    client = await connect_js(await serve(sio))
    value = {"__proto__": {"polluted": True}, "__class__": "x", "__init__": None}
    assert await client.call("echo", value) == (value,)


@both_clients
async def test_odd_keys(serve, connect):
    """keys such as `constructor`, `toString` and `_placeholder` stay plain data"""
    sio = with_echo()
    client = await connect(await serve(sio))
    value = {
        "constructor": 1,
        "toString": 2,
        "hasOwnProperty": 3,
        "_placeholder": False,
        "num": 0,
        "length": -1,
    }
    assert await client.call("echo", value) == (value,)


@both_clients
@pytest.mark.parametrize(
    "name",
    [
        "with space",
        "emoji 🎉",
        "0",
        "42[]",
        '2["nested"]',
        "/namespace,",
        '"quoted"',
        "back\\slash",
        "line\nbreak",
        "\x1e",
        "__proto__",
        "constructor",
        "message",
        "ping",
        "x" * 10_000,
    ],
    ids=lambda name: ascii(name)[:20],
)
async def test_event_names(serve, connect, name):
    """an event name may be any text, also one that looks like a packet"""
    sio = new_server()
    heard = hearing(sio, name)
    client = await connect(await serve(sio))
    await client.emit(name, 1)
    assert await heard.next() == (1,)
    await sio.emit(name, 2, to=client.sid)
    assert await client.receive(name) == (2,)


@both_clients
async def test_numbers(serve, connect):
    """numbers keep their precision"""
    sio = with_echo()
    client = await connect(await serve(sio))
    numbers = (
        0.1,
        1 / 3,
        9007199254740991,
        -9007199254740991,
        5e-324,
        1.7976931348623157e308,
        123456789.123456789,
    )
    assert await client.call("echo", *numbers) == numbers
    assert await client.receive("echo") == numbers


@pytest.mark.clients("python")
async def test_integers_beyond_a_double(serve, connect):
    """numbers keep their precision"""
    sio = with_echo()
    client = await connect(await serve(sio))
    numbers = (2**53 + 1, -(2**63), 2**64, 10**40)
    assert await client.call("echo", *numbers) == numbers
    assert all(isinstance(number, int) for number in await client.receive("echo"))


@both_clients
async def test_deep_nesting(serve, connect):
    """a nested structure of a hundred levels survives both ways"""
    sio = with_echo()
    client = await connect(await serve(sio))
    value: Any = "bottom"
    for level in range(50):
        value = {str(level): [value]}
    assert await client.call("echo", value) == (value,)
    assert await client.receive("echo") == (value,)


async def big_payload(serve: Any, connect: Any, transport: str) -> None:
    sio = with_echo()
    client = await connect(await serve(sio), transports=[transport])
    text = "half a megabyte ☂ " * 25_000
    assert await client.call("echo", text) == (text,)
    assert await client.receive("echo") == (text,)


@both_clients
async def test_big_payload_over_websocket(serve, connect):
    """a payload of half a megabyte survives both ways over WebSocket"""
    await big_payload(serve, connect, "websocket")


@both_clients
async def test_big_payload_over_polling(serve, connect):
    """a payload of half a megabyte survives both ways over long-polling"""
    await big_payload(serve, connect, "polling")


@pytest.mark.both_loops
async def test_order_from_the_client(serve, connect_js):
    """a thousand events from the client arrive in order"""
    sio = new_server()
    heard = hearing(sio, "number")
    client = await connect_js(await serve(sio), transports=["websocket"])
    client.burst("number", 1000)
    assert await heard.wait_for(1000) == [(number,) for number in range(1000)]


@both_clients
@pytest.mark.both_loops
async def test_order_from_the_server(serve, connect):
    """a thousand events from the server arrive in order"""
    sio = new_server()
    client = await connect(await serve(sio), transports=["websocket"])
    for number in range(1000):
        await sio.emit("number", number, to=client.sid)
    assert await client.receive_many("number", 1000) == [(number,) for number in range(1000)]


@pytest.mark.ferrio_only("python-socketio drops a post of more than 16 packets and answers 200.")
async def test_order_over_polling(serve, connect_js):
    """a thousand events over long-polling arrive in order in both directions"""
    sio = new_server()
    heard = hearing(sio, "number")
    client = await connect_js(await serve(sio), transports=["polling"])
    client.burst("number", 1000)
    for number in range(1000):
        await sio.emit("number", number, to=client.sid)
    numbers = [(number,) for number in range(1000)]
    assert await heard.wait_for(1000) == numbers
    assert await client.receive_many("number", 1000) == numbers


@pytest.mark.clients("python")
@pytest.mark.ferrio_only("python-socketio may answer a poll with more packets than its own client accepts.")
async def test_order_over_polling_to_the_python_client(serve, connect):
    """a thousand events over long-polling arrive in order in both directions"""
    sio = new_server()
    client = await connect(await serve(sio), transports=["polling"])
    for number in range(1000):
        await sio.emit("number", number, to=client.sid)
    assert await client.receive_many("number", 1000) == [(number,) for number in range(1000)]


async def test_catch_all(serve, connect_js):
    """catch-all listeners hear every event before its own listener"""
    # In Python the catch-all handler stands in for handlers that are missing, and gets the event's name first.
    sio = new_server()
    order: Mailbox[tuple[Any, ...]] = Mailbox("handlers")

    @sio.on("*")
    async def anything(event, sid, *args):
        order.put(("catch-all", event, sid, *args))
        return "caught"

    @sio.event
    async def known(sid, *args):
        order.put(("own", "known", sid, *args))

    client = await connect_js(await serve(sio))
    assert await client.call("unknown", 1, 2) == ("caught",)
    assert await order.next() == ("catch-all", "unknown", client.sid, 1, 2)
    assert await client.call("known", 3) == ()
    assert await order.next() == ("own", "known", client.sid, 3)


async def test_unencodable_value(serve, connect_js):
    """a value that JSON cannot carry throws where it is emitted"""
    sio = new_server()
    client = await connect_js(await serve(sio))
    with pytest.raises(TypeError):
        await sio.emit("value", {"an": object()}, to=client.sid)
    with pytest.raises(TypeError):
        await sio.emit("value", {1, 2}, to=client.sid)
    await sio.emit("value", "fine", to=client.sid)
    assert await client.receive("value") == ("fine",)


@both_clients
async def test_send(serve, connect):
    """send is an event named message"""
    sio = new_server()
    client = await connect(await serve(sio))
    await sio.send("hello", to=client.sid)
    assert await client.receive("message") == ("hello",)


@both_clients
async def test_unheard_event(serve, connect):
    """an event nobody listens for does no harm"""
    sio = with_echo()
    client = await connect(await serve(sio))
    await client.emit("whatever", {"a": 1}, b"\x00\x01")
    assert await client.call("echo", "still here") == ("still here",)
