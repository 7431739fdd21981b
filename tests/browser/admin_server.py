"""The same as `admin-server.mjs` in Python."""

import asyncio
import os
from typing import Any

import ferrio

sio = ferrio.AsyncServer(cors_allowed_origins="*", cors_credentials=True)
sio.instrument(
    auth={"type": "basic", "username": "admin", "password": os.environ["ADMIN_HASH"]},
    server_id="the server",
)


@sio.event
async def connect(sid: str, environ: dict[str, Any]) -> None:
    await sio.enter_room(sid, "lobby")


@sio.event
async def say(sid: str, text: str) -> None:
    await sio.emit("said", text, room="lobby")


async def main() -> None:
    listener = await sio.listen("127.0.0.1")
    print(f"http://127.0.0.1:{listener.port}", flush=True)
    await asyncio.Event().wait()


asyncio.run(main())
