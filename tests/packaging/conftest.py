"""What the packaging tests share: the repository, and a way to run programs that shows their output on failure."""

from __future__ import annotations

import subprocess
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
