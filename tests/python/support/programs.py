"""Runs a program of the suite in a process of its own."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

from .waiting import soon

HERE = Path(__file__).parent.parent


async def run_program(name: str, *arguments: str) -> tuple[int | None, bytes, bytes]:
    """The exit code, output and errors of `support.<name>`, which must end by itself."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"support.{name}",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=HERE,
        env=dict(os.environ),
    )
    try:
        output, errors = await soon(process.communicate(), "the end of the program")
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode, output, errors


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_it_listens(port: int) -> None:
    """Waits until a port takes connections."""
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return
