"""What `scripts/release/check.py` lets pass and what it does not, by libraries that a compiler makes in a moment."""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the libraries are of Linux")

ENTRY_POINT = 'int puts(const char *);\nvoid napi_register_module_v1(void) { puts(""); }\n'
OTHER_CPU = {"x64": "arm64", "arm64": "x64"}

Checked = subprocess.CompletedProcess[str]
Check = Callable[..., Checked]


def checked(root: Path, file: Path) -> Checked:
    command = [sys.executable, root / "scripts/release/check.py", file]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def check(root: Path, tmp_path: Path) -> Check:
    """`check(platform, source, …)` compiles a library with these options, packs it as that of a platform and has it checked."""

    def check(platform: str, source: str, *options: str) -> Checked:
        code, library, packed = (tmp_path / name for name in ("library.c", "ferrio.node", "packed.tgz"))
        code.write_text(source)
        subprocess.run(["cc", "-shared", "-fPIC", "-o", library, code, *options], check=True)
        description = tmp_path / "package.json"
        description.write_text(json.dumps({"name": f"@ferrio/{platform}", "main": library.name}))
        with tarfile.open(packed, "w:gz") as archive:
            for file in (description, library):
                archive.add(file, f"package/{file.name}")
        return checked(root, packed)

    return check


@pytest.fixture
def glibc(platform: str) -> str:
    """The package of this machine for glibc, which the compiler is for."""
    return platform.replace("musl", "gnu")


def test_the_main_package_passes(root: Path, tarball: Path) -> None:
    result = checked(root, tarball)
    assert result.returncode == 0, result.stderr


def test_a_library_that_needs_nothing_but_an_old_glibc_passes(check: Check, glibc: str) -> None:
    result = check(glibc, ENTRY_POINT)
    assert result.returncode == 0, result.stderr
    assert f", {glibc}, glibc 2." in result.stdout


def test_a_library_that_needs_a_newer_glibc_is_refused(check: Check, glibc: str) -> None:
    source = "int getentropy(void *, unsigned long);\nint use(void *p) { return getentropy(p, 1); }\n"
    result = check(glibc, source + ENTRY_POINT)
    assert result.returncode == 1
    assert "the library needs glibc 2.25" in result.stderr


def test_a_library_that_needs_another_one_is_refused(check: Check, glibc: str) -> None:
    result = check(glibc, ENTRY_POINT, "-Wl,--no-as-needed", "-l:libgcc_s.so.1")
    assert result.returncode == 1
    assert "the library needs libgcc_s.so.1" in result.stderr


def test_a_library_of_another_libc_is_refused(check: Check, glibc: str) -> None:
    result = check(glibc.replace("gnu", "musl"), ENTRY_POINT)
    assert result.returncode == 1
    assert "the library needs libc.so.6" in result.stderr


def test_a_library_of_another_machine_is_refused(check: Check, glibc: str) -> None:
    _, cpu, libc = glibc.split("-")
    result = check(f"linux-{OTHER_CPU[cpu]}-{libc}", ENTRY_POINT)
    assert result.returncode == 1
    assert "the library is for another machine" in result.stderr


def test_a_library_that_no_interpreter_can_load_is_refused(check: Check, glibc: str) -> None:
    result = check(glibc, "void something_else(void) {}\n")
    assert result.returncode == 1
    assert "the library does not export napi_register_module_v1" in result.stderr
