"""Fixtures of the engine's scenarios: a server on a real uvicorn, and clients that talk to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from engine.clients import JsClient, JsProcess, PythonClient
from engine.target import target
from support.doors import RunningServer, open_door
from support.target import IS_FERRIO
from support.wire import Wire

ENTRIES = ("uvicorn", "adopted") if IS_FERRIO else ("uvicorn",)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a scenario through ASGI alone, and with the WebSocket connections taken over from uvicorn."""
    if "entry" in metafunc.fixturenames:
        wanted = metafunc.config.getoption("--door") or ENTRIES
        metafunc.parametrize("entry", [entry for entry in ENTRIES if entry in wanted])


@pytest_asyncio.fixture
async def serve(entry: str) -> AsyncIterator[Callable[..., Awaitable[RunningServer]]]:
    """`await serve(eio, whole_app=…, **options)` starts a server; the options are those of `ASGIApp`."""
    running: list[RunningServer] = []

    async def start(eio: Any, whole_app: Any = None, **options: Any) -> RunningServer:
        if IS_FERRIO:
            options["adopt"] = entry == "adopted"
        app = whole_app or target.ASGIApp(eio, **options)
        running.append(await open_door(eio, entry, whole_app=app))
        return running[-1]

    yield start
    for server in running:
        await server.stop()


@pytest_asyncio.fixture
async def connect(serve: Any) -> AsyncIterator[Callable[..., Awaitable[PythonClient]]]:
    """`await connect(server, transports=…)` connects python-engineio's client."""
    clients: list[PythonClient] = []

    async def start(server: RunningServer, **options: Any) -> PythonClient:
        clients.append(PythonClient())
        await clients[-1].open(server.url, **options)
        return clients[-1]

    yield start
    for client in clients:
        await client.close()


@pytest.fixture(scope="session")
def js_process() -> Iterator[JsProcess]:
    process = JsProcess()
    yield process
    process.stop()


@pytest_asyncio.fixture
async def connect_js(serve: Any, js_process: JsProcess) -> AsyncIterator[Callable[..., Awaitable[JsClient]]]:
    """`await connect_js(server, …)` connects engine.io-client, of version 4 or 3 of the protocol."""
    js_process.use_loop(asyncio.get_running_loop())
    clients: list[JsClient] = []

    async def start(server: RunningServer, wait: bool = True, protocol: int = 4, **options: Any) -> JsClient:
        clients.append(js_process.engine(protocol))
        clients[-1].open(server.url, **options)
        if wait:
            await clients[-1].opened()
        return clients[-1]

    yield start
    for client in clients:
        client.close()
        js_process.forget(client)


@pytest_asyncio.fixture
async def wire(serve: Any) -> AsyncIterator[Callable[..., Wire]]:
    """`wire(server)` makes a bare HTTP and WebSocket client."""
    wires: list[Wire] = []

    def start(server: RunningServer, path: str = "/engine.io/") -> Wire:
        wires.append(Wire(server, path))
        return wires[-1]

    yield start
    for one in wires:
        await one.close()
