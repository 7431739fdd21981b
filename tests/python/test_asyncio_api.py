"""What python-socketio's asyncio API promises beyond the scenarios that both languages share."""

from __future__ import annotations

import asyncio
import builtins
import contextlib
import inspect
import threading
from typing import Any

import pytest
import socketio

from support.target import AsyncNamespace, ConnectionRefusedError, new_server, target
from support.waiting import Mailbox, soon, until

# What is promised here lies above the transports, so one door is enough.
pytestmark = pytest.mark.doors("uvicorn")

both_clients = pytest.mark.clients("js", "python")

# Applications make their server when their module is imported, before any loop runs.
made_at_import = new_server()


SHARED_METHODS = (
    *("emit", "send", "call", "enter_room", "leave_room", "close_room", "rooms"),
    *("get_session", "save_session", "session", "disconnect"),
)


def parameters(owner: Any, method: str) -> list[tuple[str, Any]]:
    """The positional parameters of a method, with their defaults."""
    given = inspect.signature(getattr(owner, method)).parameters.values()
    return [(one.name, one.default) for one in given if one.kind is one.POSITIONAL_OR_KEYWORD]


@pytest.mark.parametrize("method", SHARED_METHODS)
@pytest.mark.parametrize("owner", ["AsyncServer", "AsyncNamespace"])
def test_signatures(owner, method):
    """parameters have python-socketio's names, order and defaults, and every method is documented"""
    own = getattr(target, owner)
    assert parameters(own, method) == parameters(getattr(socketio, owner), method)
    assert getattr(own, method).__doc__


async def test_server_made_at_import(serve, connect_js):
    """a server may be made before any event loop runs"""
    sio = made_at_import
    sio.on("echo", lambda sid, *args: args)
    client = await connect_js(await serve(sio))
    assert await client.call("echo", 1) == (1,)


@pytest.mark.both_loops
async def test_handlers_run_on_the_loop(serve, connect_js):
    """handlers run in the thread and the event loop of the application"""
    sio = new_server()
    seen: Mailbox[Any] = Mailbox("handlers")

    def note(*args: Any) -> None:
        seen.put((threading.get_ident(), asyncio.get_running_loop()))

    async def note_later(*args: Any) -> None:
        note()

    sio.on("connect", note)
    sio.on("plain", note)
    sio.on("coroutine", note_later)
    sio.on("disconnect", note)
    client = await connect_js(await serve(sio))
    await client.emit("plain")
    await client.emit("coroutine")
    await sio.emit("question", to=client.sid, callback=note)
    await seen.wait_for(4)
    await client.disconnect()
    await seen.wait_for(5)
    assert set(seen.seen) == {(threading.get_ident(), asyncio.get_running_loop())}


@both_clients
@pytest.mark.parametrize("result", [None, 0, "", [], True])
async def test_only_false_refuses(serve, connect, result):
    """only False itself refuses a connection"""
    sio = new_server()
    sio.on("connect", lambda sid, environ, auth: result)
    assert (await connect(await serve(sio))).sid


def refuse_with(error: Exception | None) -> Any:
    async def connect(sid: str, environ: Any, auth: Any) -> bool:
        if error is not None:
            raise error
        return False

    return connect


@both_clients
@pytest.mark.parametrize(
    ("error", "told"),
    [
        (None, {"message": "Connection rejected by server"}),
        (ConnectionRefusedError(), {"message": "Connection rejected by server"}),
        (ConnectionRefusedError("no"), {"message": "no"}),
        (ConnectionRefusedError(5), {"message": "5"}),
        (ConnectionRefusedError("no", {"a": 1}), {"message": "no", "data": {"a": 1}}),
        (ConnectionRefusedError("no", 1, "two"), {"message": "no", "data": [1, "two"]}),
        (builtins.ConnectionRefusedError("hidden"), {"message": "Connection refused by server"}),
    ],
    ids=["False", "nothing", "message", "number", "data", "several", "builtin"],
)
async def test_forms_of_refusal(serve, connect, error, told):
    """each form of refusal tells the client what python-socketio tells it"""
    sio = new_server()
    sio.on("connect", refuse_with(error))
    client = await connect(await serve(sio), wait=False)
    assert await client.refused() == told


@both_clients
async def test_connect_handler_of_two_arguments(serve, connect):
    """a connect handler may leave out the auth argument"""
    sio = new_server()
    seen: Mailbox[tuple[str, str]] = Mailbox("connect handlers")

    @sio.event
    async def connect_handler(sid, environ):
        seen.put((sid, environ["REQUEST_METHOD"]))

    sio.on("connect", connect_handler)
    client = await connect(await serve(sio))
    assert await seen.next() == (client.sid, "GET")


@pytest.mark.ferrio_only("python-socketio leaves a client that sends auth without an answer.")
async def test_connect_handler_of_two_arguments_with_auth(serve, connect_js):
    """a connect handler may leave out the auth argument"""
    sio = new_server()
    sio.on("connect", lambda sid, environ: None)
    assert (await connect_js(await serve(sio), auth={"token": "x"})).sid


@pytest.mark.ferrio_only("python-socketio runs such a handler a second time with fewer arguments.")
async def test_type_error_inside_a_handler(serve, connect_js):
    """a TypeError raised inside a handler is not taken for a wrong signature"""
    sio = new_server()
    calls: Mailbox[tuple[Any, ...]] = Mailbox("disconnect handlers")

    @sio.event
    async def disconnect(sid, reason="none"):
        calls.put((sid, reason))
        raise TypeError("inside")

    server = await serve(sio)
    client = await connect_js(server)
    await client.disconnect()
    await calls.next()
    await until(lambda: sio.rooms(client.sid) == [], "the end of the socket")
    assert calls.seen == [(client.sid, "client disconnect")]


@pytest.mark.clients("python")
async def test_empty_auth(serve, connect):
    """an empty auth payload reaches the handler as None"""
    sio = new_server()
    seen: Mailbox[Any] = Mailbox("connect handlers")
    sio.on("connect", lambda sid, environ, auth: seen.put(auth))
    await connect(await serve(sio), auth={})
    assert await seen.next() is None


@pytest.mark.clients("python")
async def test_refusal_with_always_connect(serve, connect):
    """with always_connect a refused client is connected and then disconnected"""
    sio = new_server(always_connect=True)
    sio.on("connect", lambda sid, environ, auth: False)
    # python-socketio puts the reason into its DISCONNECT, for which the JavaScript client drops the connection.
    client = await connect(await serve(sio))
    assert await client.disconnected() == "server disconnect"


async def test_namespaces_option(serve, connect_js):
    """the namespaces option replaces the main namespace"""
    sio = new_server(namespaces=["/x"])
    server = await serve(sio)
    assert (await connect_js(server, namespace="/x")).sid
    refused = await connect_js(server, wait=False)
    await refused.refused()
    assert refused.sid is None


async def test_every_namespace(serve, connect_js):
    """handlers of every namespace get its name"""
    sio = new_server(namespaces="*")
    seen: Mailbox[tuple[Any, ...]] = Mailbox("handlers")

    @sio.on("hello", namespace="*")
    async def hello(namespace, sid, value):
        seen.put(("hello", namespace, sid, value))

    @sio.on("*", namespace="*")
    async def anything(event, namespace, sid, value):
        seen.put((event, namespace, sid, value))

    server = await serve(sio)
    client = await connect_js(server, namespace="/any")
    await client.emit("hello", 1)
    assert await seen.next() == ("hello", "/any", client.sid, 1)
    await client.emit("other", 2)
    assert await seen.next() == ("other", "/any", client.sid, 2)


async def test_socket_ids(serve, connect_js):
    """a socket id has twenty characters"""
    sio = new_server(namespaces=["/", "/x"])
    server = await serve(sio)
    for namespace in ("/", "/x"):
        assert len((await connect_js(server, namespace=namespace)).sid) == 20


@both_clients
@pytest.mark.parametrize(
    ("result", "answer"),
    [
        (None, ()),
        (0, (0,)),
        (False, (False,)),
        ("text", ("text",)),
        ((), ()),
        ((1, 2), (1, 2)),
        ([1, 2], ([1, 2],)),
        ({"a": (1, 2)}, ({"a": [1, 2]},)),
        (b"\x00", (b"\x00",)),
    ],
    ids=repr,
)
async def test_return_values(serve, connect, result, answer):
    """a handler's return value becomes the arguments of the ack"""
    sio = new_server()
    sio.on("question", lambda sid: result)
    assert await (await connect(await serve(sio))).call("question") == answer


async def test_ack_of_an_unknown_event(serve, connect_js):
    """an unknown event is acknowledged by a namespace class and by nobody else"""
    sio = new_server()

    class Known(AsyncNamespace):
        def on_known(self, sid):
            return "known"

    sio.register_namespace(Known("/class"))
    server = await serve(sio)
    main = await connect_js(server)
    namespace = await connect_js(server, namespace="/class", shared=main)
    assert await namespace.call("unknown") == ()
    with pytest.raises(asyncio.TimeoutError):
        await main.call_within(0.2, "unknown")


async def test_namespace_class_methods(serve, connect_js):
    """the methods of a namespace class address that namespace"""
    sio = new_server()

    class Chat(AsyncNamespace):
        pass

    chat = Chat("/chat")
    sio.register_namespace(chat)
    server = await serve(sio)
    one = await connect_js(server, namespace="/chat")
    two = await connect_js(server, namespace="/chat")
    await one.answer("question", "answer")
    assert await chat.call("question", to=one.sid, timeout=10) == "answer"
    await chat.enter_room(one.sid, "a")
    assert set(chat.rooms(one.sid)) == {one.sid, "a"}
    await chat.emit("news", "room", room="a")
    await chat.leave_room(one.sid, "a")
    await chat.send("all", skip_sid=one.sid)
    assert await one.receive("news") == ("room",)
    assert await two.receive("message") == ("all",)
    assert two.received("news") == one.received("message") == []
    await chat.save_session(one.sid, {"name": "Ada"})
    assert await chat.get_session(one.sid) == {"name": "Ada"}
    async with chat.session(one.sid) as session:
        session["more"] = 1
    assert await sio.get_session(one.sid, namespace="/chat") == {"name": "Ada", "more": 1}
    await chat.disconnect(one.sid)
    assert await one.disconnected() == "io server disconnect"


async def test_own_dispatch(serve, connect_js):
    """a namespace class may dispatch events itself"""
    sio = new_server()

    class Own(AsyncNamespace):
        async def trigger_event(self, event, *args):
            if event in ("connect", "disconnect"):
                return None
            return (event, *args[1:])

    sio.register_namespace(Own("/own"))
    client = await connect_js(await serve(sio), namespace="/own")
    assert await client.call("anything at all", 1) == ("anything at all", 1)


async def test_forms_of_registration(serve, connect_js):
    """handlers are registered by name, by decorator and by call"""
    sio = new_server()

    @sio.event
    def by_name(sid):
        return "by name"

    @sio.event(namespace="/")
    async def by_name_and_namespace(sid):
        return "by name and namespace"

    @sio.on("by decorator")
    def decorated(sid):
        return "by decorator"

    def called(sid):
        return "by call"

    sio.on("by call", called)
    sio.on("by handler", handler=lambda sid: "by handler", namespace="/")
    client = await connect_js(await serve(sio))
    for event, answer in [
        ("by_name", "by name"),
        ("by_name_and_namespace", "by name and namespace"),
        ("by decorator", "by decorator"),
        ("by call", "by call"),
        ("by handler", "by handler"),
    ]:
        assert await client.call(event) == (answer,)
    assert by_name("sid") == "by name"


@pytest.mark.parametrize("receiver", [None, "", []], ids=repr)
async def test_empty_receiver(serve, connect_js, receiver):
    """an empty receiver means everybody"""
    sio = new_server()
    server = await serve(sio)
    clients = [await connect_js(server), await connect_js(server)]
    await sio.emit("news", to=receiver)
    for client in clients:
        await client.receive("news")


async def test_list_of_skipped_clients(serve, connect_js):
    """skip_sid takes one client or a list of them"""
    sio = new_server()
    server = await serve(sio)
    clients = [await connect_js(server) for _ in range(3)]
    await sio.emit("news", skip_sid=[clients[0].sid, clients[2].sid])
    await sio.emit("fence")
    for client in clients:
        await client.receive("fence")
    assert [len(client.received("news")) for client in clients] == [0, 1, 0]


async def test_callback_of_a_room(serve, connect_js):
    """a callback of a room is called once for each member"""
    sio = new_server()
    server = await serve(sio)
    answers: Mailbox[int] = Mailbox("callbacks")
    for number in range(3):
        client = await connect_js(server)
        await client.answer("question", number)
        await sio.enter_room(client.sid, "a")
    await sio.emit("question", room="a", callback=answers.put)
    assert sorted(await answers.wait_for(3)) == [0, 1, 2]


async def test_coroutine_as_callback(serve, connect_js):
    """a callback may be a coroutine function"""
    sio = new_server()
    client = await connect_js(await serve(sio))
    answers: Mailbox[tuple[Any, ...]] = Mailbox("callbacks")

    async def later(*args: Any) -> None:
        await asyncio.sleep(0)
        answers.put(args)

    await client.answer("question", 1, 2)
    await sio.emit("question", to=client.sid, callback=later)
    assert await answers.next() == (1, 2)


async def test_send_uses_emit(serve, connect_js):
    """send goes through the emit method of a subclass"""

    class Loud(target.AsyncServer):
        async def emit(self, event, data=None, *args, **kwargs):
            await super().emit(event, data.upper(), *args, **kwargs)

    sio = Loud(async_mode="asgi")
    client = await connect_js(await serve(sio))
    await sio.send("hello", to=client.sid)
    assert await client.receive("message") == ("HELLO",)


async def test_rooms_of_others(serve, connect_js):
    """the own room of another client cannot be entered or closed"""
    sio = new_server()
    server = await serve(sio)
    one, other = await connect_js(server), await connect_js(server)
    with pytest.raises(ValueError):  # noqa: PT011  Its text is python-socketio's affair.
        await sio.enter_room(one.sid, other.sid)
    await sio.emit("news", room=other.sid)
    await other.receive("news")
    await sio.emit("fence")
    await one.receive("fence")
    assert one.received("news") == []


async def test_sessions(serve, connect_js):
    """a session holds any object, and each connection and namespace has its own"""
    sio = new_server(namespaces=["/", "/x"])
    server = await serve(sio)
    main = await connect_js(server)
    other = await connect_js(server, namespace="/x", shared=main)
    anything = object()
    await sio.save_session(main.sid, {"object": anything})
    assert (await sio.get_session(main.sid))["object"] is anything
    assert await sio.get_session(other.sid, namespace="/x") == {}
    (await sio.get_session(main.sid))["live"] = True
    assert (await sio.get_session(main.sid))["live"] is True
    with contextlib.suppress(ZeroDivisionError):
        async with sio.session(main.sid) as session:
            session["kept"] = "though the block failed"
            session["never"] = 1 / 0
    assert (await sio.get_session(main.sid))["kept"] == "though the block failed"


async def test_events_of_one_client_side_by_side(serve, connect_js):
    """by default a handler that waits does not hold up the client's next event"""
    sio = new_server()
    release = asyncio.Event()

    @sio.event
    async def wait(sid):
        await release.wait()
        return "released"

    @sio.event
    async def go_on(sid):
        release.set()
        return "gone on"

    client = await connect_js(await serve(sio))
    assert await asyncio.gather(client.call("wait"), client.call("go_on")) == [("released",), ("gone on",)]


async def test_events_of_one_client_in_turn(serve, connect_js):
    """with async_handlers=False the events of a client are handled one after the other, those of others beside them"""
    sio = new_server(async_handlers=False)
    release = asyncio.Event()
    order: Mailbox[str] = Mailbox("handlers")

    @sio.event
    async def wait(sid):
        await release.wait()
        order.put("first")

    @sio.event
    async def second(sid):
        order.put("second")

    @sio.event
    async def other(sid):
        order.put("other client")

    server = await serve(sio)
    client, bystander = await connect_js(server), await connect_js(server)
    await client.emit("wait")
    await client.emit("second")
    await bystander.call("other")
    release.set()
    assert await order.wait_for(3) == ["other client", "first", "second"]


async def test_handlers_start_in_order(serve, connect_js):
    """handlers start in the order in which the events arrived"""
    sio = new_server()
    started: Mailbox[int] = Mailbox("handlers")

    @sio.event
    async def number(sid, value):
        started.put(value)
        await asyncio.sleep(0.001 * (5 - value % 5))

    client = await connect_js(await serve(sio), transports=["websocket"])
    client.burst("number", 200)
    assert await started.wait_for(200) == list(range(200))


async def test_disconnect_handler_of_one_argument(serve, connect_js):
    """a disconnect handler may leave out the reason"""
    sio = new_server()
    gone: Mailbox[str] = Mailbox("disconnect handlers")

    @sio.event
    async def disconnect(sid):
        gone.put(sid)

    client = await connect_js(await serve(sio))
    await client.disconnect()
    assert await gone.next() == client.sid


async def test_background_task(serve, connect_js):
    """background tasks and sleep go through the server"""
    sio = new_server()
    client = await connect_js(await serve(sio))

    async def tick(count: int, *, name: str) -> None:
        for number in range(count):
            await sio.sleep(0.001)
            await sio.emit(name, number)

    task = sio.start_background_task(tick, 3, name="tick")
    await soon(task, "the end of the task")
    assert await client.receive_many("tick", 3) == [(0,), (1,), (2,)]


async def test_emit_from_a_task_without_waiting(serve, connect_js):
    """emits of several tasks keep the order in which they were made"""
    sio = new_server()
    client = await connect_js(await serve(sio))
    tasks = [asyncio.ensure_future(sio.emit("number", number, to=client.sid)) for number in range(50)]
    await asyncio.gather(*tasks)
    assert await client.receive_many("number", 50) == [(number,) for number in range(50)]


@pytest.mark.both_loops
@pytest.mark.parametrize("transport", ["polling", "websocket"])
async def test_synchronous_client(serve, transport):
    """the synchronous Client connects, calls and answers"""
    sio = with_question = new_server()
    sio.on("echo", lambda sid, *args: args)
    server = await serve(sio)
    loop = asyncio.get_running_loop()

    def talk() -> tuple[Any, Any]:
        client = socketio.Client(reconnection=False)
        client.on("question", lambda value: (value, "answer"))
        client.connect(server.url, transports=[transport])
        try:
            answer = client.call("echo", ("text", b"\x00"), timeout=10)
            question = with_question.call("question", 1, to=client.get_sid(), timeout=10)
            return answer, asyncio.run_coroutine_threadsafe(question, loop).result(10)
        finally:
            # On python-socketio an orderly disconnect() over long-polling would wait for the next ping.
            client.eio.disconnect(abort=True)

    answer, answered = await soon(asyncio.to_thread(talk), "the end of the synchronous client")
    assert tuple(answer) == ("text", b"\x00")
    assert tuple(answered) == (1, "answer")


async def asgi_request(app: Any, path: str) -> tuple[int, bytes]:
    """Asks an ASGI application directly."""
    import httpx

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:
        answer = await http.get(path)
        return answer.status_code, answer.content


async def test_static_files(tmp_path):
    """ASGIApp serves static files and answers 404 to what it does not know"""
    (tmp_path / "index.html").write_text("<h1>hello</h1>")
    (tmp_path / "nested").mkdir()
    (tmp_path / "nested" / "script.js").write_text("alert(1)")
    files = {"/": str(tmp_path / "index.html"), "/static": str(tmp_path / "nested")}
    app = target.ASGIApp(new_server(), static_files=files)
    assert await asgi_request(app, "/") == (200, b"<h1>hello</h1>")
    assert await asgi_request(app, "/static/script.js") == (200, b"alert(1)")
    assert (await asgi_request(app, "/unknown"))[0] == 404


async def test_lifespan():
    """ASGIApp calls on_startup and on_shutdown"""
    called: list[str] = []

    async def startup() -> None:
        called.append("startup")

    app = target.ASGIApp(new_server(), on_startup=startup, on_shutdown=lambda: called.append("shutdown"))
    incoming = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return next(incoming)

    async def send(message: dict[str, str]) -> None:
        sent.append(message["type"])

    await app({"type": "lifespan"}, receive, send)
    assert called == ["startup", "shutdown"]
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


@pytest.mark.doors("uvicorn", "adopted")
async def test_mounted_in_fastapi(serve, connect_js):
    """an ASGIApp that is mounted in a FastAPI application serves its path there"""
    import fastapi

    sio = new_server()
    sio.on("echo", lambda sid, *args: args)
    app = fastapi.FastAPI()

    @app.get("/hello")
    async def hello() -> str:
        return "hello"

    app.mount("/", target.ASGIApp(sio))
    server = await serve(sio, whole_app=app)
    for transport in ("polling", "websocket"):
        client = await connect_js(server, transports=[transport])
        assert await client.call("echo", transport) == (transport,)
