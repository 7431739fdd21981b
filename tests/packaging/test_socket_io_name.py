"""ferrio installed under socket.io's name, with every package manager, beside packages that want socket.io."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from registry import serve_registry

Run = Callable[..., str]

ALIAS = "npm:@ferrio/socket.io@^4.8.100"

DEPENDENCIES = {
    "socket.io": ALIAS,
    "socket.io-client": "^4.8.0",
    # These want socket.io as a peer, and this one its adapter.
    "@socket.io/admin-ui": "0.5.1",
    "@socket.io/redis-adapter": "8.3.0",
    # These depend on socket.io: one on a range of versions, one on a single one.
    "@feathersjs/feathers": "5.0.50",
    "@feathersjs/socketio": "5.0.50",
    "@nestjs/common": "11.2.6",
    "@nestjs/core": "11.2.6",
    "@nestjs/platform-socket.io": "11.2.6",
    "@nestjs/websockets": "11.2.6",
    "reflect-metadata": "^0.2.0",
    "rxjs": "^7.8.0",
}

# How to tell each of them, in package.json, that everybody shall get what the project has under this name.
OVERRIDES: dict[str, dict[str, object]] = {
    "npm": {"overrides": {"socket.io": "$socket.io"}},
    "pnpm": {"pnpm": {"overrides": {"socket.io": ALIAS}}},
    "yarn classic": {"resolutions": {"socket.io": ALIAS}},
    "yarn": {"resolutions": {"socket.io": ALIAS}},
}


OPENTELEMETRY = {
    "@opentelemetry/api": "1.9.1",
    "@opentelemetry/instrumentation-socket.io": "0.70.0",
    "@opentelemetry/sdk-trace-node": "2.12.0",
}


@pytest.fixture(scope="module")
def address(root: Path, tarball: Path, library_tarball: Path, facade: Path, run: Run) -> Iterator[str]:
    upstream = run("npm", "config", "get", "registry", cwd=root).strip()
    with serve_registry(root, [tarball, library_tarball, facade], upstream) as address:
        yield address


@pytest.fixture(scope="module")
def managers(run: Run, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[object]]:
    """The commands that install a project's dependencies."""
    folder = tmp_path_factory.mktemp("managers")
    (folder / "package.json").write_text('{ "private": true }')
    names = ["pnpm@10.34.9", "yarn@1.22.22", "@yarnpkg/cli-dist@4.18.1"]
    run("npm", "install", "--no-audit", "--no-fund", *names, cwd=folder)
    modules = folder / "node_modules"
    return {
        "npm": ["npm", "install", "--no-audit", "--no-fund"],
        "pnpm": ["node", modules / "pnpm/bin/pnpm.cjs", "install"],
        "yarn classic": ["node", modules / "yarn/bin/yarn.js", "install", "--non-interactive"],
        "yarn": ["node", modules / "@yarnpkg/cli-dist/bin/yarn.js", "install"],
    }


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where downloads are kept: not in the user's caches, since the packed packages have the versions of published ones."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def install(
    managers: dict[str, list[object]], address: str, run: Run, programs: Path, cache: Path, tmp_path: Path
) -> Callable[..., Path]:
    """`install(manager, manifest)` makes a project and returns its folder."""

    def install(manager: str, **manifest: object) -> Path:
        folder = tmp_path / "project"
        folder.mkdir()
        (folder / "package.json").write_text(json.dumps({"name": "project", "private": True, **manifest}))
        (folder / ".npmrc").write_text(f"registry={address}\ncache={cache}/npm\nstore-dir={cache}/pnpm\n")
        (folder / ".yarnrc").write_text(f'registry "{address}"\nyarn-offline-mirror false\n')
        (folder / ".yarnrc.yml").write_text(
            f'npmRegistryServer: "{address}"\nunsafeHttpWhitelist: ["127.0.0.1"]\nnodeLinker: node-modules\n'
            f'globalFolder: "{cache}/yarn"\nenableTelemetry: false\nenableImmutableInstalls: false\n'
        )
        (folder / "yarn.lock").touch()
        environment = {"YARN_CACHE_FOLDER": f"{cache}/yarn-classic", "npm_config_frozen_lockfile": "false"}
        run(
            "env", *[f"{name}={value}" for name, value in environment.items()], *managers[manager], cwd=folder
        )
        for program in programs.iterdir():
            shutil.copy(program, folder)
        return folder

    return install


def test_the_facade_holds_socket_ios_files_and_nothing_else(facade: Path, root: Path) -> None:
    with tarfile.open(facade) as archive:
        names = {name.removeprefix("package/") for name in archive.getnames()}
    official = root / "tests/node/node_modules/socket.io"
    for folder in ["client-dist", "dist"]:
        theirs = {f"{folder}/{name}" for name in os.listdir(official / folder) if not name.startswith("uws")}
        assert {name for name in names if name.startswith(f"{folder}/")} == theirs - {"dist/contrib"}
    others = {name for name in names if "/" not in name}
    assert others == {"LICENSE", "README.md", "package.json", "wrapper.mjs"}


@pytest.mark.parametrize("manager", OVERRIDES)
def test_everybody_gets_ferrio_for_socket_io(install: Callable[..., Path], run: Run, manager: str) -> None:
    folder = install(manager, dependencies=DEPENDENCIES, **OVERRIDES[manager])
    result = json.loads(run("node", "frameworks.cjs", cwd=folder))
    assert result["found"] == ["@ferrio/socket.io"] * 3
    assert result["nest"] == {"answer": "nest", "isOurs": True}
    assert result["feathers"] == {"answer": "feathers seven", "isOurs": True}
    served = json.loads(run("node", "echo.cjs", "socket.io", cwd=folder))
    assert served["answers"] == {"polling": ["grüße", [0, 255]], "websocket": ["grüße", [0, 255]]}


def test_an_alias_of_ferrio_itself_fails_the_ranges_of_peers(install: Callable[..., Path]) -> None:
    alias = {"socket.io": "npm:ferrio@^0.1.0", "@socket.io/admin-ui": "0.5.1"}
    with pytest.raises(AssertionError, match="ERESOLVE"):
        install("npm", dependencies=alias)


def test_those_who_reach_into_socket_io_get_ferrios_classes(install: Callable[..., Path], run: Run) -> None:
    folder = install("npm", dependencies={"socket.io": ALIAS, "ferrio": "^0.1.0"})
    for name in ["socket.io", "ferrio"]:
        reached = json.loads(run("node", "reached.mjs", name, "ferrio", cwd=folder))
        assert reached["callable"] == "function"
        assert {"Namespace", "Server", "Socket"} <= set(reached["main"])
        assert {"Namespace", "Server", "Socket"} <= set(reached["wrapper"])
        assert reached["same"]
        shown = reached["shown"]
        assert shown.pop("index") == reached["main"]
        assert shown == {
            "broadcast-operator": ["BroadcastOperator", "RemoteSocket"],
            "client": ["Client"],
            "namespace": ["Namespace", "RESERVED_EVENTS"],
            "parent-namespace": ["ParentNamespace"],
            "socket": ["Socket"],
            "socket-types": ["RESERVED_EVENTS"],
            "typed-events": ["StrictEventEmitter"],
        }


def test_opentelemetry_traces_what_is_sent_and_received(install: Callable[..., Path], run: Run) -> None:
    folder = install("npm", dependencies={"socket.io": ALIAS, "socket.io-client": "^4.8.0", **OPENTELEMETRY})
    spans = json.loads(run("node", "traced.cjs", cwd=folder))
    # The same as with socket.io itself.
    assert spans == [
        {"name": "receive /", "event": "connection"},
        {"name": "send /", "event": "to one", "rooms": ["room"]},
        {"name": "send /", "event": "to a room", "rooms": ["room"]},
        {"name": "receive /", "event": "question"},
    ]


def test_applications_compile_with_old_and_new_compilers(
    install: Callable[..., Path], root: Path, run: Run
) -> None:
    # There is no @types/node but the one that comes with the package, as with socket.io.
    folder = install("npm", dependencies={**DEPENDENCIES, "typescript": "~5.0.4"}, **OVERRIDES["npm"])
    old = folder / "node_modules/typescript/bin/tsc"
    new = root / "node_modules/typescript/bin/tsc"
    strict = ["--noEmit", "--strict", "--target", "es2022", "--experimentalDecorators"]
    unchecked = ["--skipLibCheck"]
    node10 = ["--module", "commonjs", "--moduleResolution", "node10"]
    node16 = ["--module", "node16"]
    bundler = ["--module", "esnext", "--moduleResolution", "bundler"]
    programs = ["adapters.ts", "application.ts", "declarations.ts"]
    run("node", old, *strict, *unchecked, *node10, *programs, cwd=folder)
    run("node", old, *strict, *unchecked, *node16, *programs, cwd=folder)
    run("node", new, *strict, *node16, *programs, cwd=folder)
    run("node", new, *strict, *bundler, *programs, cwd=folder)
