"""The servers: how each is made ready and started."""

import shutil
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

# Copies of ferrio's packages, so that building during a run changes nothing in it. The Python package stands alone in
# its folder: both Python servers share one environment, with the same uvicorn and the same uvloop.
FERRIO_NODE = OUT / "ferrio-node"
FERRIO_PYTHON = OUT / "ferrio-python"

# Bytes. A release build has 15 MB with its line tables, a debug build 80.
LARGEST_RELEASE_BUILD = 40_000_000

NOT_BUILT = "not built; run `make build`"


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
    # Whether TARGETS hold for it; otherwise it has to be no worse than its peer.
    has_targets: bool = True
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
    """Copy the npm package that the repository's root is."""
    built = REPOSITORY / "bindings-node"
    copy = FERRIO_NODE / "bindings-node"
    if not (built / "dist").exists():
        raise MissingError(NOT_BUILT)
    shutil.rmtree(FERRIO_NODE, ignore_errors=True)
    shutil.copytree(built / "dist", copy / "dist")
    shutil.copy(REPOSITORY / "package.json", FERRIO_NODE)
    for library in built.glob("*.node"):
        shutil.copy(library, copy)
        refuse_debug_build(library)
    loads("node", "-e", f"require({str(FERRIO_NODE)!r})")


def ferrio_python() -> None:
    """Copy the ferrio package of the repository's environment."""
    peer_python()
    python = REPOSITORY / ".venv" / "bin" / "python"
    package = Path(loads(str(python), "-c", "import ferrio; print(*ferrio.__path__)"))
    shutil.rmtree(FERRIO_PYTHON, ignore_errors=True)
    shutil.copytree(package, FERRIO_PYTHON / "ferrio", ignore=shutil.ignore_patterns("__pycache__"))
    for library in package.glob("*.so"):
        refuse_debug_build(library)


def loads(*command: str) -> str:
    """Run a command that works once the repository is built, and return its output."""
    try:
        done = subprocess.run(
            command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=30
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        raise MissingError(NOT_BUILT) from None
    if done.returncode != 0:
        raise MissingError(f"{NOT_BUILT} ({done.stderr.strip().splitlines()[-1:]})")
    return done.stdout.strip()


def refuse_debug_build(library: Path) -> None:
    """Refuse a library that is several times as large as a release build, and would be as much slower."""
    if library.stat().st_size > LARGEST_RELEASE_BUILD:
        raise MissingError(f"{library.name} is a debug build; run `make build`")


def _node(module: str, door: str) -> tuple[str, ...]:
    return ("node", str(BENCH / "servers" / "node" / "socketio.mjs"), "--module", module, "--door", door)


def _python(module: str, door: str) -> tuple[str, ...]:
    application = BENCH / "servers" / "python" / "asgi_app.py"
    return (str(PYTHON), str(application), "--module", module, "--door", door)


_FERRIO_PATH = (("PYTHONPATH", str(FERRIO_PYTHON)),)

SERVERS = (
    Server("socket.io", _node("socket.io", "http"), peer_node),
    Server("ferrio-node", _node(str(FERRIO_NODE), "port"), ferrio_node, "socket.io"),
    Server("ferrio-node-http", _node(str(FERRIO_NODE), "http"), ferrio_node, "socket.io"),
    Server("python-socketio", _python("socketio", "uvicorn"), peer_python),
    Server("ferrio-python", _python("ferrio", "listen"), ferrio_python, "python-socketio", _FERRIO_PATH),
    Server("ferrio-python-adopt", _python("ferrio", "adopt"), ferrio_python, "python-socketio", _FERRIO_PATH),
    # Every message passes through uvicorn, which alone costs more than the targets.
    Server(
        "ferrio-python-asgi",
        _python("ferrio", "uvicorn"),
        ferrio_python,
        "python-socketio",
        _FERRIO_PATH,
        has_targets=False,
    ),
    Server("socketioxide", (str(RELEASE / "bench-socketioxide"),), lambda: cargo("bench-socketioxide")),
    Server(
        "limit",
        (str(RELEASE / "bench-limit"),),
        lambda: cargo("bench-limit"),
        lacks=frozenset({"heartbeat"}),
    ),
)
