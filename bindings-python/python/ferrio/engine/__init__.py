"""An Engine.IO server, with python-engineio's asyncio API: messages of clients, without events, namespaces or rooms.

```python
from ferrio import engine

eio = engine.AsyncServer()
app = engine.ASGIApp(eio)

@eio.on("message")
async def message(sid: str, data: object) -> None:
    await eio.send(sid, data)
```
"""

from ferrio.asgi import EngineApp as ASGIApp
from ferrio.engine import exceptions, packet
from ferrio.engine.server import AsyncServer
from ferrio.engine.sessions import Socket, Sockets
from ferrio.serving import Listener

__all__ = ["ASGIApp", "AsyncServer", "Listener", "Socket", "Sockets", "exceptions", "packet"]
