"""Acknowledgements in both directions, their timeouts, and those of a broadcast."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import pytest

import ferrio
from support.target import TimeoutError, new_server
from support.waiting import Mailbox, soon

both_clients = pytest.mark.clients("js", "python")
group_acks = pytest.mark.ferrio_only(
    "python-socketio has no call that waits for the answers of several clients."
)


def with_echo(**options: Any) -> Any:
    """A server that acknowledges `echo` with its own arguments."""
    sio = new_server(**options)

    @sio.event
    async def echo(sid, *args):
        return args

    return sio


def ack_id(packet: str | bytes) -> str:
    """The ack id in the text of an event."""
    match = re.match(r"42(\d+)\[", str(packet))
    assert match, packet
    return match.group(1)


@both_clients
@pytest.mark.both_loops
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_the_server_answers(serve, connect, transport):
    """the server answers an event of the client"""
    sio = with_echo()
    client = await connect(await serve(sio), transports=[transport])
    assert await client.call("echo", {"a": 1}) == ({"a": 1},)


@both_clients
@pytest.mark.both_loops
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_the_client_answers(serve, connect, transport):
    """the client answers an event of the server"""
    sio = new_server()
    client = await connect(await serve(sio), transports=[transport])
    await client.answer("question", {"b": 2})
    answered: Mailbox[tuple[Any, ...]] = Mailbox("callbacks")
    await sio.emit("question", {"a": 1}, to=client.sid, callback=lambda *args: answered.put(args))
    assert await answered.next() == ({"b": 2},)
    assert await client.receive("question") == ({"a": 1},)


@both_clients
async def test_how_many_arguments(serve, connect):
    """an answer may have no arguments, or many"""
    sio = with_echo()
    client = await connect(await serve(sio))
    assert await client.call("echo") == ()
    assert await client.call("echo", *range(20)) == tuple(range(20))
    answered: Mailbox[tuple[Any, ...]] = Mailbox("callbacks")
    for answer in ((), tuple(range(20))):
        await client.answer("question", *answer)
        await sio.emit("question", to=client.sid, callback=lambda *args: answered.put(args))
        assert await answered.next() == answer


@both_clients
@pytest.mark.both_loops
async def test_call(serve, connect):
    """a promise resolves with the client's answer"""
    sio = new_server()
    client = await connect(await serve(sio))
    for answer, result in [((), None), (("one",), "one"), (("one", 2), ("one", 2)), (([1, 2],), [1, 2])]:
        await client.answer("question", *answer)
        assert await sio.call("question", to=client.sid, timeout=10) == result


async def test_call_of_the_client(serve, connect_js):
    """the client's promise resolves with the server's answer"""
    sio = with_echo()
    client = await connect_js(await serve(sio))
    assert await client.call_within(10, "echo", "answer") == ("answer",)


@both_clients
async def test_many_outstanding(serve, connect):
    """a hundred outstanding acks are each answered with their own value"""
    sio = new_server()

    @sio.event
    async def later(sid, number):
        # The answers leave in another order than the questions came.
        await asyncio.sleep((number % 7) / 1000)
        return number

    client = await connect(await serve(sio), transports=["websocket"])
    await client.answer_with_echo("question")
    questions = [sio.call("question", number, to=client.sid, timeout=10) for number in range(100)]
    assert await asyncio.gather(*questions) == list(range(100))
    answers = await asyncio.gather(*(client.call("later", number) for number in range(100)))
    assert answers == [(number,) for number in range(100)]


@both_clients
async def test_silent_client(serve, connect):
    """a client that does not answer in time lets the call fail"""
    sio = new_server()
    client = await connect(await serve(sio))
    await client.keep_silent("question")
    with pytest.raises(TimeoutError):
        await sio.call("question", to=client.sid, timeout=0.1)
    assert await client.receive("question") == ()


async def test_silent_server(serve, connect_js):
    """a server that does not answer in time lets the client's call fail"""
    sio = new_server()
    client = await connect_js(await serve(sio))
    with pytest.raises(asyncio.TimeoutError):
        await client.call_within(0.2, "nobody listens")


@both_clients
async def test_answer_in_time(serve, connect, caplog):
    """an answer in time leaves no error"""
    sio = new_server()
    client = await connect(await serve(sio))
    await client.answer("question", "in time")
    assert await sio.call("question", to=client.sid, timeout=0.5) == "in time"
    # A second call outlives the first one's timeout and must not be touched by it.
    await client.keep_silent("silence")
    with pytest.raises(TimeoutError):
        await sio.call("silence", to=client.sid, timeout=0.6)
    assert await sio.call("question", to=client.sid, timeout=10) == "in time"
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_late_answer(serve, wire):
    """a late answer is ignored"""
    sio = with_echo()
    websocket = await wire(await serve(sio)).websocket()
    await websocket.receive()
    sid = await websocket.join()
    with pytest.raises(TimeoutError):
        await sio.call("question", to=sid, timeout=0.05)
    late = ack_id(await websocket.receive())
    await websocket.send(f'43{late}["too late"]')
    second = asyncio.ensure_future(sio.call("question", to=sid, timeout=10))
    current = ack_id(await websocket.receive())
    assert current != late
    await websocket.send(f'43{current}["in time"]')
    assert await second == "in time"


async def test_second_answer_of_the_client(serve, wire):
    """a second answer from the client is ignored"""
    sio = with_echo()
    answers: Mailbox[str] = Mailbox("callbacks")
    websocket = await wire(await serve(sio)).websocket()
    await websocket.receive()
    sid = await websocket.join()
    await sio.emit("question", to=sid, callback=answers.put)
    number = ack_id(await websocket.receive())
    await websocket.send(f'43{number}["first"]')
    await websocket.send(f'43{number}["second"]')
    await websocket.send('4277["echo"]')
    assert await websocket.receive() == "4377[]"
    assert answers.seen == ["first"]


async def test_unknown_ack(serve, wire):
    """a forged ack is ignored"""
    sio = with_echo()
    answers: Mailbox[str] = Mailbox("callbacks")
    websocket = await wire(await serve(sio)).websocket()
    await websocket.receive()
    sid = await websocket.join()
    await sio.emit("question", to=sid, callback=answers.put)
    number = ack_id(await websocket.receive())
    for forged in (int(number) + 1, 999999, 2**53 - 1):
        await websocket.send(f'43{forged}["forged"]')
    await websocket.send('43["no id"]')
    await websocket.send(f'43{number}["genuine"]')
    assert await answers.next() == "genuine"
    await websocket.send('4277["echo"]')
    assert await websocket.receive() == "4377[]"
    assert answers.seen == ["genuine"]


async def test_ack_of_another(serve, wire):
    """a client cannot answer in another's place"""
    sio = with_echo()
    answers: Mailbox[str] = Mailbox("callbacks")
    http = wire(await serve(sio))
    owner, forger = await http.websocket(), await http.websocket()
    await owner.receive()
    await forger.receive()
    sid = await owner.join()
    await forger.join()
    await sio.emit("question", to=sid, callback=answers.put)
    number = ack_id(await owner.receive())
    await forger.send(f'43{number}["forged"]')
    await forger.send('4277["echo"]')
    assert await forger.receive() == "4377[]"
    await owner.send(f'43{number}["genuine"]')
    assert await answers.next() == "genuine"
    assert answers.seen == ["genuine"]


async def test_client_leaves_before_it_answers(serve, connect_js):
    """a pending ack of a client that disconnects fails with its timeout"""
    sio = new_server()
    gone: Mailbox[str] = Mailbox("disconnect handlers")

    @sio.event
    async def disconnect(sid, reason):
        gone.put(sid)

    client = await connect_js(await serve(sio))
    await client.keep_silent("question")
    pending = asyncio.ensure_future(sio.call("question", to=client.sid, timeout=0.5))
    await client.receive("question")
    await client.disconnect()
    await gone.next()
    with pytest.raises(TimeoutError):
        await pending


@group_acks
@pytest.mark.both_loops
async def test_group_call(serve, connect_js):
    """a broadcast collects the answers of all receivers"""
    sio = new_server()
    server = await serve(sio)
    clients = [await connect_js(server, transports=[name]) for name in ("websocket", "polling", "websocket")]
    for number, client in enumerate(clients):
        await client.answer("question", number)
    assert sorted(await sio.call_all("question", "?", timeout=10)) == [0, 1, 2]
    await sio.enter_room(clients[1].sid, "some")
    await sio.enter_room(clients[2].sid, "some")
    assert sorted(await sio.call_all("question", "?", room="some", timeout=10)) == [1, 2]


@group_acks
async def test_group_call_with_a_silent_receiver(serve, connect_js):
    """a broadcast whose receiver keeps silent fails with the answers so far"""
    sio = new_server()
    server = await serve(sio)
    talker, silent = await connect_js(server), await connect_js(server)
    await talker.answer("question", "here")
    await silent.keep_silent("question")
    with pytest.raises(TimeoutError) as failure:
        await sio.call_all("question", timeout=0.5)
    assert failure.value.answers == ["here"]


@group_acks
async def test_group_call_to_nobody(serve, connect_js):
    """a broadcast with ack to nobody gives no answers at once"""
    sio = new_server()
    await connect_js(await serve(sio))
    assert await soon(sio.call_all("question", room="empty", timeout=3600), "the empty list") == []


@group_acks
async def test_group_call_resolves(serve, connect_js):
    """a promise of a broadcast resolves with all answers"""
    sio = new_server()
    server = await serve(sio)
    clients = [await connect_js(server) for _ in range(3)]
    for number, client in enumerate(clients):
        await client.answer("question", {"n": number})
    answers = await sio.call_all("question", timeout=10)
    assert sorted(answer["n"] for answer in answers) == [0, 1, 2]


@group_acks
async def test_group_call_rejects(serve, connect_js):
    """a promise of a broadcast rejects with the answers so far"""
    sio = new_server()
    server = await serve(sio)
    talkers = [await connect_js(server) for _ in range(2)]
    silent = await connect_js(server)
    for number, client in enumerate(talkers):
        await client.answer("question", number)
    await silent.keep_silent("question")
    with pytest.raises(TimeoutError) as failure:
        await sio.call_all("question", timeout=0.5)
    assert sorted(failure.value.answers) == [0, 1]


@group_acks
async def test_group_call_with_large_answers(serve, connect_js):
    """a broadcast whose answers are too large fails with those that fit"""
    sio = new_server(limits={"max_ack_bytes": 100_000})
    server = await serve(sio)
    clients = [await connect_js(server) for _ in range(4)]
    answer = "x" * 40_000
    for client in clients:
        await client.answer("question", answer)
    with pytest.raises(ferrio.exceptions.TooLargeError) as failure:
        await sio.call_all("question", timeout=60)
    assert failure.value.answers == [answer, answer]
    for client in clients[1:]:
        await client.answer("question", "short")
    assert sorted(await sio.call_all("question", timeout=60)) == sorted([answer, *["short"] * 3])


@group_acks
async def test_group_calls_of_namespaces(serve, connect_js):
    """broadcast acks of several namespaces do not mix"""
    sio = new_server(namespaces=["/", "/other"])
    server = await serve(sio)
    main = await connect_js(server)
    other = await connect_js(server, namespace="/other", shared=main)
    await main.answer("question", "main")
    await other.answer("question", "other")
    answers = await asyncio.gather(
        sio.call_all("question", timeout=10), sio.call_all("question", namespace="/other", timeout=10)
    )
    assert answers == [["main"], ["other"]]


@group_acks
async def test_group_call_with_bytes(serve, connect_js):
    """a broadcast with bytes collects bytes from WebSocket and polling receivers"""
    sio = new_server()
    server = await serve(sio)
    clients = [await connect_js(server, transports=[name]) for name in ("websocket", "polling")]
    for client in clients:
        await client.answer_with_echo("question")
    assert await sio.call_all("question", b"\x00\xff", timeout=10) == [b"\x00\xff", b"\x00\xff"]
