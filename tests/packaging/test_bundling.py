"""The recipes of docs/bundling.md: each bundle runs where there is nothing else, and answers the official client."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., str]

BUNDLERS = [
    "@rollup/plugin-commonjs@29.0.0",
    "@rollup/plugin-node-resolve@16.0.3",
    "@vercel/ncc@0.38.4",
    "esbuild@0.25.12",
    "node-loader@2.1.0",
    "rollup@4.53.3",
    "webpack@5.103.0",
    "webpack-cli@6.0.1",
]


def sections() -> dict[str, str]:
    text = (Path(__file__).parents[2] / "docs/bundling.md").read_text()
    parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


CLIENT = "The browser's client"
RECIPES = [title for title, text in sections().items() if "```sh" in text and title != CLIENT]


def blocks(title: str, language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", sections()[title], re.DOTALL)


@pytest.fixture(scope="session")
def bundlers(project: Path, run: Run) -> Path:
    """The project with all bundlers. What they would run when they are installed is not needed."""
    run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--save-dev", *BUNDLERS, cwd=project)
    return project


def build(project: Path, title: str, run: Run) -> None:
    """Follows one section."""
    for config in blocks(title, "js"):
        (name,) = re.findall(r"\A// (\S+)\n", config)
        (project / name).write_text(config)
    for commands in blocks(title, "sh"):
        run("bash", "-euo", "pipefail", "-c", commands, cwd=project)


@contextmanager
def serving(folder: Path) -> Iterator[tuple[dict[str, str], subprocess.Popen[str]]]:
    """Runs the bundle; gives the addresses of its servers."""
    (bundle,) = folder.glob("server.*js")
    process = subprocess.Popen(
        ["node", bundle],
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        first = process.stdout.readline()
        assert first, process.communicate()[1]
        yield json.loads(first), process
    finally:
        process.kill()
        process.communicate()


def visit(project: Path, addresses: dict[str, str], run: Run) -> dict[str, Any]:
    seen = json.loads(run("node", "answers.cjs", *addresses.values(), cwd=project))
    return {door: seen[address] for door, address in addresses.items()}


ANSWERS = {transport: ["grüße", [0, 255], "hello"] for transport in ("polling", "websocket", "upgrade")}


@pytest.mark.parametrize("title", RECIPES)
def test_a_bundle_runs_alone_and_serves_the_official_client(
    bundlers: Path, title: str, run: Run, tmp_path: Path
) -> None:
    shutil.rmtree(bundlers / "dist", ignore_errors=True)
    build(bundlers, title, run)
    build(bundlers, CLIENT, run)
    alone = tmp_path / "alone"
    shutil.move(bundlers / "dist", alone)
    with serving(alone) as (addresses, process):
        seen = visit(bundlers, addresses, run)
        _, said = process.communicate(timeout=30)
    assert seen == {door: {"answers": ANSWERS, "script": True} for door in ("attached", "listening")}
    assert (process.returncode, said) == (0, "")


def test_a_bundle_without_the_browsers_client_says_so_once_and_serves_all_else(
    bundlers: Path, run: Run, tmp_path: Path
) -> None:
    shutil.rmtree(bundlers / "dist", ignore_errors=True)
    build(bundlers, RECIPES[0], run)
    alone = tmp_path / "alone"
    shutil.move(bundlers / "dist", alone)
    with serving(alone) as (addresses, process):
        seen = visit(bundlers, addresses, run)
        _, said = process.communicate(timeout=30)
    assert seen == {door: {"answers": ANSWERS, "script": False} for door in ("attached", "listening")}
    assert said.count("FerrioWarning: the browser's client is not served") == 1
