"""Servers that are attached to an aiohttp application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web

from engine.clients import PythonClient
from engine.target import echo_server, new_server
from support.waiting import soon
from support.wire import Wire

POLLING = {"EIO": "4", "transport": "polling"}


@pytest_asyncio.fixture
async def run() -> AsyncIterator[Callable[..., Awaitable[SimpleNamespace]]]:
    """`await run(app)` serves an aiohttp application."""
    runners: list[web.AppRunner] = []

    async def start(app: web.Application) -> SimpleNamespace:
        runners.append(web.AppRunner(app, shutdown_timeout=0.1))
        await runners[-1].setup()
        site = web.TCPSite(runners[-1], "127.0.0.1", 0)
        await site.start()
        port = runners[-1].addresses[0][1]
        return SimpleNamespace(port=port, url=f"http://127.0.0.1:{port}")

    yield start
    for runner in runners:
        await runner.cleanup()


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], None])
async def test_attached(run, transports):
    """an attached server shares the application's port"""
    app, eio = web.Application(), echo_server(async_mode="aiohttp")

    async def hello(request: web.Request) -> web.Response:
        return web.Response(text="hello")

    app.router.add_get("/hello", hello)
    eio.attach(app)
    server = await run(app)
    client, http = PythonClient(), Wire(server, "/hello")
    try:
        await client.open(server.url, transports=transports)
        for data in ("text", b"bytes", {"a": 1}):
            await client.send(data)
            assert await client.messages.next() == data
        assert (await http.request("GET", {})).text == "hello"
        await soon(eio.disconnect(client.sid), "disconnect()")
        await client.ended.next()
    finally:
        await client.close()
        await http.close()


async def test_attached_elsewhere(run):
    """an attached server may have another path"""
    app, eio = web.Application(), new_server(async_mode="aiohttp")
    eio.attach(app, engineio_path="/deep/er/")
    server = await run(app)
    http, default = Wire(server, "/deep/er/"), Wire(server, "/engine.io/")
    try:
        assert (await http.request("GET", POLLING)).text[0] == "0"
        assert (await default.request("GET", POLLING)).status == 404
    finally:
        await http.close()
        await default.close()


async def test_attached_refuses(run):
    """an attached server refuses as any other"""
    app, eio = web.Application(), new_server(async_mode="aiohttp")
    environs: list[Any] = []

    @eio.on("connect")
    async def connected(sid, environ):
        environs.append(environ)
        return "not you"

    eio.attach(app)
    http = Wire(await run(app), "/engine.io/")
    try:
        answer = await http.request("GET", POLLING)
        assert (answer.status, answer.text) == (401, '"not you"')
        assert environs[0]["aiohttp.request"].path == "/engine.io/"
    finally:
        await http.close()
