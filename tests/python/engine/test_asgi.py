"""The ASGI application: what it serves itself, and what it passes on."""

from __future__ import annotations

from typing import Any

import pytest

from engine.target import echo_server, new_server, target
from support.waiting import Mailbox
from support.wire import Wire

POLLING = {"EIO": "4", "transport": "polling"}


async def other_app(scope: Any, receive: Any, send: Any) -> None:
    """Answers every request with its path."""
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": f"other {scope['path']}".encode()})


async def get(server: Any, path: str, **query: str) -> Any:
    http = Wire(server, path)
    try:
        return await http.request("GET", query)
    finally:
        await http.close()


async def test_attributes():
    """the application knows its server and its path"""
    eio = new_server()
    assert target.ASGIApp(eio).engineio_server is eio
    assert target.ASGIApp(eio).engineio_path == "/engine.io/"
    assert target.ASGIApp(eio, engineio_path="/a/b/").engineio_path == "/a/b/"
    assert target.ASGIApp(eio, engineio_path=None).engineio_path is None


@pytest.mark.parametrize("path", ["/engine.io/", "/engine.io", "/engine.io/anything"])
async def test_default_path(serve, path):
    """the server is at /engine.io, with whatever follows"""
    assert (await get(await serve(new_server()), path, **POLLING)).text[0] == "0"


@pytest.mark.parametrize("path", ["/", "/engine.iox", "/socket.io/"])
async def test_other_paths(serve, path):
    """other paths are not found"""
    answer = await get(await serve(new_server()), path, **POLLING)
    assert (answer.status, answer.text) == (404, "Not Found")


async def test_path_of_ones_own(serve, connect):
    """engineio_path puts the server elsewhere"""
    server = await serve(echo_server(), engineio_path="deep/er")
    client = await connect(server, path="deep/er")
    await client.send("hello")
    assert await client.messages.next() == "hello"
    assert (await get(server, "/engine.io/", **POLLING)).status == 404


async def test_every_path(serve):
    """engineio_path=None gives every request to the server"""
    server = await serve(new_server(), engineio_path=None)
    assert (await get(server, "/", **POLLING)).text[0] == "0"
    assert (await get(server, "/any/where", **POLLING)).text[0] == "0"


async def test_other_application(serve):
    """another application gets all other requests"""
    server = await serve(new_server(), other_asgi_app=other_app)
    assert (await get(server, "/engine.io/", **POLLING)).text[0] == "0"
    assert (await get(server, "/elsewhere")).text == "other /elsewhere"


async def test_static_files(serve, tmp_path):
    """static files are served by path and by folder"""
    (tmp_path / "page.html").write_text("a page")
    (tmp_path / "code.js").write_text("code")
    files = {
        "/": {"filename": str(tmp_path / "page.html"), "content_type": "text/x-own"},
        "/static": str(tmp_path),
    }
    server = await serve(new_server(), static_files=files)
    page, code = await get(server, "/"), await get(server, "/static/code.js")
    assert (page.text, page.headers["Content-Type"]) == ("a page", "text/x-own")
    assert (code.text, code.headers["Content-Type"]) == ("code", "application/javascript")
    assert (await get(server, "/static/missing.js")).status == 404


@pytest.mark.parametrize("is_coroutine", [False, True])
async def test_lifespan(serve, is_coroutine):
    """functions are called when the application starts and ends"""
    log: Mailbox[str] = Mailbox("lifespan")

    def hook(name: str) -> Any:
        async def later() -> None:
            log.put(name)

        return later if is_coroutine else (lambda: log.put(name))

    server = await serve(new_server(), on_startup=hook("startup"), on_shutdown=hook("shutdown"))
    assert log.seen == ["startup"]
    await server.stop()
    assert await log.wait_for(2) == ["startup", "shutdown"]


async def test_handle_request(serve, connect_js):
    """handle_request serves whatever an application routes to it"""
    eio = echo_server()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] in ("http", "websocket"):
            await eio.handle_request(scope, receive, send)

    client = await connect_js(await serve(eio, whole_app=app), path="/any/where")
    await client.upgraded()
    client.send("hello")
    assert await client.messages.next() == "hello"


async def test_mounted(serve, connect_js):
    """the application works below another one's path"""
    starlette = pytest.importorskip("starlette.applications")
    routing = pytest.importorskip("starlette.routing")
    eio = echo_server()
    app = starlette.Starlette(routes=[routing.Mount("/mounted", target.ASGIApp(eio, engineio_path=None))])
    client = await connect_js(await serve(eio, whole_app=app), path="/mounted")
    await client.upgraded()
    client.send("hello")
    assert await client.messages.next() == "hello"
