"""Checks what is about to be released, by unpacking it: it must load on every system that it says it is for.

    scripts/release/check.py FILE...

The files are npm packages (.tgz) and wheels (.whl). A library for Linux must be for the machine that the package names,
need no library but those of its libc, no newer glibc than scripts/release/platforms.json says, and export what the
interpreter looks for. Of macOS and Windows only the machine is checked.
"""

from __future__ import annotations

import argparse
import json
import re
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

PLATFORMS: dict[str, dict[str, str]] = json.loads(Path(__file__).with_name("platforms.json").read_text())

VERSION: str = json.loads((Path(__file__).parents[2] / "package.json").read_text())["version"]

ELF_MACHINES = {"x64": "Advanced Micro Devices X86-64", "arm64": "AArch64"}
MACH_O_MACHINES = {"x64": 0x0100_0007, "arm64": 0x0100_000C}
PE_MACHINES = {"x64": 0x8664}

LIBRARIES = {
    "glibc": r"lib(c\.so\.6|m\.so\.6|pthread\.so\.0|dl\.so\.2|rt\.so\.1)|ld-linux-(x86-64|aarch64)\.so\.\d",
    # What musl's loader takes for itself.
    "musl": r"libc\.so|libc\.musl-(x86_64|aarch64)\.so\.1",
}
"""What a library may need, by libc."""

WHEEL_TAGS = {
    r"manylinux.*_x86_64": "linux-x64-gnu",
    r"manylinux.*_aarch64": "linux-arm64-gnu",
    r"musllinux.*_x86_64": "linux-x64-musl",
    r"musllinux.*_aarch64": "linux-arm64-musl",
    r"macosx.*_x86_64": "darwin-x64",
    r"macosx.*_arm64": "darwin-arm64",
    r"win_amd64": "win32-x64-msvc",
}


class FaultError(Exception):
    """Something that must not be released."""


@dataclass
class Artefact:
    """A packed file with a library in it."""

    platform: str
    library: bytes
    entry_point: str


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    failed = False
    for file in parser.parse_args().files:
        try:
            print(f"{file.name}: {file.stat().st_size / 1e6:.1f} MB, {described(file)}")
        except FaultError as fault:
            print(f"{file.name}: {fault}", file=sys.stderr)
            failed = True
    return 1 if failed else 0


def described(file: Path) -> str:
    """What is worth knowing of a file that passes."""
    artefact = unpacked_wheel(file) if file.suffix == ".whl" else unpacked_npm(file)
    if artefact is None:
        return "no library"
    expected = PLATFORMS[artefact.platform]
    if expected["os"] == "linux":
        return f"{artefact.platform}, {checked_elf(artefact, expected)}"
    machine, machines = (
        (mach_o_machine(artefact.library), MACH_O_MACHINES)
        if expected["os"] == "darwin"
        else (pe_machine(artefact.library), PE_MACHINES)
    )
    require(machine == machines[expected["cpu"]], f"the library is for another machine: {machine:#x}")
    return artefact.platform


def unpacked_npm(file: Path) -> Artefact | None:
    with tarfile.open(file) as archive:
        contents = {
            member.name.removeprefix("package/"): opened.read()
            for member in archive
            if (opened := archive.extractfile(member)) is not None
        }
    description = json.loads(contents["package.json"])
    require("scripts" not in description, "an install would run something")
    libraries = [name for name in contents if name.endswith(".node")]
    if description["name"] == "ferrio":
        require(not libraries, "the main package has a library")
        wanted = {f"@ferrio/{platform}": description["version"] for platform in PLATFORMS}
        require(description["optionalDependencies"] == wanted, "it does not ask for every platform's package")
        return None
    if description["name"] == "@ferrio/socket.io":
        require(not libraries, "the facade has a library")
        require(description["dependencies"]["ferrio"] == VERSION, "the facade is of another ferrio")
        return None
    platform = description["name"].removeprefix("@ferrio/")
    require(platform in PLATFORMS, f"unknown package {description['name']}")
    require(libraries == [description["main"]], f"not one library: {libraries}")
    return Artefact(platform, contents[libraries[0]], "napi_register_module_v1")


def unpacked_wheel(file: Path) -> Artefact:
    platforms = {
        platform for tag, platform in WHEEL_TAGS.items() if re.search(rf"-abi3-{tag}\.whl$", file.name)
    }
    require(len(platforms) == 1, "the name does not tell the platform")
    with zipfile.ZipFile(file) as archive:
        libraries = [name for name in archive.namelist() if name.endswith((".so", ".pyd", ".dylib"))]
        require(len(libraries) == 1, f"not one library: {libraries}")
        return Artefact(platforms.pop(), archive.read(libraries[0]), "PyInit__native")


def checked_elf(artefact: Artefact, expected: dict[str, str]) -> str:
    text = readelf(artefact.library)
    machine = found(r"Machine:\s+(.*)", text)
    require(machine == [ELF_MACHINES[expected["cpu"]]], f"the library is for another machine: {machine}")
    needed = found(r"\(NEEDED\)\s+Shared library: \[(.*)\]", text)
    strange = [name for name in needed if not re.fullmatch(LIBRARIES[expected["libc"]], name)]
    require(not strange, f"the library needs {', '.join(strange)}")
    require(
        not re.search(r"\((RPATH|RUNPATH|TEXTREL)\)", text),
        "the library has a path of its own, or text relocations",
    )
    exported = re.search(rf" GLOBAL DEFAULT +\d+ {artefact.entry_point}$", text, re.MULTILINE)
    require(exported is not None, f"the library does not export {artefact.entry_point}")
    versions = [version(number) for number in found(r"\bGLIBC_([\d.]+)", text)]
    if expected["libc"] == "musl":
        require(not versions, "the library needs glibc")
        return "musl"
    newest = max(versions, default=(0,))
    require(newest <= version(expected["glibc"]), f"the library needs glibc {dotted(newest)}")
    return f"glibc {dotted(newest)}"


def readelf(library: bytes) -> str:
    with tempfile.NamedTemporaryFile() as file:
        file.write(library)
        file.flush()
        command = [
            "readelf",
            "--wide",
            "--file-header",
            "--dynamic",
            "--version-info",
            "--dyn-syms",
            file.name,
        ]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    require(result.returncode == 0 and "ELF Header" in result.stdout, "the library is no ELF file")
    return result.stdout


def mach_o_machine(library: bytes) -> int:
    magic, machine = struct.unpack_from("<II", library)
    require(magic == 0xFEED_FACF, "the library is no Mach-O file")
    return int(machine)


def pe_machine(library: bytes) -> int:
    require(library[:2] == b"MZ", "the library is no PE file")
    (header,) = struct.unpack_from("<I", library, 0x3C)
    require(library[header : header + 4] == b"PE\0\0", "the library is no PE file")
    return int(struct.unpack_from("<H", library, header + 4)[0])


def found(pattern: str, text: str) -> list[str]:
    return re.findall(pattern, text)


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split("."))


def dotted(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))


def require(condition: bool, fault: str) -> None:
    if not condition:
        raise FaultError(fault)


if __name__ == "__main__":
    sys.exit(main())
