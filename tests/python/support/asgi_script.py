"""An application for every ASGI server, which tells on standard error which way each WebSocket has gone."""

from __future__ import annotations

import logging

import fastapi

import ferrio

logger = logging.getLogger("ferrio")
logger.setLevel(logging.DEBUG)
logger.addHandler(logging.StreamHandler())
# daphne prints what reaches the root.
logger.propagate = False

sio = ferrio.AsyncServer(async_mode="asgi")
host = fastapi.FastAPI()


@sio.event
async def echo(sid, *args):
    return args


@sio.event
async def who(sid):
    environ = sio.get_environ(sid)
    assert environ is not None
    return environ["REMOTE_ADDR"], environ["asgi.scope"]["type"], environ["QUERY_STRING"]


@host.get("/hello")
async def hello() -> str:
    return "hello"


app = ferrio.ASGIApp(sio, host)
mounted = fastapi.FastAPI()
mounted.mount("/", app)
