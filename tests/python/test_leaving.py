"""Clients that leave while their handlers are at work."""

from __future__ import annotations

import asyncio
import gc
import json
import weakref
from typing import Any

import pytest

from support.target import QUICK_HEARTBEAT, AsyncNamespace, new_server, target
from support.waiting import Mailbox, soon, until

pytestmark = pytest.mark.ferrio_only("python-socketio notices some of it, and late")

SHARE = 256


def held(sio: Any) -> dict[str, int]:
    """What is kept, but for the tasks of handlers at work."""
    return {kind: count for kind, count in sio._bridge.native.held().items() if count and kind != "kept"}


def vanish(websocket: Any) -> None:
    """Ends a client without a word."""
    websocket._websocket._response.connection.transport.abort()


class Checks:
    """A server whose connect handler waits until it is told what to do."""

    def __init__(self, **options: Any) -> None:
        self.sio = new_server(**options)
        self.log: Mailbox[Any] = Mailbox("handlers")
        self.go_on = asyncio.Event()
        self.decision: Any = None
        self.sio.on("connect", self.connect)
        self.sio.on("disconnect", self.disconnect)

    async def connect(self, sid: str, environ: Any, auth: Any) -> Any:
        await self.sio.save_session(sid, {"name": "Ada"})
        self.log.put("connect")
        await self.go_on.wait()
        if isinstance(self.decision, Exception):
            raise self.decision
        return self.decision

    async def disconnect(self, sid: str, reason: str) -> None:
        session = await self.sio.get_session(sid)
        await self.sio.emit("farewell", to=sid)
        await self.sio.leave_room(sid, "room")
        await asyncio.sleep(0)
        self.log.put((reason, session, self.sio.rooms(sid) == [sid]))


@pytest.mark.parametrize("decision", [None, False, RuntimeError("boom")])
@pytest.mark.parametrize("leave", ["vanish", "close", "poll"])
async def test_during_the_check(serve, wire, leave, decision):
    """a client that leaves while its connect handler waits is forgotten at once, and has a disconnect if it was let in"""
    checks = Checks()
    sio = checks.sio
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
    server = await serve(sio)
    if leave == "poll":
        session = await wire(server).open_session()
        await session.post("40")
        await checks.log.wait_for(1)
        assert held(sio) == {"pending": 1}
        await session.post("1")
    else:
        websocket = await wire(server).websocket()
        await websocket.receive()
        await websocket.send("40")
        await checks.log.wait_for(1)
        assert held(sio) == {"pending": 1}
        if leave == "vanish":
            vanish(websocket)
        else:
            await websocket.close()
    await until(lambda: held(sio) == {}, "the client is forgotten")
    assert checks.log.seen == ["connect"]
    checks.decision = decision
    checks.go_on.set()
    if decision is None:
        reason, *rest = (await checks.log.wait_for(2))[1]
        assert reason in ("transport close", "transport error")
        assert rest == [{"name": "Ada"}, True]
    await until(lambda: sio._bridge.native.held()["kept"] == 0, "the end of the handlers")
    await soon(sio.shutdown(), "the end of the server")
    assert len(checks.log.seen) == (2 if decision is None else 1)


@pytest.mark.doors("standalone")
async def test_during_a_middleware(serve, wire):
    """a client that only a middleware has seen has no disconnect"""
    sio = new_server()
    log: Mailbox[str] = Mailbox("handlers")
    go_on = asyncio.Event()

    @sio.use
    async def check(sid, environ, auth):
        log.put("check")
        await go_on.wait()

    sio.on("disconnect", lambda sid, reason: log.put("disconnect"))
    websocket = await wire(await serve(sio)).websocket()
    await websocket.receive()
    await websocket.send("40")
    await log.wait_for(1)
    vanish(websocket)
    await until(lambda: held(sio) == {}, "the client is forgotten")
    go_on.set()
    await until(lambda: sio._bridge.native.held()["kept"] == 0, "the end of the middleware")
    assert log.seen == ["check"]


@pytest.mark.doors("standalone")
async def test_check_of_one_that_comes_back(serve, wire):
    """a client that leaves while it is asked about on its return may return once more, to its session"""
    checks = Checks(connection_state_recovery=True)
    sio = checks.sio
    checks.go_on.set()
    server = await serve(sio)
    websocket = await wire(server).websocket()
    await websocket.receive()
    await websocket.send("40")
    joined = json_of(await websocket.receive())
    await sio.save_session(joined["sid"], {"name": "Grace"})
    await sio.emit("news")
    offset = json_of(await websocket.receive())[-1]
    vanish(websocket)
    await checks.log.wait_for(2)
    checks.sio.on("connect", lambda sid, environ, auth: checks.go_on.wait())
    auth = {"pid": joined["pid"], "offset": offset}
    checks.go_on.clear()
    for attempt in range(2):
        websocket = await wire(server).websocket()
        await websocket.receive()
        await websocket.send("40" + json.dumps(auth))
        await until(lambda: held(sio) == {"pending": 1}, "the connect handler")
        assert (await sio.get_session(joined["sid"])) == {"name": "Grace"}
        if attempt == 0:
            vanish(websocket)
            await until(lambda: held(sio) == {"sessions": 1}, "the client is forgotten")
    checks.go_on.set()
    # What it has missed comes first.
    while not str(packet := await websocket.receive()).startswith("40"):
        pass
    assert json_of(packet)["sid"] == joined["sid"]
    assert (await sio.get_session(joined["sid"])) == {"name": "Grace"}


@pytest.mark.parametrize("async_handlers", [True, False])
@pytest.mark.parametrize("number", [1, 2 * SHARE])
async def test_handlers_that_never_end(serve, wire, async_handlers, number):
    """a client that leaves is noticed though its handlers never end, however many of its events wait"""
    sio = new_server(async_handlers=async_handlers, **QUICK_HEARTBEAT)
    log: Mailbox[Any] = Mailbox("handlers")
    sio.on("disconnect", lambda sid, reason: log.put("disconnect"))

    @sio.event
    async def work(sid, number):
        log.put(number)
        await asyncio.Event().wait()

    server = await serve(sio)
    websocket = await wire(server).joined_websocket()
    for one in range(number):
        await websocket.send(f'42["work",{one}]')
    await log.wait_for(1)
    if number > SHARE:
        await until(lambda: sio.metrics()["host_queue_pauses"], "the pause")
    vanish(websocket)
    await until(lambda: log.seen[-1] == "disconnect", "the disconnect handler")
    assert await sio.fetch_sockets() == []
    await soon(sio.shutdown(), "the end of the server")
    assert log.seen.count("disconnect") == 1
    assert held(sio) == {} if sio._bridge else True


async def test_connect_handlers_that_never_end(serve, wire):
    """a client that was let in first is noticed when it leaves though its connect handler never ends"""
    sio = new_server(always_connect=True, **QUICK_HEARTBEAT)
    log: Mailbox[Any] = Mailbox("handlers")

    class Handlers(AsyncNamespace):
        async def on_connect(self, sid: str, environ: Any) -> None:
            log.put("connect")
            await asyncio.Event().wait()

        async def on_disconnect(self, sid: str, reason: str) -> None:
            await self.save_session(sid, {"late": True})
            log.put("disconnect")

        async def on_early(self, sid: str) -> None:
            log.put("early")

    sio.register_namespace(Handlers())
    server = await serve(sio)
    websocket = await wire(server).joined_websocket()
    await websocket.send('42["early"]')
    await log.wait_for(1)
    vanish(websocket)
    assert await log.wait_for(2) == ["connect", "disconnect"]
    assert held(sio) == {}


@pytest.mark.doors("standalone")
async def test_slow_handlers(serve, wire):
    """what a client sent before it left is handled, one by one, as long as each handler ends in time"""
    sio = new_server(async_handlers=False, ping_interval=1, ping_timeout=0.5)
    log: Mailbox[Any] = Mailbox("handlers")
    sio.on("disconnect", lambda sid, reason: log.put("disconnect"))

    @sio.event
    async def work(sid, number):
        # Together they take longer than one may.
        await asyncio.sleep(0.4)
        log.put(number)

    server = await serve(sio)
    websocket = await wire(server).joined_websocket()
    for number in range(6):
        await websocket.send(f'42["work",{number}]')
    await websocket.close()
    assert await log.wait_for(7) == [*range(6), "disconnect"]


class Marker:
    """Goes with the connection in whose scope it is."""


@pytest.mark.doors("uvicorn")
@pytest.mark.parametrize("async_handlers", [True, False])
async def test_nothing_is_kept(serve, wire, async_handlers):
    """nothing is kept of a client that has gone, though its handlers never end"""
    sio = new_server(async_handlers=async_handlers, **QUICK_HEARTBEAT)
    log: Mailbox[str] = Mailbox("handlers")
    markers: list[weakref.ref[Marker]] = []

    @sio.event
    async def work(sid):
        log.put("begun")
        await asyncio.Event().wait()

    sio.on("disconnect", lambda sid, reason: log.put("disconnect"))
    inner = target.ASGIApp(sio)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            scope["marker"] = Marker()
            markers.append(weakref.ref(scope["marker"]))
        await inner(scope, receive, send)

    server = await serve(sio, whole_app=app)
    for _ in range(3):
        websocket = await wire(server).joined_websocket()
        await websocket.send('421["work"]')
        await websocket.send('422["work"]')
        await until(lambda: "begun" in log.seen, "a handler")
        vanish(websocket)
        await until(lambda: log.seen and log.seen[-1] == "disconnect", "the disconnect handler")

    def all_gone() -> bool:
        gc.collect()
        return all(marker() is None for marker in markers)

    assert len(markers) == 3
    await until(all_gone, "the end of all connections")


def json_of(packet: Any) -> Any:
    return json.loads(packet.lstrip("0123456789"))
