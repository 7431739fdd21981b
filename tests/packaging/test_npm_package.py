"""The npm package, installed into an empty project and used from there."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]


def test_the_package_holds_what_it_needs_and_nothing_else(tarball: Path) -> None:
    with tarfile.open(tarball) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
    assert {"package.json", "README.md", "LICENSE", "bindings-node/dist/index.d.ts"} <= names
    assert len([name for name in names if name.endswith(".node")]) == 1
    folders = {name.split("/")[0] for name in names if "/" in name}
    assert folders == {"bindings-node"}
    strays = [
        name
        for name in names
        if not name.endswith((".js", ".mjs", ".d.ts", ".node", ".json", ".md", "LICENSE"))
    ]
    assert not strays


def test_an_installed_package_serves_the_official_client(project: Path, run: Run) -> None:
    result = json.loads(run("node", "echo.cjs", "ferrio", cwd=project))
    assert Path(result["module"]).is_relative_to(project.resolve() / "node_modules/ferrio")
    assert result["answers"] == {"polling": ["grüße", [0, 255]], "websocket": ["grüße", [0, 255]]}


def test_an_installed_package_is_the_same_by_import_and_by_require(project: Path, run: Run) -> None:
    result = json.loads(run("node", "imports.mjs", cwd=project))
    assert {"Namespace", "Server", "Socket"} <= set(result["names"])
    assert result["same"]


@pytest.mark.parametrize("module", ["node16", "nodenext", "preserve"])
def test_an_installed_package_types_an_application(project: Path, root: Path, run: Run, module: str) -> None:
    compiler = root / "node_modules/typescript/bin/tsc"
    type_roots = root / "node_modules/@types"
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", module]
    run("node", compiler, *options, "--typeRoots", type_roots, "--types", "node", "types.mts", cwd=project)


def test_declared_events_allow_what_they_say_and_nothing_else(root: Path, run: Run) -> None:
    run("node", root / "node_modules/typescript/bin/tsc", "--project", "bindings-node/tests", cwd=root)
