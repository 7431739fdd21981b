"""The wheel, installed into an empty virtual environment and used from there."""

from __future__ import annotations

import json
import sys
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., str]


@pytest.fixture(scope="module")
def wheel(root: Path, run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    run(Path(sys.executable).with_name("maturin"), "build", "--release", "--out", folder, cwd=root)
    (built,) = folder.glob("*.whl")
    return built


def test_one_wheel_serves_every_python_from_3_10_on(wheel: Path) -> None:
    assert wheel.name.startswith("ferrio-0.1.0-cp310-abi3-")


def test_the_wheel_holds_the_package_its_types_and_its_licence_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {"ferrio/__init__.py", "ferrio/py.typed", "ferrio/_native.abi3.so"} <= set(names)
    assert any(name.endswith("LICENSE") for name in names)
    assert {name.split("/")[0] for name in names} == {"ferrio", "ferrio-0.1.0.dist-info"}


def test_an_installed_wheel_serves_the_official_client(
    wheel: Path, programs: Path, run: Run, tmp_path: Path
) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=True)
    python = environment / "bin/python"
    run(python, "-m", "pip", "install", "--quiet", "--no-index", wheel, cwd=tmp_path)
    run(python, "-c", "import ferrio", cwd=tmp_path)
    run(python, "-m", "pip", "install", "--quiet", "uvicorn", "python-socketio[asyncio_client]", cwd=tmp_path)

    result = json.loads(run(python, programs / "echo.py", "ferrio", cwd=tmp_path))

    assert Path(result["module"]).is_relative_to(environment)
    assert result["answers"] == {"polling": ["grüße", [0, 255]], "websocket": ["grüße", [0, 255]]}
