"""The npm package, installed into an empty project and used from there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., str]


def names_in(tarball: Path) -> set[str]:
    with tarfile.open(tarball) as archive:
        return {name.removeprefix("package/") for name in archive.getnames()}


def description_of(tarball: Path) -> dict[str, Any]:
    with tarfile.open(tarball) as archive:
        (file,) = [archive.extractfile("package/package.json")]
        assert file is not None
        return dict(json.load(file))


def test_the_package_holds_what_it_needs_and_nothing_else(tarball: Path) -> None:
    names = names_in(tarball)
    assert {"package.json", "README.md", "LICENSE", "bindings-node/dist/index.d.ts"} <= names
    folders = {name.split("/")[0] for name in names if "/" in name}
    assert folders == {"bindings-node"}
    strays = [
        name for name in names if not name.endswith((".js", ".mjs", ".d.ts", ".json", ".md", "LICENSE"))
    ]
    assert not strays


def test_the_package_of_a_platform_holds_its_library_and_nothing_else(
    library_tarball: Path, platform: str
) -> None:
    assert names_in(library_tarball) == {"package.json", "README.md", "LICENSE", "ferrio.node"}
    description = description_of(library_tarball)
    assert description["name"] == f"@ferrio/{platform}"
    assert [description["os"], description["cpu"]] == [[word] for word in platform.split("-")[:2]]


def test_the_package_asks_for_the_library_of_every_platform_in_its_own_version(
    root: Path, tarball: Path
) -> None:
    platforms = json.loads((root / "scripts/release/platforms.json").read_text())
    description = description_of(tarball)
    assert description["optionalDependencies"] == {
        f"@ferrio/{platform}": description["version"] for platform in platforms
    }
    loader = (root / "bindings-node/src/library.ts").read_text()
    assert re.findall(r'require\("@ferrio/(.*)/ferrio.node"\)', loader) == list(platforms)


def test_neither_package_runs_anything_when_it_is_installed(tarball: Path, library_tarball: Path) -> None:
    for packed in (tarball, library_tarball):
        assert "scripts" not in description_of(packed)
        assert "binding.gyp" not in names_in(packed)


def test_an_install_brings_the_library_of_this_platform_alone_and_without_a_word(
    tarball: Path, registry: str, platform: str, tmp_path: Path
) -> None:
    (tmp_path / "package.json").write_text('{ "private": true }')
    (tmp_path / ".npmrc").write_text(f"@ferrio:registry={registry}\n")
    command = ["npm", "install", "--no-audit", "--no-fund", "--no-update-notifier", str(tarball)]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=True)
    # Of the machine's own settings.
    said = [line for line in result.stderr.splitlines() if "Unknown user config" not in line]
    assert said == []
    assert [folder.name for folder in (tmp_path / "node_modules/@ferrio").iterdir()] == [platform]


@pytest.fixture
def bare(tarball: Path, project: Path, tmp_path: Path) -> Path:
    """A project that has the package, and no library."""
    shutil.copytree(project / "node_modules", tmp_path / "node_modules")
    shutil.rmtree(tmp_path / "node_modules/@ferrio")
    return tmp_path


def load(cwd: Path, *options: str, script: str = "require('ferrio')") -> str:
    """What a program that loads the package dies of."""
    command = ["node", *options, "--eval", f"try {{ {script} }} catch (e) {{ console.log(e.message) }}"]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60, check=True)
    return result.stdout.strip()


def test_a_missing_library_is_an_error_that_names_the_platform_and_the_remedy(
    bare: Path, platform: str
) -> None:
    message = load(bare)
    assert message.startswith(f"ferrio cannot find its native library for {platform}, ")
    for word in (f"@ferrio/{platform}", "--omit=optional", "node_modules", "lock file"):
        assert word in message


def test_a_broken_library_is_an_error_that_says_what_the_loader_said(bare: Path, platform: str) -> None:
    package = bare / "node_modules/@ferrio" / platform
    package.mkdir(parents=True)
    (package / "ferrio.node").write_text("not a library")
    message = load(bare)
    assert message.startswith(f"ferrio cannot load its native library for {platform}: ")
    assert "ferrio.node" in message


def test_a_platform_without_a_library_is_an_error_that_says_so(bare: Path) -> None:
    script = "Object.defineProperty(process, 'platform', { value: 'freebsd' }); require('ferrio')"
    message = load(bare, script=script)
    assert message.startswith("ferrio cannot load its native library for freebsd-")
    assert "there is no package for this platform" in message


@pytest.mark.parametrize(
    ("report", "libc"),
    [
        ("{ header: { glibcVersionRuntime: '2.36' }, sharedObjects: ['/opt/ld-musl-x86_64.so.1'] }", "gnu"),
        ("{ header: {}, sharedObjects: ['/lib/ld-musl-x86_64.so.1'] }", "musl"),
        ("{ header: {}, sharedObjects: ['/lib/libc.musl-x86_64.so.1'] }", "musl"),
    ],
)
def test_the_libc_is_that_of_the_process(bare: Path, report: str, libc: str) -> None:
    # What Node's report says under each, as there is only one of them here.
    script = f"""
        Object.defineProperty(process, 'platform', {{ value: 'linux' }});
        process.report.getReport = () => ({report});
        require('ferrio')"""
    assert re.match(
        rf"ferrio cannot find its native library for linux-\w+-{libc},", load(bare, script=script)
    )


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
