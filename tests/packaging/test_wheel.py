"""The wheel, installed into an empty virtual environment and used from there."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

Run = Callable[..., str]


def test_one_wheel_serves_every_python_from_3_10_on(wheel: Path) -> None:
    assert wheel.name.startswith("ferrio-0.1.0-cp310-abi3-")


def test_the_wheel_holds_the_package_its_types_and_its_licence_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {"ferrio/__init__.py", "ferrio/py.typed", "ferrio/_native.abi3.so"} <= set(names)
    assert any(name.endswith("LICENSE") for name in names)
    assert {name.split("/")[0] for name in names} == {"ferrio", "ferrio-0.1.0.dist-info"}


def test_an_installed_wheel_serves_the_official_client(environment: Path, programs: Path, run: Run) -> None:
    python = environment / "venv/bin/python"
    result = json.loads(run(python, programs / "echo.py", "ferrio", cwd=environment))
    assert Path(result["module"]).is_relative_to(environment)
    assert result["answers"] == {"polling": ["grüße", [0, 255]], "websocket": ["grüße", [0, 255]]}
