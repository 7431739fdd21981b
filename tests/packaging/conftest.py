"""What the packaging tests share: both packages, and the empty places that they are installed into."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from registry import serve_registry

Run = Callable[..., str]

DIST = Path(os.environ["FERRIO_DIST"]) if "FERRIO_DIST" in os.environ else None
"""The folder of `make dist`, whose packages are tried in place of new ones."""


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).parents[2]


@pytest.fixture(scope="session")
def programs() -> Path:
    return Path(__file__).parent / "programs"


@pytest.fixture(scope="session")
def run() -> Run:
    """`run(command, …, cwd=…)` returns what the program prints, and fails with everything that it said."""

    def run(*command: object, cwd: Path) -> str:
        words = [str(word) for word in command]
        # A cold release build of the core takes minutes on two cores, and everything else seconds.
        result = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=1200, check=False)
        assert result.returncode == 0, f"{' '.join(words)}\n{result.stdout}\n{result.stderr}"
        return result.stdout

    return run


@pytest.fixture(scope="session")
def wheel(root: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    if DIST is not None:
        # pip knows which of them is for this machine.
        words = ["--no-index", "--no-deps", "--find-links", DIST, "--dest", folder, "ferrio"]
        run(sys.executable, "-m", "pip", "download", "--quiet", *words, cwd=folder)
    else:
        run(Path(sys.executable).with_name("maturin"), "build", "--release", "--out", folder, cwd=root)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="session")
def environment(wheel: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment with the wheel, which must not need anything, and what one serves it with."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder / "venv", with_pip=True)
    python = folder / "venv/bin/python"
    run(python, "-m", "pip", "install", "--quiet", "--no-index", wheel, cwd=folder)
    run(python, "-c", "import ferrio", cwd=folder)
    others = ["fastapi", "aiohttp", "python-socketio", "uvicorn[standard]"]
    run(python, "-m", "pip", "install", "--quiet", *others, cwd=folder)
    return folder


@pytest.fixture(scope="session")
def platform(root: Path, run: Run) -> str:
    """What this machine is called in the names of packages."""
    return run("node", "-p", "require('./bindings-node/dist/library.js').platformName()", cwd=root).strip()


@pytest.fixture(scope="session")
def packages(root: Path, platform: str, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the npm packages: the main one, and that of this platform's library."""
    if DIST is not None:
        return DIST
    folder = tmp_path_factory.mktemp("packages")
    library = tmp_path_factory.mktemp("libraries") / platform
    library.mkdir()
    shutil.copy(root / "bindings-node/ferrio.node", library)
    run("node", root / "scripts/release/pack-npm.mjs", folder, library, cwd=root)
    return folder


@pytest.fixture(scope="session")
def tarball(packages: Path) -> Path:
    (main,) = packages.glob("ferrio-[0-9]*.tgz")
    return main


@pytest.fixture(scope="session")
def library_tarball(packages: Path, platform: str) -> Path:
    (library,) = packages.glob(f"ferrio-{platform}-*.tgz")
    return library


@pytest.fixture(scope="session")
def facade(packages: Path) -> Path:
    """The package that has socket.io's name and version."""
    (packed,) = packages.glob("ferrio-socket.io-*.tgz")
    return packed


@pytest.fixture(scope="session")
def registry(root: Path, library_tarball: Path) -> Iterator[str]:
    """The address of a registry that has the packages of all platforms, and the library of this one."""
    with serve_registry(root, [library_tarball]) as address:
        yield address


@pytest.fixture(scope="session")
def project(
    tarball: Path, registry: str, programs: Path, run: Run, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A new npm project with the package and Express."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "package.json").write_text('{ "private": true }')
    (folder / ".npmrc").write_text(f"@ferrio:registry={registry}\n")
    run("npm", "install", "--no-audit", "--no-fund", tarball, "express", cwd=folder)
    for program in programs.iterdir():
        shutil.copy(program, folder)
    return folder
