"""Every common ASGI server runs the same application, each in a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from support.node_client import NodeProcess
from support.programs import free_port, until_it_listens
from support.waiting import soon

pytestmark = pytest.mark.ferrio_only("the way of a connection is a matter of ferrio's.")

APP = "support.asgi_script:app"
MOUNTED = "support.asgi_script:mounted"

TAKEN = "was taken over from"
PASSED = "passes through ASGI"

SERVERS = {
    "uvicorn": (["uvicorn", APP, "--port", "{port}"], TAKEN),
    "uvicorn, mounted": (["uvicorn", MOUNTED, "--port", "{port}"], TAKEN),
    "uvicorn, wsproto": (["uvicorn", MOUNTED, "--port", "{port}", "--ws", "wsproto"], TAKEN),
    "uvicorn, asyncio and h11": (
        ["uvicorn", APP, "--port", "{port}", "--loop", "asyncio", "--http", "h11"],
        TAKEN,
    ),
    "gunicorn": (["gunicorn", "-k", "uvicorn.workers.UvicornWorker", "-b", "127.0.0.1:{port}", APP], TAKEN),
    "hypercorn": (["hypercorn", "-b", "127.0.0.1:{port}", APP], TAKEN),
    "hypercorn, mounted": (["hypercorn", "-b", "127.0.0.1:{port}", MOUNTED], TAKEN),
    "daphne": (["daphne", "-b", "127.0.0.1", "-p", "{port}", APP], PASSED),
    "granian": (["granian", "--interface", "asgi", "--port", "{port}", APP], PASSED),
}


@contextlib.asynccontextmanager
async def running(command: list[str], port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *(part.format(port=port) for part in command),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd=Path(__file__).parent,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # gunicorn and granian have workers, which must not outlive a test that fails.
        start_new_session=True,
    )
    try:
        await soon(until_it_listens(port), "the port of the server")
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


@pytest.mark.parametrize(("command", "way"), SERVERS.values(), ids=SERVERS)
async def test_every_transport(node: NodeProcess, command: list[str], way: str) -> None:
    """clients of every transport are served, beside the host application"""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    async with running(command, port) as process:
        async with aiohttp.ClientSession(url) as http, http.get("/hello") as answer:
            assert await answer.json() == "hello"
        clients: list[Any] = []
        for transports in (["polling"], ["websocket"], ["polling", "websocket"]):
            client = node.client()
            client.open(url, transports=transports, query={"of": transports[0]})
            clients.append(client)
            await client.connected()
            if "websocket" in transports:
                await client.upgraded()
            assert await client.call("echo", "text", b"\x00\xff") == ("text", b"\x00\xff")
            address, kind, query = await client.call("who")
            # The session of a client that upgrades was opened by polling.
            assert (address, kind) == ("127.0.0.1", "websocket" if transports == ["websocket"] else "http")
            assert f"of={transports[0]}" in query
        for client in clients:
            await client.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        assert process.stdout is not None
        output = (await process.stdout.read()).decode()
        assert output.count(way) == 2, output
        assert "Traceback" not in output


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize(("command", "way"), SERVERS.values(), ids=SERVERS)
async def test_told_to_end(node: NodeProcess, command: list[str], way: str, end: int) -> None:
    """a server that is told to end lets clients of every transport go, and ends as if nobody had been connected"""
    port = free_port()
    async with running(command, port) as process:
        clients: list[Any] = []
        for transports in (["polling"], ["websocket"], ["polling", "websocket"]):
            client = node.client()
            client.open(f"http://127.0.0.1:{port}", transports=transports)
            clients.append(client)
            await client.connected()
            if "websocket" in transports:
                await client.upgraded()
        if end == signal.SIGINT:
            # A terminal interrupts the workers of a server, too.
            os.killpg(process.pid, end)
        else:
            process.send_signal(end)
        for client in clients:
            await client.disconnected()
        # Far sooner than a poll would be answered without an event.
        output, _ = await soon(process.communicate(), "the end of the server")
        # uvicorn raises the signal once more after its own shutdown.
        assert process.returncode in (0, -end), output.decode()
        assert b"Traceback" not in output, output.decode()
        for client in clients:
            await client.close()


async def test_signal_of_the_application(node: NodeProcess) -> None:
    """an application that handles the signal itself keeps its clients until its server ends"""
    port = free_port()
    async with running(["support.patient_script", "{port}"], port) as process:
        client = node.client()
        client.open(f"http://127.0.0.1:{port}", transports=["polling"])
        await client.connected()
        asked = asyncio.ensure_future(client.call("ask_until_told"))
        process.send_signal(signal.SIGTERM)
        await asked
        await client.emit("release")
        await client.disconnected()
        output, _ = await soon(process.communicate(), "the end of the server")
        assert process.returncode == 0, output.decode()
        assert b"Traceback" not in output, output.decode()
        await client.close()
