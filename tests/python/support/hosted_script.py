"""A FastAPI application with a server in it, run the way an application is run.

``python -m support.hosted_script PORT`` runs it with ``ferrio.run``; ``support.hosted_script:app`` names it for a command
line.
"""

from __future__ import annotations

import sys

import fastapi

from .target import new_server, target

sio = new_server()
host = fastapi.FastAPI()
app = target.ASGIApp(sio, other_asgi_app=host)


@sio.event
async def echo(sid, *args):
    return args


@host.get("/hello")
async def hello() -> str:
    return "hello"


if __name__ == "__main__":
    target.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning")
