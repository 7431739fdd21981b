"""Starts one server, loads it once, and ends it."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from comparison.servers import LOAD, OUT, Server
from comparison.workloads import Workload

HOST = "127.0.0.1"

# A server on a busy machine: importing uvicorn alone may take seconds.
START_DEADLINE = 30.0

# On top of what the run itself takes: connecting, the last answers, and the generator's own patience with each.
LOAD_DEADLINE = 60.0


class FailedError(Exception):
    """A run gave no figure; the text says why."""


def measure(server: Server, workload: Workload, seconds: float, warm_up: float) -> dict[str, Any]:
    """Run a workload on a server that has done nothing before."""
    with running(server, workload) as (process, port):
        command = [str(LOAD), "--workload", workload.name, "--pid", str(process.pid), "--port", str(port)]
        command += ["--seconds", str(seconds), "--warm-up", str(warm_up)]
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=LOAD_DEADLINE + seconds + warm_up,
            )
        except subprocess.TimeoutExpired:
            raise FailedError("the load generator did not end") from None
        if done.returncode != 0:
            raise FailedError(done.stderr.strip())
        return json.loads(done.stdout)


@contextmanager
def running(server: Server, workload: Workload) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Start a server on a free port, and end it whatever happens."""
    port = free_port()
    environment = os.environ | {"NODE_ENV": "production"} | dict(server.environment)
    command = [*server.command, "--port", str(port), *workload.arguments]
    log = OUT / f"{server.name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
    try:
        wait_until_listening(process, port, str(log))
        yield process, port
    finally:
        process.terminate()
        try:
            process.wait(timeout=3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """Find a port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return probe.getsockname()[1]


def wait_until_listening(process: subprocess.Popen[bytes], port: int, log: str) -> None:
    """Return when the server accepts connections."""
    deadline = time.monotonic() + START_DEADLINE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise FailedError(f"ended with {process.returncode} at its start, see {log}")
        try:
            socket.create_connection((HOST, port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.02)
    raise FailedError(f"does not listen after {START_DEADLINE:.0f} s, see {log}")
