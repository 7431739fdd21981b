"""What the packaging tests share: both packages, and the empty places that they are installed into."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]


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
def tarball(root: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tarball")
    run("npm", "pack", "--silent", "--pack-destination", folder, cwd=root)
    (packed,) = folder.glob("*.tgz")
    return packed


@pytest.fixture(scope="session")
def project(tarball: Path, programs: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new npm project with the package and Express."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "package.json").write_text('{ "private": true }')
    run("npm", "install", "--no-audit", "--no-fund", tarball, "express", cwd=folder)
    for program in programs.iterdir():
        shutil.copy(program, folder)
    return folder
