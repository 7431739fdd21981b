"""The server's side of Socket.IO's admin UI, under python-socketio's names."""

from __future__ import annotations

import hmac
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from ferrio import _native, asgi, calling
from ferrio.exceptions import ConnectionRefusedError

if TYPE_CHECKING:
    from ferrio.server import AsyncServer

Account: TypeAlias = "dict[str, Any]"
Auth: TypeAlias = "Account | list[Account] | Callable[[Any], bool | Awaitable[bool]] | bool | None"

MAX_ROOMS = 1000
"""More rooms than this no person has chosen."""

MAX_SESSIONS = 1000
"""Sessions of admin clients that are kept. The oldest goes for a new one."""

SESSION_SECONDS = 24 * 60 * 60.0

STATS_INTERVAL = (0.1, 3600.0)
"""Bounds of the time from one snapshot of the counters to the next, in seconds."""


class InstrumentedAsyncServer:
    """Lets the clients of the admin UI see a server, and act on it.

    What they see is written and sent by the core, beside the event loop. Nothing is done for it while none is connected.
    """

    def __init__(
        self,
        sio: AsyncServer,
        auth: Auth = None,
        namespace: str = "/admin",
        read_only: bool = False,
        server_id: str | None = None,
        mode: str = "development",
        server_stats_interval: float = 2,
        show_secrets: bool = False,
    ) -> None:
        if auth is None:
            raise ValueError("auth must be specified")
        low, high = STATS_INTERVAL
        if mode not in ("development", "production"):
            raise ValueError(f"option `mode` must be 'development' or 'production', not {mode!r}")
        if not isinstance(server_stats_interval, (int, float)) or not low <= server_stats_interval <= high:
            raise ValueError(
                f"option `server_stats_interval` must be from {low} to {high} seconds, not {server_stats_interval!r}"
            )
        self.sio = sio
        self.admin_namespace = namespace
        self.read_only = read_only
        self.server_id = server_id or socket.gethostname()
        self.mode = mode
        self.server_stats_interval = server_stats_interval
        self.show_secrets = show_secrets
        self._started = time.monotonic()
        self._gate = None if auth is False else _Gate(sio, auth)
        sio.on("connect", self._connect, namespace=namespace)
        if not read_only:
            for event, handler in (
                ("emit", self._emit),
                ("join", self._join),
                ("leave", self._leave),
                ("_disconnect", self._disconnect),
            ):
                sio.on(event, handler, namespace=namespace)

    def uninstrument(self) -> None:
        """Shows the server to nobody any more, and lets no admin client in."""
        self.sio._admin = None
        self.sio.handlers.pop(self.admin_namespace, None)
        if self.sio._bridge is not None:
            self.sio._bridge.native.uninstrument()

    async def shutdown(self) -> None:
        """Stops telling the admin clients anything."""
        if self.sio._bridge is not None:
            self.sio._bridge.native.uninstrument()

    def _begin(self, native: _native.Server) -> None:
        """Shows a server of the core."""
        native.instrument(
            {
                "namespace": self.admin_namespace,
                "server_id": self.server_id,
                "hostname": socket.gethostname(),
                "uptime": time.monotonic() - self._started,
                "shows_all": self.mode == "development",
                "takes_commands": not self.read_only,
                "shows_secrets": self.show_secrets,
                "interval": float(self.server_stats_interval),
            }
        )

    async def _connect(self, sid: str, environ: dict[str, Any], auth: Any = None) -> None:
        session = None
        if self._gate is not None:
            session = await self._gate.admit(auth, environ.get("REMOTE_ADDR") or "")
        native_socket = self.sio._native_socket(sid, self.admin_namespace)
        if native_socket is None or self.sio._bridge is None:
            return
        if session is not None:
            await self.sio.emit("session", session, to=sid, namespace=self.admin_namespace)
        self.sio._bridge.native.show_to(native_socket)

    # What the UI asks for. What makes no sense is ignored.

    async def _emit(
        self, _: str, namespace: Any = None, rooms: Any = None, event: Any = None, *data: Any
    ) -> None:
        if self._is_target(namespace, rooms) and isinstance(event, str):
            await self.sio.emit(event, data, to=rooms or None, namespace=namespace)

    async def _join(self, _: str, namespace: Any = None, room: Any = None, rooms: Any = None) -> None:
        target = self._target(namespace, rooms)
        # A client's own room is nobody else's.
        if target is not None and isinstance(room, str) and target.socket(room) is None:
            for member in target.sockets(rooms or None):
                member.join(room)

    async def _leave(self, _: str, namespace: Any = None, room: Any = None, rooms: Any = None) -> None:
        target = self._target(namespace, rooms)
        if target is not None and isinstance(room, str):
            for member in target.sockets(rooms or None):
                member.leave(room)

    async def _disconnect(self, _: str, namespace: Any = None, close: Any = False, rooms: Any = None) -> None:
        if self._is_target(namespace, rooms):
            await self.sio.disconnect_sockets(rooms or None, namespace, close is True)

    def _target(self, namespace: Any, rooms: Any) -> _native.Namespace | None:
        return self.sio._native_namespace(namespace) if self._is_target(namespace, rooms) else None

    def _is_target(self, namespace: Any, rooms: Any) -> bool:
        """Whether a namespace and rooms in it can be meant; no rooms are everybody."""
        if isinstance(rooms, list):
            are_rooms = 0 < len(rooms) <= MAX_ROOMS and all(isinstance(room, str) for room in rooms)
        else:
            are_rooms = rooms is None or isinstance(rooms, str)
        return are_rooms and isinstance(namespace, str) and namespace.startswith("/")


class _Gate:
    """Who may come into the admin namespace."""

    def __init__(self, sio: AsyncServer, auth: Auth) -> None:
        self._sio = sio
        self._attempts = _native.Attempts()
        self._sessions: dict[str, float] = {}
        self._login: _native.Login | None = None
        self._function: Callable[[Any], Any] | None = None
        self._accounts: list[Account] = []
        self._auth = auth
        if callable(auth):
            self._function = auth
        elif isinstance(auth, dict) and auth.get("type") == "basic":
            self._make_login()
        else:
            accounts = auth if isinstance(auth, list) else [auth]
            if not accounts or not all(isinstance(account, dict) and account for account in accounts):
                raise ValueError(
                    "option `auth` must be False, an account, a list of accounts, or a function; an account is a "
                    f"dictionary that is not empty, not {auth!r}"
                )
            self._accounts = accounts  # type: ignore[assignment]

    def _make_login(self) -> _native.Login:
        assert isinstance(self._auth, dict)
        username, password = self._auth.get("username"), self._auth.get("password")
        if not isinstance(username, str) or not isinstance(password, str):
            raise ValueError("option `auth` must have a `username` and a `password`")
        try:
            return _native.Login(username, password)
        except ValueError:
            raise ValueError("the `password` field must be a valid bcrypt hash") from None

    async def admit(self, given: Any, address: str) -> str | None:
        """Lets a client in, or raises. Returns the id of a new session, for a client that can use one."""
        if isinstance(given, dict) and self._is_session(given.get("sessionId")):
            return None
        if not await self._is_right(given, address):
            raise ConnectionRefusedError("authentication failed")
        if not isinstance(given, dict) or "username" not in given:
            return None
        while len(self._sessions) >= MAX_SESSIONS:
            del self._sessions[next(iter(self._sessions))]
        session = secrets.token_hex(16)
        self._sessions[session] = time.monotonic() + SESSION_SECONDS
        return session

    def _is_session(self, session: Any) -> bool:
        return isinstance(session, str) and self._sessions.get(session, 0) > time.monotonic()

    async def _is_right(self, given: Any, address: str) -> bool:
        if isinstance(self._auth, dict) and self._auth.get("type") == "basic":
            return await self._knows_password(given, address)
        if not self._attempts.begin(address):
            raise ConnectionRefusedError("too many attempts, try again later")
        if self._function is not None:
            is_right = bool(await calling.call(self._function, given))
        else:
            # Every account is looked at, so that the time tells nothing.
            is_right = sum(_equal(given, account) for account in self._accounts) > 0
        if is_right:
            self._attempts.succeeded(address)
        return is_right

    async def _knows_password(self, given: Any, address: str) -> bool:
        username, password = (
            (given.get("username"), given.get("password")) if isinstance(given, dict) else (0, 0)
        )
        if not isinstance(username, str) or not isinstance(password, str) or self._sio._bridge is None:
            return False
        # Made anew in a process that was forked.
        self._login = self._login or self._make_login()
        checking = self._sio._bridge.native.check_login(self._login, username, password, address)
        is_right = await asgi.finished(checking)
        if is_right is None:
            raise ConnectionRefusedError("too many attempts, try again later")
        return bool(is_right)


def _equal(given: Any, account: Account) -> bool:
    """Whether a client has given exactly what an account has, in a time that does not tell where they differ."""
    if not isinstance(given, dict) or given.keys() != account.keys():
        return False
    values = [_equal_values(given[name], value) for name, value in account.items()]
    return all(values)


def _equal_values(given: Any, value: Any) -> bool:
    if isinstance(given, str) and isinstance(value, str):
        return hmac.compare_digest(
            given.encode("utf-8", "surrogatepass"), value.encode("utf-8", "surrogatepass")
        )
    return bool(given == value)
