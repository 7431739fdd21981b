"""How a server gets its connections from uvicorn: adopted where that is possible, through ASGI elsewhere."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
import fastapi
import pytest
from starlette.middleware import Middleware

from support.frames import TEXT, FrameSocket
from support.node_client import NodeProcess
from support.programs import free_port, until_it_listens
from support.target import MODULE, new_server, target
from support.waiting import soon, until

pytestmark = [
    pytest.mark.doors("adopted"),
    pytest.mark.ferrio_only("python-socketio serves WebSockets through ASGI only."),
]


UVICORN_WAYS = ("websockets-sansio", "wsproto", "ferrio.uvicorn:WebSocketProtocol")


def with_echo() -> Any:
    sio = new_server()
    sio.on("echo", lambda sid, *args: args)
    return sio


def websockets_of(server: Any) -> list[str]:
    """The names of the classes that serve uvicorn's WebSockets."""
    names = [type(connection).__name__ for connection in server.uvicorn.server_state.connections]
    return [name for name in names if "WebSocket" in name or "WSProtocol" in name]


@pytest.mark.doors("uvicorn")
async def test_plain_asgi(serve, connect_js):
    """where the application says so the WebSockets stay with uvicorn"""
    server = await serve(with_echo())
    client = await connect_js(server, transports=["websocket"])
    assert len(websockets_of(server)) == 1
    assert await client.call("echo", 1) == (1,)


@pytest.mark.both_loops
@pytest.mark.parametrize("ws", UVICORN_WAYS)
@pytest.mark.parametrize("options", [{"transports": ["websocket"]}, {}], ids=["direct", "upgrade"])
async def test_adopted(serve, connect_js, options, ws):
    """an adopted WebSocket is uvicorn's no more"""
    server = await serve(with_echo(), app=fastapi.FastAPI(), ws=ws)
    client = await connect_js(server, **options)
    await client.upgraded()
    assert await client.call("echo", b"\x00" * 100_000) == (b"\x00" * 100_000,)
    assert websockets_of(server) == []


@pytest.mark.parametrize("ws", UVICORN_WAYS)
async def test_mounted(serve, connect_js, ws):
    """a WebSocket of a mounted application is adopted"""
    sio = with_echo()
    app = fastapi.FastAPI()
    app.mount("/below", target.ASGIApp(sio))
    server = await serve(sio, whole_app=app, ws=ws)
    client = await connect_js(server, path="/below/socket.io/", transports=["websocket"])
    assert await client.call("echo", 1) == (1,)
    assert websockets_of(server) == []


class Looking:
    """A middleware that looks at every request, and lets the messages pass."""

    def __init__(self, app: Any, seen: list[str]) -> None:
        self.app = app
        self.seen = seen

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(f"{scope['type']} {scope.get('path')}")
        scope["seen"] = True
        await self.app(scope, receive, send)


class Listening(Looking):
    """A middleware that sees every message that is sent."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def sender(message: Any) -> None:
            self.seen.append(message["type"])
            await send(message)

        await super().__call__(scope, receive, sender)


async def test_looking_middleware(serve, connect_js):
    """a middleware that looks at the request sees it before the WebSocket is adopted, and what it notes is kept"""
    sio = with_echo()
    scopes: list[Any] = []

    @sio.event
    async def connect(sid, environ):
        scopes.append(environ["asgi.scope"])

    seen: list[str] = []
    app = fastapi.FastAPI(middleware=[Middleware(Looking, seen=seen)])
    app.mount("/below", target.ASGIApp(sio))
    server = await serve(sio, whole_app=app)
    client = await connect_js(server, path="/below/socket.io/", transports=["websocket"])
    assert await client.call("echo", 1) == (1,)
    assert "websocket /below/socket.io/" in seen
    assert websockets_of(server) == []
    (scope,) = scopes
    assert (scope["seen"], scope["app"], scope["root_path"]) == (True, app, "/below")
    assert (scope["type"], scope["path"]) == ("websocket", "/below/socket.io/")


async def test_listening_middleware(serve, connect_js):
    """a WebSocket whose messages a middleware wants to see is not adopted"""
    sio = with_echo()
    seen: list[str] = []
    app = fastapi.FastAPI(middleware=[Middleware(Listening, seen=seen)])
    app.mount("/", target.ASGIApp(sio))
    server = await serve(sio, whole_app=app)
    client = await connect_js(server, transports=["websocket"])
    assert await client.call("echo", 1) == (1,)
    assert "websocket.send" in seen
    assert len(websockets_of(server)) == 1


class Slow(Looking):
    """A middleware that keeps WebSockets waiting."""

    def __init__(self, app: Any, seen: list[Any], go_on: asyncio.Event) -> None:
        super().__init__(app, seen)
        self.go_on = go_on

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            self.seen.append(receive.__self__)
            await self.go_on.wait()
        await self.app(scope, receive, send)


async def test_early_frames(serve):
    """what a client sends before its handshake is answered is not lost: its WebSocket stays with uvicorn"""
    sio = with_echo()
    protocols: list[Any] = []
    go_on = asyncio.Event()
    server = await serve(sio, whole_app=Slow(target.ASGIApp(sio), protocols, go_on))
    client = await FrameSocket.begin(server)
    await until(lambda: protocols, "the request to reach the middleware")
    await client.send(TEXT, b"40")
    await until(lambda: protocols[0].queue.qsize() > 1, "uvicorn to read the frame")
    go_on.set()
    await client.answered()
    assert (await client.receive()).startswith(b"0{")
    assert (await client.receive()).startswith(b"40{")
    assert len(websockets_of(server)) == 1
    client.abort()


@pytest.mark.both_loops
@pytest.mark.parametrize("ws", UVICORN_WAYS)
async def test_frames_behind_the_request(serve, ws):
    """what arrives while the connection changes hands is read by the core"""
    sio = with_echo()
    server = await serve(sio, ws=ws)
    clients = [await FrameSocket.open(server) for _ in range(20)]
    for client in clients:
        await client.send(TEXT, b"40")
    for client in clients:
        assert (await client.receive()).startswith(b"0{")
        assert (await client.receive()).startswith(b"40{")
        client.abort()
    assert websockets_of(server) == []


async def test_adopted_while_it_waits(serve, connect_js):
    """an adopted client that is checked for long loses nothing that it sent meanwhile"""
    sio = with_echo()
    release = asyncio.Event()

    @sio.event
    async def connect(sid, environ, auth):
        await release.wait()

    client = await connect_js(await serve(sio), wait=False, transports=["websocket"])
    answers = [asyncio.ensure_future(client.call("echo", number)) for number in range(20)]
    asyncio.get_running_loop().call_soon(release.set)
    await client.connected()
    assert await asyncio.gather(*answers) == [(number,) for number in range(20)]


COMMANDS = {
    "ferrio.run": ["support.hosted_script", "{port}"],
    "python -m ferrio": ["ferrio", "support.hosted_script:app", "--port", "{port}", "--log-level", "warning"],
    "uvicorn --ws": [
        *("uvicorn", "support.hosted_script:app", "--port", "{port}", "--log-level", "warning"),
        *("--ws", "ferrio.uvicorn:WebSocketProtocol"),
    ],
}


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
async def test_whole_program(door, node: NodeProcess, command, end):
    """a program serves host and sockets, and ends when it is told to while clients are connected"""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *(part.format(port=port) for part in command),
        stderr=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent,
        env={**os.environ, "FERRIO_TEST_MODULE": MODULE},
    )
    try:
        await soon(until_it_listens(port), "the port of the program")
        url = f"http://127.0.0.1:{port}"
        # A poll under way would keep uvicorn, which waits for its requests, until the next ping.
        client = node.client()
        client.open(url)
        await client.upgraded()
        assert await client.call("echo", 1) == (1,)
        async with aiohttp.ClientSession(url) as http, http.get("/hello") as answer:
            assert await answer.json() == "hello"
        process.send_signal(end)
        await client.disconnected()
        _, errors = await soon(process.communicate(), "the end of the program")
        # uvicorn raises the signal once more after its own shutdown.
        assert process.returncode in (0, -end), errors.decode()
        await client.close()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
