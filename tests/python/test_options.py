"""The options: what type checkers see is what the core's table says, and bad ones are refused by name."""

from __future__ import annotations

import ast
import inspect
import itertools
import re
from pathlib import Path
from typing import Any

import pytest

from support.target import IS_FERRIO, new_server, target

pytestmark = pytest.mark.ferrio_only("python-socketio has no table of options, and takes any value.")

GROUPS = {
    "connection_state_recovery": "Recovery",
    "limits": "Limits",
    "outbox": "Outbox",
    "per_message_deflate": "MessageCompression",
}


def table() -> dict[str, tuple[str | None, str]]:
    """Every option by its name: its type, if it is one plain type, and its documentation."""
    from ferrio import _native

    return _native.option_table()


def declared() -> dict[str, tuple[str, str]]:
    """Every declared option by its name: its type and its documentation, as they are written."""
    source = Path(target.__file__).with_name("options.py").read_text()
    classes = {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}
    options: dict[str, tuple[str, str]] = {}
    for prefix, name in [("", "ServerOptions"), *((f"{group}.", name) for group, name in GROUPS.items())]:
        body = classes[name].body
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign):
                assert isinstance(text, ast.Expr), f"{ast.unparse(field)} is not documented"
                assert isinstance(field.target, ast.Name)
                options[f"{prefix}{field.target.id}"] = (
                    ast.unparse(field.annotation),
                    " ".join(ast.literal_eval(text.value).split()),
                )
    return options


def signature() -> dict[str, str]:
    """The keywords in the signature of the server, with their defaults."""
    parameters = inspect.signature(target.AsyncServer.__init__).parameters.values()
    return {
        parameter.name: repr(parameter.default)
        for parameter in parameters
        if parameter.default is not parameter.empty
    }


def test_declared():
    """every option is declared, and nothing else"""
    assert declared().keys() | signature().keys() == table().keys()
    assert not declared().keys() & signature().keys()


@pytest.mark.parametrize("name", declared() if IS_FERRIO else ())
def test_documentation(name):
    """an option's type and documentation, with its unit, bounds and default, are those of the table"""
    plain_type, text = table()[name]
    annotation, documentation = declared()[name]
    assert documentation == text
    assert plain_type in (None, annotation)


@pytest.mark.parametrize("name", signature() if IS_FERRIO else ())
def test_signature(name):
    """a keyword of the signature has the table's default"""
    _, text = table()[name]
    assert re.search(r"Default `?(\w+)`?\.$", text)[1] == signature()[name]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"pingInterval": 1}, TypeError, "there is no option `pingInterval`"),
        ({"path": "/x"}, TypeError, "there is no option `path`"),
        ({"limits": {"depth": 1}}, TypeError, "there is no option `limits.depth`"),
        (
            {"ping_timeout": 0},
            ValueError,
            "option `ping_timeout` must be a number of seconds from 0.001 to 86400, not 0",
        ),
        (
            {"ping_interval": (25, -1)},
            ValueError,
            "option `ping_interval` must be a number of seconds from 0.001 to 86400, or a pair of it and a number to add"
            " to `ping_timeout`, not -1",
        ),
        (
            {"max_http_buffer_size": 1e6},
            TypeError,
            "option `max_http_buffer_size` must be a whole number of bytes from 1 to 1073741824, not 1000000.0",
        ),
        ({"allow_eio3": "yes"}, TypeError, 'option `allow_eio3` must be True or False, not "yes"'),
        ({"allow_eio3": None}, TypeError, "option `allow_eio3` must be True or False, not None"),
        (
            {"limits": {"max_depth": 0}},
            ValueError,
            "option `limits.max_depth` must be a whole number from 1 to 100000, not 0",
        ),
        (
            {"transports": ["polling", "smoke"]},
            ValueError,
            'option `transports` must be a list of `polling` and `websocket`, or one of them, not "smoke"',
        ),
        (
            {"cookie": {"path": b"/"}},
            TypeError,
            "option `cookie.path` must be text, a number, True or False, not b'/'",
        ),
        (
            {"connection_state_recovery": {"max_packets": 0}},
            ValueError,
            "option `connection_state_recovery.max_packets` must be a whole number, at least 1, not 0",
        ),
        (
            {"per_message_deflate": {"mem_level": 8}},
            TypeError,
            "there is no option `per_message_deflate.mem_level`",
        ),
        (
            {"per_message_deflate": {"client_max_window_bits": 16}},
            ValueError,
            "option `per_message_deflate.client_max_window_bits` must be a whole number from 8 to 15, or a boolean, not 16",
        ),
        (
            {"per_message_deflate": 1},
            TypeError,
            "option `per_message_deflate` must be a dictionary, or True or False, not 1",
        ),
        (
            {"cors_allowed_origins": "http://a\n"},
            ValueError,
            'option `cors_allowed_origins` must be text that an HTTP header can hold, not "http://a\\n"',
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_refused(options, error, message):
    """a bad option is refused by its name, with what it may be and what it was"""
    with pytest.raises(error) as refusal:
        new_server(**options)
    assert str(refusal.value) == message


def cycle() -> Any:
    limits: dict[str, Any] = {}
    limits["max_depth"] = limits
    return limits


@pytest.mark.parametrize(
    "options",
    [
        {"limits": None, "outbox": {}, "transports": None, "cookie": None, "connection_state_recovery": None},
        {"cors_allowed_origins": ("http://a", "http://b"), "transports": {"polling"}},
        {"cors_allowed_origins": []},
        {"cors_allowed_origins": lambda origin, environ: True},
        {"cookie": {"name": "sid", "HttpOnly": True, "max-age": lambda: 10, "SameSite": None}},
        {"http_compression": 0, "compression_threshold": 10},
        {"ping_interval": (10, 5), "connection_state_recovery": True},
        {"engineio_logger": object(), "monitor_clients": False, "async_mode": None, "namespaces": "*"},
    ],
    ids=lambda options: "-".join(options),
)
def test_accepted(options):
    """every form of python-socketio's options is accepted"""
    new_server(**options) if "async_mode" not in options else target.AsyncServer(**options)


def test_cycle():
    """options that contain themselves are refused like any others"""
    with pytest.raises(
        TypeError, match=r"^option `limits.max_depth` must be a whole number from 1 to 100000"
    ):
        new_server(limits=cycle())
