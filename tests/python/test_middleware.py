"""Namespace middleware: checks that run before the connect handler."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from support.target import ConnectionRefusedError, new_server
from support.waiting import Mailbox

pytestmark = pytest.mark.ferrio_only("python-socketio has the connect handler only.")


async def test_order(serve, connect_js):
    """middleware runs in order of registration"""
    sio = new_server()
    order: Mailbox[Any] = Mailbox("middleware")

    async def slow(sid, environ, auth):
        await asyncio.sleep(0)
        order.put(1)

    async def second(sid, environ, auth):
        order.put(2)

    def plain(sid, environ, auth):
        order.put(3)

    for middleware in (slow, second, plain):
        sio.use(middleware)
    sio.on("connect", lambda sid, environ, auth: order.put("connect"))
    await connect_js(await serve(sio))
    assert order.seen == [1, 2, 3, "connect"]


async def test_first_refusal(serve, connect_js):
    """the first refusal stops the chain"""
    sio = new_server()
    later: Mailbox[str] = Mailbox("later middleware")

    async def refuse(sid, environ, auth):
        raise ConnectionRefusedError("first")

    sio.use(refuse)
    sio.use(lambda sid, environ, auth: later.put("middleware"))
    sio.on("connect", lambda sid, environ, auth: later.put("connect"))
    client = await connect_js(await serve(sio), wait=False)
    assert (await client.refused())["message"] == "first"
    assert later.seen == []


async def test_message_and_data(serve, connect_js):
    """a refusal carries message and data"""
    sio = new_server()

    async def refuse(sid, environ, auth):
        raise ConnectionRefusedError("größe", {"code": 1, "list": [None, "ü"]})

    sio.use(refuse)
    client = await connect_js(await serve(sio), wait=False)
    assert await client.refused() == {"message": "größe", "data": {"code": 1, "list": [None, "ü"]}}


async def test_waiting(serve, connect_js):
    """middleware may answer later"""
    sio = new_server()
    asked: Mailbox[str] = Mailbox("middleware")
    gate = asyncio.Event()

    async def wait(sid, environ, auth):
        asked.put(sid)
        await gate.wait()

    sio.use(wait)
    client = await connect_js(await serve(sio), wait=False)
    sid = await asked.next()
    assert await sio.fetch_sockets() == []
    assert client.sid is None
    gate.set()
    assert await client.connected() == sid


async def test_one_namespace(serve, connect_js):
    """middleware of one namespace does not guard another"""
    sio = new_server(namespaces=["/", "/guarded"])

    async def refuse(sid, environ, auth):
        raise ConnectionRefusedError("guarded")

    sio.use(refuse, namespace="/guarded")
    server = await serve(sio)
    main = await connect_js(server)
    guarded = await connect_js(server, wait=False, namespace="/guarded", shared=main)
    assert (await guarded.refused())["message"] == "guarded"


async def test_what_it_sees(serve, connect_js):
    """middleware sees handshake and auth and may leave data for the handler"""
    sio = new_server()
    found: Mailbox[Any] = Mailbox("connect handlers")

    async def check(sid, environ, auth):
        await sio.save_session(sid, {"user": auth["token"], "colour": environ["HTTP_X_COLOUR"]})

    sio.use(check)

    @sio.event
    async def connect(sid, environ, auth):
        found.put(await sio.get_session(sid))

    await connect_js(await serve(sio), auth={"token": "ann"}, extraHeaders={"X-Colour": "blue"})
    assert found.seen == [{"user": "ann", "colour": "blue"}]
