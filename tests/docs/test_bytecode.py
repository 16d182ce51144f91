"""`docs/bytecode.md`: its example runs, and its tables are what is so."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

from cloister.lang.program import compile_program
from cloister.lang.wasm_engine.artefact.artefact import FORMAT, load_artefact, make_artefact
from cloister.lang.wasm_engine.artefact.sections import ARTEFACT_BYTES_MAX
from cloister.plan.variants import ProgramVariant

PAGE = Path("docs/bytecode.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table whose first column has that heading."""
    (table,) = re.findall(rf"^\| {heading} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]


def test_example_runs(tmp_path: Path) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    script = tmp_path / "example.py"
    script.write_text(example, encoding="utf-8")
    command = [sys.executable, "-W", "error", str(script)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_member_of_the_manifest_has_its_row() -> None:
    manifest = load_artefact(make_artefact(compile_program("(call :a 1)"), is_stripped=True)).manifest
    members = json.loads(manifest.encode())
    assert {name.strip("`") for name, _ in rows("member")} == set(members)
    said = "".join(what for _, what in rows("member"))
    for inner in ("effects", "texts"):
        assert all(f"`{name}`" in said for name in members[inner][0] if name != "capability")


def test_every_variant_has_its_row() -> None:
    assert {name.strip("`") for name, *_ in rows("program")} == {each.__name__ for each in get_args(ProgramVariant)}


def test_figures_are_those_of_the_code() -> None:
    assert rows("part")[0][0] == "format"
    assert rows("part")[0][1].startswith(f"{FORMAT}.")
    assert f"at most {ARTEFACT_BYTES_MAX // 2**20} MiB" in PAGE
