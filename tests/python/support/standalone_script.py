"""A whole program around a server: prints its port, serves until SIGINT, closes, and has to end by itself.

Run as ``python -m support.standalone_script DOOR LOOP [pending-ack]``.
"""

from __future__ import annotations

import asyncio
import signal
import sys

from .doors import open_door
from .loops import BlindLoop
from .target import new_server


async def main(door: str) -> None:
    sio = new_server()

    @sio.event
    async def echo(sid, *args):
        if "pending-ack" in sys.argv:
            await sio.emit("question", to=sid, callback=print)
        return args

    server = await open_door(sio, door)
    interrupted = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupted.set)
    print(server.port, flush=True)
    await interrupted.wait()
    await server.stop()


if __name__ == "__main__":
    if sys.argv[2] == "uvloop":
        import uvloop

        uvloop.run(main(sys.argv[1]))
    elif sys.argv[2] == "blind":
        BlindLoop().run_until_complete(main(sys.argv[1]))
    else:
        asyncio.run(main(sys.argv[1]))
