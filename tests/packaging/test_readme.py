"""The servers in the README, run as they stand there in the environments that a reader would have."""

from __future__ import annotations

import json
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., str]


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(params=["js", "python"])
def server(request: pytest.FixtureRequest, root: Path, port: int) -> Iterator[str]:
    """Starts the server that the README shows in a language, on a free port instead of its own."""
    language = request.param
    blocks = re.findall(rf"```{language}\n(.*?)```", (root / "README.md").read_text(), re.DOTALL)
    (source,) = blocks
    assert source.count("3000") == 1
    if language == "js":
        folder = request.getfixturevalue("project")
        program = folder / "readme.mjs"
        command = ["node", program]
    else:
        folder = request.getfixturevalue("environment")
        program = folder / "readme.py"
        command = [folder / "venv/bin/python", program]
    program.write_text(source.replace("3000", str(port)))
    process = subprocess.Popen(command, cwd=folder)
    yield f"http://127.0.0.1:{port}"
    process.kill()
    process.wait()


def test_a_server_of_the_readme_does_what_it_says(server: str, project: Path, run: Run) -> None:
    seen = json.loads(run("node", "visit.cjs", server, cwd=project))
    assert re.fullmatch(r'"?(Express|FastAPI) answers here"?', seen["page"])
    assert seen["welcome"] == "welcome to lobby"
    assert seen["joined"] == seen["second"]
    assert seen["said"] == [seen["second"], "hello"]
