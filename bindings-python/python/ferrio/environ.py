"""The environment of a client: a dictionary that costs nothing until somebody looks into it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ferrio._native import Handshake


class Environ(dict[str, Any]):
    """The WSGI environment of the request that opened a session, with its `asgi.scope`.

    Most clients are served without anybody reading it, and it is several times as large as all that the server keeps
    of a connection.
    """

    __slots__ = ("_handshake",)

    def __init__(self, handshake: Handshake) -> None:
        super().__init__()
        self._handshake: Handshake | None = handshake

    def _read(self) -> None:
        handshake, self._handshake = self._handshake, None
        if handshake is not None:
            handshake.fill(self)


def _reading(name: str) -> Any:
    method = getattr(dict, name)

    def read(self: Environ, *args: Any, **kwargs: Any) -> Any:
        self._read()
        return method(self, *args, **kwargs)

    read.__name__ = read.__qualname__ = name
    read.__doc__ = method.__doc__
    return read


_READING = (
    "__contains__ __delitem__ __eq__ __getitem__ __ior__ __iter__ __len__ __ne__ __or__ __repr__ __reversed__ __ror__ "
    "__setitem__ clear copy get items keys pop popitem setdefault update values"
)
"""The methods of a dictionary that need what is in it."""

for _name in _READING.split():
    setattr(Environ, _name, _reading(_name))
