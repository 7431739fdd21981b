"""Values, names and clients that are meant to do harm."""

from __future__ import annotations

import asyncio
import collections
import gc
import json
import math
import types
from typing import Any

import pytest

from support.target import ConnectionRefusedError, TimeoutError, new_server
from support.waiting import Mailbox, soon, until

pytestmark = [
    pytest.mark.doors("uvicorn"),
    pytest.mark.ferrio_only("python-socketio has its own faults here"),
]

LONE = "\ud800"


def cycle() -> list[Any]:
    values: list[Any] = [1]
    values.append({"again": values})
    return values


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


class Angry(dict[str, Any]):
    """A mapping whose every method raises."""

    def items(self) -> Any:
        raise KeyError("items")

    __iter__ = __len__ = __getitem__ = __str__ = __repr__ = __eq__ = __bool__ = items  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]


class Nameless(type):
    def __getattribute__(cls, name: str) -> Any:
        if name in ("__name__", "__qualname__", "__module__"):
            raise KeyError("name")
        return super().__getattribute__(name)


class Unknown(metaclass=Nameless):
    def __str__(self) -> str:
        raise KeyError("text")

    __repr__ = __str__


class ChoosyError(Exception):
    def __init__(self, first: Any, second: Any) -> None:
        super().__init__(first, second)


BAD: list[tuple[Any, tuple[type[BaseException], ...]]] = [
    (math.nan, (ValueError,)),
    ([math.inf], (ValueError,)),
    (10**5000, (ValueError,)),
    (cycle(), (RecursionError, ValueError)),
    (deep(100_000), (RecursionError,)),
    ({(1, 2): 3}, (TypeError,)),
    ([Unknown()], (TypeError, KeyError)),
    (object(), (TypeError,)),
    ({1, 2}, (TypeError,)),
]

JSON_MODULES = {
    "native": None,
    "json": json,
    "own": types.SimpleNamespace(dumps=lambda value: json.dumps(value).encode(), loads=json.loads),
}


@pytest.mark.parametrize("module", JSON_MODULES)
async def test_values_that_cannot_be_sent(serve, connect_js, module):
    """a value that cannot be sent raises where it is sent, and nothing of it is"""
    sio = new_server(json=JSON_MODULES[module])
    client = await connect_js(await serve(sio))
    for value, kinds in BAD:
        for data in (value, (1, value), {"a": [value]}):
            if module != "native" and (value is BAD[0][0] or value is BAD[1][0]):
                continue  # Python's own module writes NaN.
            with pytest.raises(kinds):
                await sio.emit("bad", data)
            with pytest.raises(kinds):
                await sio.call("bad", data, to=client.sid)
    await sio.emit("good", [2**70, -(2**70), "\x00", LONE + "x\U0001f600" + LONE])
    assert (await client.receive("good"))[0][2] == "\x00"
    assert client.received("bad") == []
    assert set(sio._bridge.native.held().values()) == {0}


async def test_module_that_raises(serve, connect_js):
    """what the application's own JSON module raises comes as it is, whenever it does"""

    def dumps(value: Any) -> str:
        if value == "choosy":
            raise ChoosyError(1, 2)
        if value == "again":
            # From inside of an emit.
            asyncio.ensure_future(sio.emit("inner", 1)).add_done_callback(lambda task: task.result())
        return "\udcff" if value == "text" else json.dumps(value)

    sio = new_server(json=types.SimpleNamespace(dumps=dumps, loads=json.loads))
    client = await connect_js(await serve(sio))
    with pytest.raises(ChoosyError):
        await sio.emit("bad", "choosy")
    with pytest.raises(UnicodeEncodeError):
        await sio.emit("bad", "text")
    await sio.emit("outer", "again")
    assert await client.receive("outer") == ("again",)
    assert await client.receive("inner") == (1,)


@pytest.mark.parametrize("module", ["native", "own"])
@pytest.mark.parametrize("way", ["call", "call_all"])
async def test_answers_that_cannot_be_read(serve, wire, module, way):
    """an answer that cannot be read is told to whoever waits for it, and costs nobody else's"""

    def loads(text: str) -> Any:
        if "boom" in text:
            raise StopIteration("boom")
        return json.loads(text)

    errors: Mailbox[Any] = Mailbox("errors")
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.put(context["exception"]))
    sio = new_server(
        json=None if module == "native" else types.SimpleNamespace(dumps=json.dumps, loads=loads)
    )
    server = await serve(sio)
    websockets = [await wire(server).joined_websocket() for _ in range(2)]
    sids = [client.sid for client in await sio.fetch_sockets()]
    bad = "1" * 5000 if module == "native" else '"boom"'
    if way == "call_all":
        asked = asyncio.ensure_future(sio.call_all("question", timeout=None))
        for websocket, answer in zip(websockets, (bad, "7"), strict=True):
            question = str(await websocket.receive())
            await websocket.send(f"43{question[2 : question.index('[')]}[{answer}]")
    else:
        asked = asyncio.ensure_future(sio.call("question", to=sids, timeout=None))
        for websocket in websockets:
            question = str(await websocket.receive())
            await websocket.send(f"43{question[2 : question.index('[')]}[{bad}]")
    with pytest.raises(TimeoutError, match="cannot be read") as raised:
        await soon(asked, "the end of the call")
    assert raised.value.answers == ([7] if way == "call_all" else [])
    assert isinstance(await errors.next(), (ValueError, StopIteration))
    await until(lambda: set(sio._bridge.native.held().values()) == {0}, "the end of all waits")


@pytest.mark.parametrize("timeout", [60, None, math.inf, 1e300])
async def test_waits_that_are_given_up(serve, wire, timeout):
    """waits for answers that are given up leave nothing behind, however long they might have lasted"""
    sio = new_server()
    websocket = await wire(await serve(sio)).joined_websocket()
    [client] = await sio.fetch_sockets()
    ways = [
        lambda: sio.call("question", to=client.sid, timeout=timeout),
        lambda: sio.call_all("question", timeout=timeout),
    ]
    for ask in ways:
        asked = [asyncio.ensure_future(ask()) for _ in range(100)]
        await websocket.receive()
        assert sio._bridge.native.held()["acks"] == 100
        for one in asked:
            one.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        assert set(sio._bridge.native.held().values()) == {0}
        for _ in range(99):
            await websocket.receive()


@pytest.mark.parametrize("timeout", [0, -1, -math.inf])
async def test_waits_that_are_over(serve, wire, timeout):
    """a limit of time that is up has nobody wait"""
    sio = new_server()
    websocket = await wire(await serve(sio)).joined_websocket()
    [client] = await sio.fetch_sockets()
    with pytest.raises(TimeoutError):
        await soon(sio.call("question", to=client.sid, timeout=timeout))
    with pytest.raises(TimeoutError):
        await soon(sio.call_all("question", timeout=timeout))
    with pytest.raises(ValueError, match="not a number"):
        await sio.call("question", to=client.sid, timeout=math.nan)
    await websocket.close()


async def test_containers_of_other_makes(serve, connect_js):
    """subclasses of the containers are written by their content"""
    sio = new_server()
    client = await connect_js(await serve(sio))
    await sio.emit("values", [Angry(a=1), collections.OrderedDict(b=2), collections.namedtuple("P", "x")(3)])
    assert await client.receive("values") == ([{"a": 1}, {"b": 2}, [3]],)


async def test_lone_surrogates(serve, connect_js):
    """lone surrogates in every place do no harm"""
    sio = new_server()
    sio.on("event" + LONE, lambda sid, *args: args)
    sio.on("x", lambda sid: None, namespace="/space" + LONE)
    client = await connect_js(await serve(sio))
    assert await client.call("event" + LONE, LONE) == (LONE,)
    await sio.emit("to" + LONE, LONE)
    await sio.emit("fence")
    await client.receive("fence")
    for call in (
        lambda: sio.emit("x", namespace="/other" + LONE),
        lambda: sio.disconnect("sid" + LONE),
        lambda: sio.leave_room("sid" + LONE, "room"),
        lambda: sio.disconnect("sid", namespace="/" + LONE),
    ):
        await call()
    assert sio.rooms("sid" + LONE) == []
    assert sio.rooms(5) == []
    assert sio.get_environ(None) is None
    assert await sio.fetch_sockets(namespace="/" + LONE) == []
    with pytest.raises(KeyError):
        await sio.get_session("sid" + LONE)
    assert (await client.call("event" + LONE, 1)) == (1,)


async def test_refusals_with_lone_surrogates(serve, wire):
    """a refusal with a lone surrogate reaches the client"""
    sio = new_server()

    @sio.event
    async def connect(sid, environ, auth):
        assert auth == {"token": LONE}
        raise ConnectionRefusedError("no" + LONE, {"why" + LONE: LONE})

    session = await wire(await serve(sio)).open_session()
    await session.post(r'40{"token":"\ud800"}')
    refusal = await session.receive()
    assert refusal.startswith("44{")
    assert json.loads(refusal[2:])["data"] == {"why" + LONE: LONE}
    assert json.loads(refusal[2:])["message"].startswith("no")


async def test_event_named_star(serve, connect_js):
    """an event named like the catch-all handler does not choose what that gets first"""
    sio = new_server()
    seen: Mailbox[Any] = Mailbox("handlers")

    @sio.on("*")
    async def catch_all(event, sid, *args):
        seen.put((event, sid, *args))

    client = await connect_js(await serve(sio))
    await client.emit("*", "another's id", 1)
    assert await seen.next() == ("*", client.sid, "another's id", 1)


async def test_nothing_is_left_behind(serve, wire):
    """nothing is kept of clients that were refused, left early or were given up"""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: None)
    sio = new_server(connection_state_recovery={"max_disconnection_duration": 0.05})
    n_asked = 0
    never = asyncio.Event()

    @sio.event
    async def connect(sid, environ, auth):
        nonlocal n_asked
        n_asked += 1
        sio.get_environ(sid)["seen"] = await sio.get_session(sid)
        await sio.emit("question", to=sid, callback=lambda *args: None)
        kind = (auth or {}).get("kind")
        if kind == "refuse":
            return False
        if kind == "later":
            await asyncio.sleep(0)
            raise ConnectionRefusedError("later")
        if kind == "text":
            raise ConnectionRefusedError("no", object())
        if kind == "raise":
            raise ValueError(Unknown())
        if kind == "exit":
            raise GeneratorExit
        if kind == "cancel":
            asyncio.current_task().cancel()
        if kind in ("cancel", "never"):
            await never.wait()
        return None

    sio.on("disconnect", lambda sid, reason: None)
    server = await serve(sio)
    kinds = ["refuse", "later", "text", "raise", "exit", "cancel", "never", "stay"]
    n_clients = 0
    for _ in range(12):
        websockets = []
        for kind in kinds:
            for _ in range(5):
                websocket = await wire(server).websocket()
                await websocket.receive()
                await websocket.send(f'40{{"kind":"{kind}"}}')
                websockets.append(websocket)
                n_clients += 1
        await until(lambda: n_asked == n_clients, "all connect handlers")  # noqa: B023 - awaited here
        for websocket in websockets:
            await websocket.close()
    never.set()
    native = sio._bridge.native
    await until(lambda: native.connections == 0, "the end of all connections")
    await until(lambda: set(native.held().values()) == {0}, f"the end of all that was kept: {native.held()}")
    gc.collect()
    assert await sio.fetch_sockets() == []


async def test_calls_that_are_given_up(serve, wire):
    """nothing is kept of calls that were cancelled, were too late, or whose client left"""
    sio = new_server()
    server = await serve(sio)
    websocket = await wire(server).joined_websocket()
    [client] = await sio.fetch_sockets()
    calls = [asyncio.ensure_future(sio.call("question", to=client.sid, timeout=None)) for _ in range(100)]
    await websocket.receive()
    for call in calls[:50]:
        call.cancel()
    for timeout in (0.01, 0.001, 0):
        with pytest.raises(TimeoutError):
            await sio.call("question", to=client.sid, timeout=timeout)
    await asyncio.gather(*calls[:50], return_exceptions=True)
    assert sio._bridge.native.held()["acks"] == 50
    await sio.emit("question", callback=lambda *args: None)
    await websocket.close()
    results = await soon(asyncio.gather(*calls[50:], return_exceptions=True), "the end of the calls")
    assert all(isinstance(result, TimeoutError) for result in results)
    await until(lambda: sio._bridge.native.held()["acks"] == 0, "the end of all waits")


async def test_namespaces_that_clients_make_up(serve, wire):
    """a namespace that a client brought into being goes with its last client, also when it is refused"""
    sio = new_server(namespaces="*")
    sio.on("connect", lambda namespace, sid, environ, auth: auth is None, namespace="*")
    sio.on("echo", lambda sid, *args: args, namespace="/kept")
    server = await serve(sio)
    for number in range(50):
        websocket = await wire(server).websocket()
        await websocket.receive()
        await websocket.send(f"40/x{number},")
        await websocket.receive()
        await websocket.send(f'40/y{number},{{"no":1}}')
        await websocket.receive()
        await websocket.close()
    await until(lambda: sio._bridge.native.namespaces() == ["/kept"], "the end of the namespaces")
