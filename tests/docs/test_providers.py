"""The cards of `docs/providers/`: a card for each provider that exists, and commands that are those of the errors."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from cloister.authority.level import IsolationLevel
from cloister.isolation import factory
from cloister.isolation.mock import MockProvider
from cloister.isolation.process import landlock, namespaces, outcome
from cloister.isolation.process.shortfalls import Strength
from cloister.isolation.wasm import selftest
from cloister.isolation.wasm.provider import WasmProvider
from cloister.limits import ResourceLimits

CARDS = Path("docs/providers")
INDEX = (CARDS / "README.md").read_text(encoding="utf-8")
PROCESS = (CARDS / "process.md").read_text(encoding="utf-8")
FULL = Strength(landlock_abi=landlock.FULL_ABI, clocks_hindrance=None)
LEVELS = {
    "process": FULL.level,
    "mock": MockProvider.level,
    "wasm": WasmProvider.level,
    **dict.fromkeys(("microvm", *factory.VMMS), IsolationLevel.MACHINE),
}


def test_every_provider_is_in_the_index_and_those_that_exist_have_a_card() -> None:
    table = [line.strip("|").split("|") for line in INDEX.splitlines() if line.startswith("| `")]
    rows = {re.findall(r"`([\w-]+)`", cells[0])[0]: cells[-1].strip() for cells in table}
    assert tuple(rows) == factory.NAMES
    without = {name for name, card in rows.items() if card == "does not exist yet"}
    assert without == set(factory._NOT_BUILT)
    assert {f"{name}.md" for name in rows.keys() - without} == {path.name for path in CARDS.glob("[!R]*.md")}


@pytest.mark.parametrize("name", LEVELS)
def test_a_card_says_the_level(name: str) -> None:
    (level,) = re.findall(r"^\| level \| `(\w+)`", (CARDS / f"{name}.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert level == LEVELS[name].label
    assert f"| `{name}` | `{level}`" in INDEX


def test_what_is_attempted_in_webassembly_is_on_its_card() -> None:
    card = (CARDS / "wasm.md").read_text(encoding="utf-8")
    table = card.partition("| mechanism | attempted |")[2].splitlines()[2:]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table if line.startswith("|")]
    assert rows == [
        *((each.mechanism, each.attempted) for each in selftest.ATTEMPTS),
        *((selftest.FILES, attempted) for attempted in (*selftest.READS, selftest.WRITE)),
    ]


def test_the_first_module_on_the_card_does_what_it_says(tmp_path: Path) -> None:
    card = (CARDS / "wasm.md").read_text(encoding="utf-8")
    (source,), (session,) = (re.findall(rf"```{kind}\n(.*?)```", card, re.DOTALL) for kind in ("wat", "console"))
    (tmp_path / "greet.wat").write_text(source, encoding="utf-8")
    steps = [step.partition("\n") for step in session.removeprefix("$ ").split("\n$ ")]
    surroundings = {"PATH": str(Path(sys.executable).parent), "CLOISTER_HOME": str(tmp_path / "home")}
    shown = ""
    for command, _, _ in steps:
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=surroundings, capture_output=True, text=True, timeout=90, check=False
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        shown += f"$ {command}\n{done.stdout}"
    assert shown == session


def test_the_limits_on_the_card_are_all_there_are() -> None:
    card = (CARDS / "wasm.md").read_text(encoding="utf-8")
    table = card.partition("| limit | what it bounds here |")[2].partition("\n\n")[0]
    named = set(re.findall(r"`(\w+)`", "".join(line.split("|")[1] for line in table.splitlines() if "|" in line)))
    assert named == {each.name for each in fields(ResourceLimits)} - {"value_elements_count"}


def test_commands_are_those_of_the_errors() -> None:
    source = Path(namespaces.__file__).read_text(encoding="utf-8")
    known = {
        namespaces._sysctl(name, int(number)) for name, number in re.findall(r'_sysctl\(\s*"([\w.]+)", (\w+)', source)
    }
    assert set(re.findall(r"`(sudo sysctl [^`]+)`", PROCESS)) == known


@pytest.mark.parametrize("option", ["--security-opt systempaths=unconfined", "procMount: Unmasked"])
def test_options_of_containers_are_those_of_the_errors(option: str) -> None:
    masked = outcome.set_up_failure(
        {"reported": {"failed": "mechanism", "step": "proc file system", "errno": 1, "detail": ""}}
    )
    assert masked is not None
    assert option in str(masked.hint)
    assert option in PROCESS


def test_the_option_for_namespaces_in_a_container() -> None:
    assert f"`{namespaces._CONTAINER.removeprefix('start it with ')}`" in PROCESS


@pytest.mark.parametrize(
    "less", [{"landlock_abi": 0}, {"landlock_abi": landlock.FULL_ABI - 1}, {"clocks_hindrance": ("", "")}]
)
def test_what_lowers_the_level_is_on_the_card_with_its_remedy(less: dict[str, Any]) -> None:
    strength = replace(FULL, **less)
    assert f"`{strength.level.label}`" in PROCESS
    assert strength.level < FULL.level
    (shortfall,) = strength.shortfalls
    if "landlock_abi" in less:
        assert f"| {shortfall.remedy} |" in PROCESS


def test_what_hinders_clocks_is_on_the_card() -> None:
    source = Path(namespaces.__file__).read_text(encoding="utf-8")
    (remedy,) = re.findall(r'return "this kernel has none", "(.+)"', source)
    assert f"| {remedy} |" in PROCESS
