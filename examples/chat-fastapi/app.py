"""The chat on FastAPI: `python -m ferrio app:app`, then open the address it prints.

CHAT_MODULE=socketio runs this same file on python-socketio, with `uvicorn app:app`.
"""

import importlib
import os
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

socketio = importlib.import_module(os.environ.get("CHAT_MODULE", "ferrio"))

MAX_HISTORY = 50
MAX_EMPTY_ROOMS = 100
MAX_NAME = 24
MAX_TEXT = 2000

api = FastAPI()
sio = socketio.AsyncServer(async_mode="asgi")
app = socketio.ASGIApp(sio, api)


@dataclass
class Room:
    """What a room remembers: who is in it, by socket id, and its last messages."""

    members: dict[str, str] = field(default_factory=dict)
    history: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=MAX_HISTORY))

    def nicknames(self) -> list[str]:
        return sorted(set(self.members.values()))


people: dict[str, str] = {}
rooms: dict[str, Room] = {}


@sio.event
async def connect(sid, environ, auth):
    nickname = text_of(auth.get("nickname"), MAX_NAME) if isinstance(auth, dict) else ""
    if not nickname:
        raise socketio.exceptions.ConnectionRefusedError("choose a nickname")
    people[sid] = nickname
    await sio.enter_room(sid, inbox_of(nickname))
    await announce_people()


@sio.event
async def join(sid, request):
    name = text_of(request.get("room"), MAX_NAME)
    if not name:
        return {"error": "a room needs a name"}
    room = rooms.setdefault(name, Room())
    room.members[sid] = people[sid]
    await sio.enter_room(sid, address_of(name))
    notice = {"room": name, "nickname": people[sid], "members": room.nicknames()}
    await sio.emit("joined", notice, room=address_of(name), skip_sid=sid)
    return {"room": name, "members": room.nicknames(), "history": list(room.history)}


@sio.event
async def leave(sid, request):
    await leave_room(sid, text_of(request.get("room"), MAX_NAME))
    return {}


@sio.event
async def message(sid, request):
    name = text_of(request.get("room"), MAX_NAME)
    written = message_from(sid, request)
    if name not in rooms or sid not in rooms[name].members:
        return {"error": "you are not in this room"}
    if not written["text"]:
        return {"error": "a message needs a text"}
    rooms[name].history.append(written)
    await sio.emit("message", {"room": name, **written}, room=address_of(name), skip_sid=sid)
    return {"at": written["at"]}


@sio.event
async def private(sid, request):
    to = text_of(request.get("to"), MAX_NAME)
    written = message_from(sid, request)
    if to not in people.values():
        return {"error": f"{to} is not here"}
    if not written["text"]:
        return {"error": "a message needs a text"}
    await sio.emit("private", written, room=inbox_of(to), skip_sid=sid)
    return {"at": written["at"]}


@sio.event
async def typing(sid, request):
    name = text_of(request.get("room"), MAX_NAME)
    if name not in rooms or sid not in rooms[name].members:
        return {"error": "you are not in this room"}
    notice = {"room": name, "nickname": people[sid], "isTyping": request.get("isTyping") is True}
    await sio.emit("typing", notice, room=address_of(name), skip_sid=sid)
    return {}


@sio.event
async def disconnect(sid, reason):
    for name in list(rooms):
        await leave_room(sid, name)
    people.pop(sid, None)
    await announce_people()


async def leave_room(sid: str, name: str) -> None:
    room = rooms.get(name)
    if room is None or room.members.pop(sid, None) is None:
        return
    await sio.leave_room(sid, address_of(name))
    notice = {"room": name, "nickname": people[sid], "members": room.nicknames()}
    await sio.emit("left", notice, room=address_of(name))
    if not room.members and len(rooms) > MAX_EMPTY_ROOMS:
        del rooms[name]


async def announce_people() -> None:
    await sio.emit("people", sorted(set(people.values())))


def message_from(sid: str, request: dict[str, Any]) -> dict[str, Any]:
    return {
        "from": people[sid],
        "text": text_of(request.get("text"), MAX_TEXT),
        "at": int(time.time() * 1000),
    }


def text_of(value: object, longest: int) -> str:
    return value.strip()[:longest] if isinstance(value, str) else ""


# The prefixes keep apart what would else share one set of names: the rooms that people choose, the inbox that
# all tabs of a nickname join, and the room that every socket has of its own.
def address_of(room: str) -> str:
    return f"room:{room}"


def inbox_of(nickname: str) -> str:
    return f"inbox:{nickname}"


@api.get("/api/rooms")
async def list_rooms() -> list[dict[str, Any]]:
    return [{"name": name, "members": room.nicknames()} for name, room in rooms.items()]


# The browser's library comes from the npm package, the page from the folder that both chat servers share.
# Mounts answer in order, so the page, which would answer everything, is last.
ROOT = Path(__file__).parents[2]
api.mount("/client", StaticFiles(directory=ROOT / "node_modules/socket.io-client/dist"))
api.mount("/", StaticFiles(directory=ROOT / "examples/chat-client", html=True))
