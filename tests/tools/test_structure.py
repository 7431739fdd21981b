"""What `scripts/structure` finds in small workspaces."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/structure"


class Workspace:
    """A workspace in a folder of its own, whose crates have no dependencies but each other."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "Cargo.toml").write_text('[workspace]\nresolver = "3"\nmembers = ["*"]\n')

    def add(self, crate: str, files: dict[str, str], dependencies: str = "") -> None:
        root = self.folder / crate
        for file, text in {"lib.rs": "", **files}.items():
            (root / "src" / file).parent.mkdir(parents=True, exist_ok=True)
            (root / "src" / file).write_text(text)
        (root / "Cargo.toml").write_text(
            f'[package]\nname = "{crate}"\nversion = "0.1.0"\nedition = "2024"\n{dependencies}'
        )

    def check(self, *options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([SCRIPT, *options, self.folder], capture_output=True, text=True, check=False)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def counts(outcome: subprocess.CompletedProcess[str], crate: str = "ferrio") -> dict[str, int]:
    head, *rows = outcome.stdout.splitlines()
    (row,) = (row.split() for row in rows if row.split()[:1] == [crate])
    return dict(zip(head.replace("of folders", "of_folders").split(), map(int, row[1:]), strict=True))


def ring(*names: str) -> dict[str, str]:
    """Files each of which imports the next, and the last the first."""
    after = dict(zip(names, [*names[1:], names[0]], strict=True))
    lib = "".join(f"mod {name};\n" for name in names)
    return {"lib.rs": lib, **{f"{name}.rs": f"use crate::{after[name]}::Thing;\n" for name in names}}


def test_what_imports_in_one_direction_passes(workspace: Workspace) -> None:
    workspace.add(
        "ferrio", {"lib.rs": "mod a;\nmod b;\n", "a.rs": "pub struct A;", "b.rs": "use crate::a::A;"}
    )
    outcome = workspace.check()
    assert outcome.returncode == 0, outcome.stderr
    expected = {"files": 3, "imports": 1, "upwards": 0, "circles": 0, "largest": 0, "of_folders": 0}
    assert counts(outcome) == expected


def test_four_files_in_a_circle_pass_and_five_do_not(workspace: Workspace) -> None:
    workspace.add("ferrio", ring("a", "b", "c", "d"))
    outcome = workspace.check()
    assert outcome.returncode == 0, outcome.stderr
    assert counts(outcome)["largest"] == 4
    workspace.add("ferrio", ring("a", "b", "c", "d", "e"))
    outcome = workspace.check()
    assert outcome.returncode == 1
    assert "ferrio: 5 files are in one circle: a.rs, b.rs, c.rs, d.rs, e.rs" in outcome.stderr


@pytest.mark.parametrize(
    "text",
    [
        "use crate::b::Thing;",
        "use crate::{b::Thing as Other};",
        "use crate::{\n    c::{self, nothing::Else},\n    b::{Thing, Other},\n};",
        "use super::b::*;",
        "pub(crate) use crate::b::Thing;",
        "fn f() -> crate::b::Thing { loop {} }",
        "fn f() { super::b::f(\"'\", 'x', '\\'', r#\"\"\"#); }",
        "fn f() { use crate::b::f; }",
        "mod inner {\n    use super::super::b::Thing;\n}",
        "use crate::b as other;",
        "use crate::outer;\nfn f() { outer::inner::f(); }",
        # What the root re-exports comes from where it has it.
        "use crate::Thing;",
        "use crate::Renamed;",
        "use crate::Global;",
        "use crate::group::Grouped;",
    ],
)
def test_an_import_is_found_however_it_is_written(workspace: Workspace, text: str) -> None:
    lib = """
        mod a; mod b; mod c; mod outer;
        pub use b::Thing;
        pub use crate::b::Thing as Renamed;
        pub mod group { pub use super::b::Grouped; }
        pub use self::b::*;
    """
    files = {"lib.rs": lib, "a.rs": text, "b.rs": "use crate::a::A;", "c.rs": ""}
    files |= {"outer.rs": "mod inner;", "outer/inner.rs": "use crate::b::B;"}
    workspace.add("ferrio", files)
    outcome = workspace.check("--list")
    assert counts(outcome)["circles"] == 1, outcome
    assert re.search("^ferrio: a.rs, b.rs", outcome.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "text",
    [
        "// use crate::b::Thing;",
        "/* /* */ use crate::b::Thing; */",
        "//! See [`Thing`](crate::b::Thing).",
        'const TEXT: &str = "use crate::b::Thing;";',
        "#[cfg(test)]\nmod tests {\n    use crate::b::Thing;\n}",
        "#[cfg(test)]\nuse crate::b::{Thing};",
        "#[cfg(test)]\n#[inline]\nfn f<A, B>() -> crate::b::Thing { crate::b::Thing }",
        "#[cfg(test)]\nmod tests;",
        "use std::b::Thing;",
        "use ::other::b;",
        "use crate::InTheRoot;",
        "pub(in crate::b) struct Thing;",
    ],
)
def test_what_is_no_import_does_not_count(workspace: Workspace, text: str) -> None:
    files = {
        "lib.rs": "mod a; mod b;\npub struct InTheRoot;",
        "a.rs": text,
        "a/tests.rs": "use crate::b::Thing;",
        "b.rs": "use crate::a::A;",
    }
    workspace.add("ferrio", files)
    outcome = workspace.check()
    assert counts(outcome)["imports"] == 1, outcome
    assert outcome.returncode == 0


def test_a_file_is_in_a_circle_with_its_own_modules(workspace: Workspace) -> None:
    files = {"lib.rs": "mod a;", "a.rs": "mod b;\nuse b::B;", "a/b.rs": "use super::A;"}
    workspace.add("ferrio", files)
    outcome = workspace.check("--list")
    assert "ferrio: a.rs, a/b.rs" in outcome.stdout
    assert outcome.returncode == 0, "they are in one folder"


def test_folders_in_a_circle_do_not_pass(workspace: Workspace) -> None:
    files = {
        "lib.rs": "mod a; mod b; mod c;",
        "a/mod.rs": "mod one; mod two;",
        "a/one.rs": "use crate::b::B;",
        "a/two.rs": "",
        # Not one file is in a circle: `b` imports another one of `a`, by way of `c`.
        "b.rs": "mod inner; use crate::c::C;",
        "b/inner.rs": "",
        "c.rs": "use crate::a::two::Two;",
    }
    workspace.add("ferrio", files)
    outcome = workspace.check()
    assert outcome.returncode == 1
    assert counts(outcome)["circles"] == 0
    assert "ferrio: folders are in a circle: a/, b/, c.rs" in outcome.stderr


def test_folders_within_folders_count(workspace: Workspace) -> None:
    files = {
        "lib.rs": "mod outer;",
        "outer/mod.rs": "mod a; mod b;",
        "outer/a/mod.rs": "mod one; mod two;",
        "outer/a/one.rs": "use super::super::b::B;",
        "outer/a/two.rs": "",
        "outer/b/mod.rs": "use crate::outer::a::two::Two;",
    }
    workspace.add("ferrio", files)
    outcome = workspace.check()
    assert "ferrio: folders are in a circle: outer/a/, outer/b/" in outcome.stderr


def test_a_folder_may_be_in_a_circle_with_a_file(workspace: Workspace) -> None:
    files = {"lib.rs": "mod a; mod b;", "a/mod.rs": "use crate::b::B;", "b.rs": "use crate::a::A;"}
    workspace.add("ferrio", files)
    assert workspace.check().returncode == 0


def test_the_list_names_the_imports_that_run_upwards(workspace: Workspace) -> None:
    files = {
        "lib.rs": "mod a; mod b; mod c;",
        "a.rs": "use crate::c::Late;",
        "b.rs": "use crate::a::{A, Other};",
        "c.rs": "use crate::{a::A, b::B};",
    }
    workspace.add("ferrio", files)
    outcome = workspace.check("--list")
    assert counts(outcome)["upwards"] == 1
    (upward,) = (line for line in outcome.stdout.splitlines() if line.startswith("  ^ ") and "->" in line)
    assert upward.split() == ["^", "1", "0", "a.rs", "->", "c.rs:", "crate::c::Late"]


def test_crates_depend_on_those_below_only(workspace: Workspace) -> None:
    workspace.add("ferrio", {})
    workspace.add("ferrio-host", {}, '[dependencies]\nferrio = { path = "../ferrio" }\n')
    assert workspace.check().returncode == 0
    workspace.add("ferrio", {}, '[dev-dependencies]\nferrio-host = { path = "../ferrio-host" }\n')
    outcome = workspace.check()
    assert outcome.returncode == 1
    assert "ferrio depends on ferrio-host, which does not stand below it" in outcome.stderr


def test_a_crate_has_a_place_in_the_order(workspace: Workspace) -> None:
    workspace.add("ferrio-other", {})
    assert "ferrio-other has no place in the order of crates" in workspace.check().stderr
