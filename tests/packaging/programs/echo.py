"""Starts a server of the module named on the command line and talks to it with python-socketio's client."""

import asyncio
import importlib
import json
import sys

import socketio
import uvicorn

module = importlib.import_module(sys.argv[1])


async def main():
    sio = module.AsyncServer(async_mode="asgi")

    @sio.event
    async def echo(sid, *args):
        return args

    config = uvicorn.Config(module.ASGIApp(sio), host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server.serve())
    port = await listening_port(server, serving)
    answers = {}
    for transport in ("polling", "websocket"):
        client = socketio.AsyncClient()
        await client.connect(f"http://127.0.0.1:{port}", transports=[transport])
        text, blob = await client.call("echo", ("grüße", b"\x00\xff"), timeout=10)
        answers[transport] = [text, list(blob)]
        await client.disconnect()
    server.should_exit = True
    await serving
    print(json.dumps({"module": module.__file__, "answers": answers}))


async def listening_port(server, serving):
    while not server.started:
        if serving.done():
            sys.exit("the server ended before it listened")
        await asyncio.sleep(0.01)
    return server.servers[0].sockets[0].getsockname()[1]


asyncio.run(main())
