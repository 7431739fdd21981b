"""A Socket.IO server whose core is Rust, with python-socketio's asyncio API.

```python
import ferrio

sio = ferrio.AsyncServer()
app = ferrio.ASGIApp(sio)

@sio.event
async def greet(sid: str, name: str) -> str:
    return f"hello {name}"

ferrio.run(app, port=3000)
```
"""

from ferrio import exceptions
from ferrio.asgi import ASGIApp
from ferrio.namespace import AsyncNamespace
from ferrio.run import run
from ferrio.server import AsyncServer
from ferrio.serving import Listener
from ferrio.socket import Socket

__all__ = ["ASGIApp", "AsyncNamespace", "AsyncServer", "Listener", "Socket", "exceptions", "run"]
