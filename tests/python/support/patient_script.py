"""A server that is told to end by a signal, and takes its time until a client lets it go."""

from __future__ import annotations

import asyncio
import signal
import sys

from hypercorn.asyncio import serve
from hypercorn.config import Config

import ferrio

sio = ferrio.AsyncServer()
told, released = asyncio.Event(), asyncio.Event()


@sio.event
async def ask_until_told(sid):
    await told.wait()


@sio.event
async def release(sid):
    released.set()


async def main() -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, told.set)
    config = Config()
    config.bind = [f"127.0.0.1:{sys.argv[1]}"]
    await serve(ferrio.ASGIApp(sio), config, shutdown_trigger=released.wait)


asyncio.run(main())
