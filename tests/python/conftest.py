"""Fixtures of the behaviour scenarios: a server behind each of its doors, and official clients that talk to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from typing import Any

import pytest
import pytest_asyncio

from support.client import Client
from support.doors import DOORS, RunningServer, open_door
from support.loops import BlindLoop
from support.node_client import NodeClient, NodeProcess
from support.python_client import PythonClient
from support.target import IS_FERRIO
from support.wire import Wire


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every scenario runs on asyncio's own loop, those marked `both_loops` on uvloop as well."""
    if item.get_closest_marker("blind_loop"):
        return {"blind": BlindLoop}
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if item.get_closest_marker("both_loops"):
        import uvloop

        factories["uvloop"] = uvloop.new_event_loop
    return factories


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--door", action="append", choices=DOORS, help="run through this door only; may be repeated"
    )
    parser.addoption(
        "--ferrio-only-too", action="store_true", help="run what python-socketio is known to fail, too"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if IS_FERRIO or config.getoption("--ferrio-only-too"):
        return
    for item in items:
        marker = item.get_closest_marker("ferrio_only")
        if marker:
            item.add_marker(pytest.mark.skip(reason=marker.args[0]))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Runs a scenario through every door, and with each of the clients that it names with `clients`."""
    if "door" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("doors")
        wanted = set(marker.args if marker else DOORS) & set(metafunc.config.getoption("--door") or DOORS)
        metafunc.parametrize("door", [door for door in DOORS if door in wanted])
    if "client_kind" in metafunc.fixturenames:
        marker = metafunc.definition.get_closest_marker("clients")
        metafunc.parametrize("client_kind", marker.args if marker else ("js",))


@pytest_asyncio.fixture
async def serve(door: str) -> AsyncIterator[Callable[..., Awaitable[RunningServer]]]:
    """`await serve(sio, app=…, port=…, path=…)` starts a server that ends with the scenario."""
    running: list[RunningServer] = []

    async def start(sio: Any, **options: Any) -> RunningServer:
        server = await open_door(sio, door, **options)
        running.append(server)
        return server

    yield start
    for server in running:
        await server.stop()


@pytest.fixture(scope="session")
def node_process() -> Iterator[NodeProcess]:
    process = NodeProcess()
    yield process
    process.stop()


@pytest_asyncio.fixture
async def node(node_process: NodeProcess) -> NodeProcess:
    """The Node process of the suite, delivering to the loop of this scenario."""
    node_process.use_loop(asyncio.get_running_loop())
    return node_process


Connect = Callable[..., Awaitable[Client]]
ConnectJs = Callable[..., Awaitable[NodeClient]]


@pytest_asyncio.fixture
async def connect(serve: Any, client_kind: str, node: NodeProcess) -> AsyncIterator[Connect]:
    """`await connect(server, …)` connects a client of the kind at hand, which leaves with the scenario.

    Options: `namespace`, `auth`, `transports`, `parser="msgpack"`; `wait=False` returns before the client is connected.
    """
    clients: list[Client] = []

    async def start(server: RunningServer, wait: bool = True, namespace: str = "/", **options: Any) -> Client:
        if client_kind == "js":
            client = node.client()
            client.open(server.url, namespace=namespace, **options)
        else:
            serializer = options.pop("parser", "default")
            client = PythonClient(f"python-{len(clients)}", namespace, serializer)
            await client.open(server.url, **options)
        clients.append(client)
        if wait:
            await client.connected()
        return client

    yield start
    for client in clients:
        await client.close()


@pytest_asyncio.fixture
async def connect_js(serve: Any, node: NodeProcess) -> AsyncIterator[ConnectJs]:
    """`await connect_js(server, …)` connects socket.io-client, with every option that it has.

    `shared` names a client whose connection is used, `auths` the payloads of successive connects, `version` 2 the old client.
    """
    clients: list[NodeClient] = []

    async def start(
        server: RunningServer,
        wait: bool = True,
        version: int = 4,
        shared: NodeClient | None = None,
        **options: Any,
    ) -> NodeClient:
        client = node.client(version, shared.manager if shared else None)
        client.open(server.url, **options)
        clients.append(client)
        if wait:
            await client.connected()
        return client

    yield start
    for client in clients:
        await client.close()


@pytest_asyncio.fixture
async def wire(serve: Any) -> AsyncIterator[Callable[..., Wire]]:
    """`wire(server)` makes a bare HTTP and WebSocket client."""
    wires: list[Wire] = []

    def start(server: RunningServer, **options: Any) -> Wire:
        wires.append(Wire(server, **options))
        return wires[-1]

    yield start
    for one in wires:
        await one.close()
