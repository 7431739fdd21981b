"""Clients that speak version 3 of the protocol."""

from __future__ import annotations

import pytest

from engine.target import QUICK, echo_server, new_server, recorded
from support.waiting import until

pytestmark = pytest.mark.ferrio_only("python-engineio serves version 4 of the protocol only.")

TRANSPORTS = pytest.mark.parametrize("transport", ["polling", "websocket"])


@TRANSPORTS
async def test_echo(serve, connect_js, transport):
    """an old client sends and receives text and bytes"""
    client = await connect_js(await serve(echo_server(allow_eio3=True)), protocol=3, transports=[transport])
    assert client.transport == transport
    for data in ("hello", "snow ☃ and 🎈", b"\x00\x01\xff"):
        client.send(data)
        assert await client.messages.next() == data


async def test_upgrade(serve, connect_js):
    """an old client upgrades"""
    eio = echo_server(allow_eio3=True)
    client = await connect_js(await serve(eio), protocol=3)
    await client.upgraded()
    await until(lambda: eio.transport(client.sid) == "websocket", "the upgrade")
    client.send("hello")
    assert await client.messages.next() == "hello"


@TRANSPORTS
async def test_heartbeat(serve, connect_js, transport):
    """an old client pings, and is answered"""
    eio = new_server(allow_eio3=True, **QUICK)
    calls = recorded(eio)
    client = await connect_js(await serve(eio), protocol=3, transports=[transport])
    await client.heartbeats.wait_for(3)
    assert [call[0] for call in calls.seen] == ["connect"]


@TRANSPORTS
async def test_disconnect(serve, connect_js, transport):
    """an old client is disconnected"""
    eio = new_server(allow_eio3=True)
    calls = recorded(eio)
    client = await connect_js(await serve(eio), protocol=3, transports=[transport])
    await eio.disconnect(client.sid)
    await client.ended.next()
    assert calls.seen[1:] == [("disconnect", client.sid, "server disconnect")]


async def test_refused_by_default(serve, connect_js):
    """an old client is refused unless allow_eio3 is set"""
    eio = new_server()
    client = await connect_js(await serve(eio), wait=False, protocol=3, transports=["polling"])
    assert await client.errors.next()
    assert len(eio.sockets) == 0
