"""The list of scenarios that both languages share, and this suite, agree."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

HERE = Path(__file__).parent


def listed() -> dict[str, set[str]]:
    """The titles in SCENARIOS.md that concern Python, by file."""
    titles: dict[str, set[str]] = defaultdict(set)
    file = ""
    for line in (HERE.parent / "SCENARIOS.md").read_text().splitlines():
        if line.startswith("## "):
            file = line[3:].strip()
        elif file and line.startswith("- ") and "*(node)*" not in line:
            titles[file].add(re.sub(r"( \*\([a-z]+\)\*| \*raw\*)+$", "", line[2:]))
    return titles


def written(file: str) -> set[str]:
    """The first docstring lines of the tests in a file."""
    tree = ast.parse((HERE / f"test_{file.replace('-', '_')}.py").read_text())
    tests = [
        node for node in tree.body if isinstance(node, ast.AsyncFunctionDef) and node.name.startswith("test_")
    ]
    return {(ast.get_docstring(test) or "").partition("\n")[0] for test in tests}


@pytest.mark.parametrize("file", sorted(listed()))
def test_every_scenario_is_written(file):
    """every scenario that concerns Python has a test of its title"""
    assert listed()[file] - written(file) == set()
