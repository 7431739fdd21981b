"""Namespaces: several over one connection, each with its own handlers, ids, payloads and acks."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.target import AsyncNamespace, new_server
from support.waiting import Mailbox

both_clients = pytest.mark.clients("js", "python")
follows_the_js_server = pytest.mark.ferrio_only(
    "python-socketio logs such a packet and keeps the connection."
)


def with_echo(*namespaces: str) -> Any:
    """A server whose namespaces acknowledge `echo` with their own name and the arguments."""
    sio = new_server()

    def register(namespace: str) -> None:
        async def echo(sid: str, *args: Any) -> Any:
            return (namespace, *args)

        sio.on("echo", echo, namespace=namespace)

    for namespace in namespaces:
        register(namespace)
    return sio


@both_clients
@pytest.mark.both_loops
async def test_static(serve, connect):
    """a client joins a static namespace"""
    sio = with_echo("/chat")
    client = await connect(await serve(sio), namespace="/chat")
    assert await client.call("echo", 1) == ("/chat", 1)


@both_clients
async def test_class(serve, connect):
    """a client joins a static namespace"""
    seen: Mailbox[tuple[Any, ...]] = Mailbox("the namespace's handlers")

    class Chat(AsyncNamespace):
        async def on_connect(self, sid, environ, auth):
            seen.put(("connect", sid))

        async def on_echo(self, sid, *args):
            await self.emit("echoed", args, to=sid)
            return args

        def on_disconnect(self, sid, reason):
            seen.put(("disconnect", sid))

    sio = new_server()
    sio.register_namespace(Chat("/chat"))
    client = await connect(await serve(sio), namespace="/chat")
    assert await client.call("echo", 1, 2) == (1, 2)
    assert await client.receive("echoed") == (1, 2)
    assert await seen.next() == ("connect", client.sid)
    await sio.disconnect(client.sid, namespace="/chat")
    assert await seen.next() == ("disconnect", client.sid)


async def test_shared_connection(serve, connect_js):
    """two namespaces share one connection"""
    sio = with_echo("/", "/chat")
    server = await serve(sio)
    main = await connect_js(server)
    chat = await connect_js(server, namespace="/chat", shared=main)
    assert main.engine_sid == chat.engine_sid
    assert await main.call("echo", 1) == ("/", 1)
    assert await chat.call("echo", 2) == ("/chat", 2)


async def test_events_stay_inside(serve, connect_js):
    """events of one namespace are not heard in another"""
    sio = with_echo("/", "/chat")
    heard: Mailbox[tuple[Any, ...]] = Mailbox("handlers of the main namespace")

    @sio.event
    async def private(sid, *args):
        heard.put(args)

    server = await serve(sio)
    main = await connect_js(server)
    chat = await connect_js(server, namespace="/chat", shared=main)
    await chat.emit("private", "from chat")
    await sio.emit("news", "for chat", namespace="/chat")
    await sio.emit("news", "for main")
    assert await chat.receive("news") == ("for chat",)
    assert await main.receive("news") == ("for main",)
    await main.emit("private", "from main")
    assert await heard.next() == ("from main",)
    assert len(main.received("news")) == len(chat.received("news")) == 1


async def test_acks_do_not_mix(serve, connect_js):
    """acks of two namespaces on one connection do not mix"""
    sio = with_echo("/", "/chat")
    server = await serve(sio)
    main = await connect_js(server)
    chat = await connect_js(server, namespace="/chat", shared=main)
    await main.answer("question", "main")
    await chat.answer("question", "chat")
    answers = await asyncio.gather(
        *(sio.call("question", to=main.sid, timeout=10) for _ in range(5)),
        *(sio.call("question", to=chat.sid, namespace="/chat", timeout=10) for _ in range(5)),
        *(main.call("echo") for _ in range(5)),
        *(chat.call("echo") for _ in range(5)),
    )
    assert answers == ["main"] * 5 + ["chat"] * 5 + [("/",)] * 5 + [("/chat",)] * 5


async def test_leaving_one(serve, connect_js):
    """leaving one namespace keeps the other"""
    sio = with_echo("/", "/chat")
    gone: Mailbox[str] = Mailbox("disconnect handlers")

    @sio.on("disconnect", namespace="/chat")
    async def left(sid, reason):
        gone.put(sid)

    server = await serve(sio)
    main = await connect_js(server)
    chat = await connect_js(server, namespace="/chat", shared=main)
    await chat.disconnect()
    assert await gone.next() == chat.sid
    assert await main.call("echo") == ("/",)


async def test_rejoining(serve, connect_js):
    """a client rejoins a namespace on the same connection"""
    sio = with_echo("/", "/chat")
    server = await serve(sio)
    main = await connect_js(server)
    chat = await connect_js(server, namespace="/chat", shared=main)
    first = chat.sid
    await chat.disconnect()
    await chat.disconnected()
    chat.reconnect()
    second = await chat.connected()
    assert second != first
    assert chat.engine_sid == main.engine_sid
    assert await chat.call("echo") == ("/chat",)


async def test_rejoining_in_one_breath(serve, connect_js):
    """a client may leave and rejoin a namespace in one breath"""
    sio = with_echo("/", "/chat")
    server = await serve(sio)
    main = await connect_js(server)
    chat = await connect_js(server, namespace="/chat", shared=main)
    for _ in range(5):
        before = chat.sid
        await chat.disconnect()
        chat.reconnect()
        assert await chat.connected() != before
    assert await chat.call("echo") == ("/chat",)
    assert await main.call("echo") == ("/",)


async def test_ids(serve, connect_js):
    """each namespace has its own socket ids"""
    sio = with_echo("/", "/chat")
    server = await serve(sio)
    main = await connect_js(server)
    chat = await connect_js(server, namespace="/chat", shared=main)
    assert len({main.sid, chat.sid, main.engine_sid}) == 3


async def test_auth_payloads(serve, connect_js):
    """a namespace has its own auth payload"""
    sio = new_server()
    seen: Mailbox[tuple[str, Any]] = Mailbox("connect handlers")

    def register(namespace: str) -> None:
        async def connect(sid: str, environ: Any, auth: Any) -> None:
            seen.put((namespace, auth))

        sio.on("connect", connect, namespace=namespace)

    register("/")
    register("/chat")
    server = await serve(sio)
    main = await connect_js(server, auth={"for": "main"})
    await connect_js(server, namespace="/chat", shared=main, auth={"for": "chat"})
    assert await seen.wait_for(2) == [("/", {"for": "main"}), ("/chat", {"for": "chat"})]


async def test_query(serve, connect_js):
    """a query in the client's address does not change the namespace"""
    sio = with_echo("/chat")
    # io("…/chat?token=x") joins /chat over a connection with that query.
    client = await connect_js(await serve(sio), namespace="/chat", query={"token": "x"})
    assert await client.call("echo") == ("/chat",)
    assert "token=x" in sio.get_environ(client.sid, namespace="/chat")["QUERY_STRING"]


async def test_late_namespace(serve, connect_js):
    """a namespace created while the server runs can be joined"""
    sio = new_server()
    server = await serve(sio)
    client = await connect_js(server, wait=False, namespace="/late")
    await client.refused()

    @sio.on("echo", namespace="/late")
    async def echo(sid, *args):
        return args

    client.reconnect()
    await client.connected()
    assert await client.call("echo", "late") == ("late",)


@follows_the_js_server
async def test_event_before_joining(serve, wire, connect_js):
    """an event for a namespace that was not joined closes only its sender"""
    sio = with_echo("/", "/chat")
    server = await serve(sio)
    other = await connect_js(server)
    websocket = await wire(server).joined_websocket()
    await websocket.send('42/chat,["echo"]')
    await websocket.until_closed()
    assert await other.call("echo") == ("/",)


@follows_the_js_server
async def test_joining_twice(serve, wire, connect_js):
    """a second connect to the same namespace closes only its sender"""
    sio = with_echo("/", "/chat")
    server = await serve(sio)
    other = await connect_js(server)
    websocket = await wire(server).joined_websocket()
    await websocket.send("40")
    await websocket.until_closed()
    assert await other.call("echo") == ("/",)
