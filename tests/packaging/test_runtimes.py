"""The installed npm package in every runtime that docs/runtimes.md names."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest

Run = Callable[..., str]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the runtimes are installed for Linux")


@dataclass
class Runtime:
    """A runtime as a package of npm that has its program."""

    package: str
    program: str
    arguments: tuple[str, ...] = ()


NODES: dict[str, Runtime] = {
    "node-18": Runtime("node-linux-{cpu}@18.20.8", "bin/node"),
    "node-20": Runtime("node-linux-{cpu}@20.20.2", "bin/node"),
    "node-22": Runtime("node-linux-{cpu}@22.23.3", "bin/node"),
    "node-24": Runtime("node-linux-{cpu}@24.21.0", "bin/node"),
}
OTHERS = {
    "bun": Runtime("@oven/bun-linux-{bun_cpu}@1.4.5", "bin/bun"),
    "deno": Runtime("@deno/linux-{cpu}-glibc@2.9.6", "deno", ("run", "-A", "--node-modules-dir=manual")),
}
RUNTIMES = NODES | OTHERS

ANSWERS = {transport: ["grüße", [0, 255], "hello"] for transport in ("polling", "websocket", "upgrade")}
VISIT = {"answers": ANSWERS, "script": True}


@pytest.fixture(scope="session")
def runtimes(platform: str, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every runtime, each under its own name."""
    folder = tmp_path_factory.mktemp("runtimes")
    (folder / "package.json").write_text('{ "private": true }')
    cpu = platform.split("-")[1]
    packages = [
        f"{name}@npm:{runtime.package.format(cpu=cpu, bun_cpu='aarch64' if cpu == 'arm64' else cpu)}"
        for name, runtime in RUNTIMES.items()
    ]
    run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *packages, cwd=folder)
    return folder / "node_modules"


def command(runtimes: Path, name: str) -> list[str]:
    runtime = RUNTIMES[name]
    return [str(runtimes / name / runtime.program), *runtime.arguments]


@contextmanager
def running(words: list[str], cwd: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        words, cwd=cwd, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def addresses(output: IO[str]) -> list[str]:
    """Where the next server that is started serves."""
    for line in output:
        if line.startswith("{"):
            return list(json.loads(line).values())
    pytest.fail("the program ended before it listened")


def visit(project: Path, urls: list[str], run: Run) -> list[object]:
    return list(json.loads(run("node", "answers.cjs", *urls, cwd=project)).values())


@pytest.mark.parametrize("name", RUNTIMES)
def test_a_runtime_serves_the_official_client_and_ends_by_itself(
    runtimes: Path, project: Path, name: str, run: Run
) -> None:
    with running([*command(runtimes, name), "server.mjs"], project) as process:
        assert process.stdout is not None
        assert visit(project, addresses(process.stdout), run) == [VISIT, VISIT]
        _, said = process.communicate(timeout=30)
        assert (process.returncode, said) == (0, "")


@pytest.mark.parametrize("name", NODES)
def test_node_restarts_a_server_that_it_watches(runtimes: Path, project: Path, name: str, run: Run) -> None:
    program = project / f"watched-{name}.mjs"
    program.write_text((project / "server.mjs").read_text())
    with running([*command(runtimes, name), "--watch", program.name], project) as process:
        assert process.stdout is not None
        assert visit(project, addresses(process.stdout), run) == [VISIT, VISIT]
        program.write_text(program.read_text() + "\n// Changed.\n")
        assert visit(project, addresses(process.stdout), run) == [VISIT, VISIT]
        process.terminate()
        process.wait(timeout=30)
