"""The servers: how each is made ready and started."""

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

BENCH = Path(__file__).resolve().parent.parent
REPOSITORY = BENCH.parent
OUT = BENCH / "out"
TARGET = OUT / "target"
RELEASE = TARGET / "release"
LOAD = RELEASE / "ferrio-load"
PYTHON = OUT / "venv" / "bin" / "python"

# Holds a link to the ferrio package alone, so that both Python servers share one environment: same uvicorn, same uvloop.
FERRIO_PYTHON_PATH = OUT / "ferrio-python"


class MissingError(Exception):
    """A server cannot be started here; the text says what it lacks."""


@dataclass(frozen=True)
class Server:
    """One server of the comparison."""

    name: str
    command: tuple[str, ...]
    prepare: Callable[[], None]
    # The name of the server that this one replaces; a peer replaces none.
    peer: str | None = None
    environment: tuple[tuple[str, str], ...] = ()
    # Workloads that it cannot carry.
    lacks: frozenset[str] = frozenset()


def build(*command: str, folder: Path = BENCH) -> None:
    """Run a build step; its output is shown only when it fails."""
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise MissingError(f"{command[0]} is not installed") from None
    if done.returncode != 0:
        raise MissingError(f"`{' '.join(command)}` failed:\n{done.stderr.strip() or done.stdout.strip()}")


def cargo(package: str) -> None:
    """Build one crate of the benchmark's workspace."""
    build(
        "cargo",
        "build",
        "--quiet",
        "--release",
        "--locked",
        "--package",
        package,
        "--target-dir",
        str(TARGET),
    )


def peer_python() -> None:
    """Make the virtual environment with python-socketio and uvicorn."""
    if not PYTHON.exists():
        build("python3", "-m", "venv", str(OUT / "venv"))
    requirements = BENCH / "servers" / "python" / "requirements.txt"
    stamp = OUT / "venv" / "requirements.txt"
    if not stamp.exists() or stamp.read_text() != requirements.read_text():
        build(str(PYTHON), "-m", "pip", "install", "--quiet", "--requirement", str(requirements))
        stamp.write_text(requirements.read_text())


def peer_node() -> None:
    """Install socket.io."""
    folder = BENCH / "servers" / "node"
    if not (folder / "node_modules" / "socket.io").exists():
        build("npm", "ci", folder=folder)


def ferrio_node() -> None:
    """See whether the repository's root is a package that loads."""
    build_hint("node", "-e", f"require({str(REPOSITORY)!r})")


def ferrio_python() -> None:
    """Find the ferrio package of the repository's environment and link it for the benchmark's."""
    peer_python()
    python = REPOSITORY / ".venv" / "bin" / "python"
    where = "import ferrio, pathlib; print(pathlib.Path(ferrio.__file__).parent)"
    package = build_hint(str(python), "-c", where)
    FERRIO_PYTHON_PATH.mkdir(parents=True, exist_ok=True)
    link = FERRIO_PYTHON_PATH / "ferrio"
    link.unlink(missing_ok=True)
    link.symlink_to(package)


def build_hint(*command: str) -> str:
    """Run a command that works once the repository is built, and return its output."""
    try:
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=30
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        raise MissingError("not built; run `make build`") from None
    if done.returncode != 0:
        raise MissingError("not built; run `make build`")
    return done.stdout.strip()


def _node(module: str, door: str) -> tuple[str, ...]:
    return ("node", str(BENCH / "servers" / "node" / "socketio.mjs"), "--module", module, "--door", door)


def _python(module: str, door: str) -> tuple[str, ...]:
    application = BENCH / "servers" / "python" / "asgi_app.py"
    return (str(PYTHON), str(application), "--module", module, "--door", door)


_FERRIO_PATH = (("PYTHONPATH", str(FERRIO_PYTHON_PATH)),)

SERVERS = (
    Server("socket.io", _node("socket.io", "http"), peer_node),
    Server("ferrio-node", _node(str(REPOSITORY), "port"), ferrio_node, "socket.io"),
    Server("ferrio-node-http", _node(str(REPOSITORY), "http"), ferrio_node, "socket.io"),
    Server("python-socketio", _python("socketio", "uvicorn"), peer_python),
    Server("ferrio-python", _python("ferrio", "listen"), ferrio_python, "python-socketio", _FERRIO_PATH),
    Server("ferrio-python-adopt", _python("ferrio", "adopt"), ferrio_python, "python-socketio", _FERRIO_PATH),
    Server(
        "ferrio-python-asgi", _python("ferrio", "uvicorn"), ferrio_python, "python-socketio", _FERRIO_PATH
    ),
    Server("socketioxide", (str(RELEASE / "bench-socketioxide"),), lambda: cargo("bench-socketioxide")),
    Server(
        "limit",
        (str(RELEASE / "bench-limit"),),
        lambda: cargo("bench-limit"),
        lacks=frozenset({"heartbeat"}),
    ),
)
