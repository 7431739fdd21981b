"""From long-polling to WebSocket."""

from __future__ import annotations

from engine.target import echo_server, new_server, recorded
from support.waiting import soon, until
from support.wire import PollingSession, RawWebSocket


async def probed(session: PollingSession) -> RawWebSocket:
    """A WebSocket whose probe was answered; the poll under way is answered with a NOOP."""
    poll = await session.start_poll()
    websocket = await session.wire.websocket(sid=session.sid)
    await websocket.send("2probe")
    assert await websocket.receive() == "3probe"
    assert (await soon(poll, "the poll")).text == "6"
    return websocket


async def upgraded(session: PollingSession) -> RawWebSocket:
    """A WebSocket that took the session over."""
    websocket = await probed(session)
    await websocket.send("5")
    # python-engineio sends nothing when it is upgraded, so this is seen from what it answers.
    await until_polling_is_over(session)
    return websocket


async def until_polling_is_over(session: PollingSession) -> None:
    while (await session.post("3")).status == 200:
        pass


async def test_upgrade(serve, wire):
    """a probed and upgraded WebSocket carries the messages of the session"""
    eio = echo_server()
    session = await wire(await serve(eio)).open_session()
    websocket = await upgraded(session)
    assert eio.transport(session.sid) == "websocket"
    await websocket.send("4hello")
    assert await websocket.receive() == "4hello"
    await websocket.send(b"\x01\x02")
    assert await websocket.receive() == b"\x01\x02"


async def test_polling_is_over(serve, wire):
    """an upgraded session takes no more requests"""
    eio = new_server()
    session = await wire(await serve(eio)).open_session()
    websocket = await upgraded(session)
    assert (await session.poll()).status == 400
    assert (await session.post("4hello")).status == 400
    await eio.send(session.sid, "goes on")
    assert await websocket.receive() == "4goes on"


async def test_transport_until_the_upgrade(serve, wire):
    """a probed session is a polling one until the client upgrades it"""
    eio = new_server()
    session = await wire(await serve(eio)).open_session()
    assert eio.transport(session.sid) == "polling"
    websocket = await probed(session)
    assert eio.transport(session.sid) == "polling"
    await websocket.send("5")
    await until(lambda: eio.transport(session.sid) == "websocket", "the upgrade")


async def test_messages_during_the_upgrade(serve, wire):
    """what is sent between probe and upgrade arrives once, in order"""
    eio = new_server()
    session = await wire(await serve(eio)).open_session()
    websocket = await probed(session)
    for idx in range(5):
        await eio.send(session.sid, f"message {idx}")
    await websocket.send("5")
    messages = []
    while len(messages) < 5:
        packet = await websocket.receive()
        if packet != "6":
            messages.append(packet)
    assert messages == [f"4message {idx}" for idx in range(5)]


async def test_failed_probe(serve, wire):
    """a WebSocket that does not probe is closed, and the session goes on over polling"""
    eio = new_server()
    calls = recorded(eio)
    session = await wire(await serve(eio)).open_session()
    websocket = await session.wire.websocket(sid=session.sid)
    await websocket.send("4hello")
    assert await websocket.until_closed() == []
    await eio.send(session.sid, "still here")
    assert await session.receive() == "4still here"
    assert [call[0] for call in calls.seen] == ["connect"]


async def test_abandoned_upgrade(serve, wire):
    """a WebSocket that is closed after its probe leaves the session to polling"""
    eio = new_server()
    calls = recorded(eio)
    session = await wire(await serve(eio)).open_session()
    websocket = await session.wire.websocket(sid=session.sid)
    await websocket.send("2probe")
    assert await websocket.receive() == "3probe"
    await websocket.close()
    assert (await session.post("4still here")).status == 200
    assert (await calls.wait_for(2))[1] == ("message", session.sid, "still here")


async def test_js_client(serve, connect_js):
    """engine.io-client upgrades by itself, and keeps its messages in order meanwhile"""
    eio = echo_server(async_handlers=False)
    client = await connect_js(await serve(eio))
    assert client.transport == "polling"
    texts = [f"message {idx}" for idx in range(10)]
    for text in texts:
        client.send(text)
    await client.upgraded()
    client.send("after")
    assert await client.messages.wait_for(11) == [*texts, "after"]
    assert eio.transport(client.sid) == "websocket"


async def test_python_client(serve, connect):
    """python-engineio's client upgrades before it is connected"""
    eio = echo_server()
    client = await connect(await serve(eio))
    await until(lambda: eio.transport(client.sid) == "websocket", "the upgrade")
    assert client.transport == "websocket"
    await client.send("hello")
    assert await client.messages.next() == "hello"


async def test_session_data_stays(serve, connect_js):
    """an upgraded client keeps its session"""
    eio = new_server()
    client = await connect_js(await serve(eio))
    await eio.save_session(client.sid, {"name": "ada"})
    await client.upgraded()
    assert await eio.get_session(client.sid) == {"name": "ada"}


async def test_end_after_the_upgrade(serve, connect_js):
    """an upgraded session ends with its WebSocket"""
    eio = new_server()
    calls = recorded(eio)
    client = await connect_js(await serve(eio))
    await client.upgraded()
    await until(lambda: eio.transport(client.sid) == "websocket", "the upgrade")
    client.cut()
    assert (await calls.wait_for(2))[1] == ("disconnect", client.sid, "transport close")
