"""`docs/threat-model.md`: every mechanism has its row, in order, and what a row names as its proof exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cloister.isolation.process import standing
from cloister.isolation.process.mechanisms import NAMESPACES, Mechanism
from cloister.isolation.process.selftest import groups, run

PAGE = Path("docs/threat-model.md").read_text(encoding="utf-8")
SHORT = Path("SECURITY.md").read_text(encoding="utf-8")
NO_LOOK = "not visible from inside"


def rows_of(heading: str, text: str = PAGE) -> list[list[str]]:
    """Return the cells of the first table of a section, without its head."""
    section = text.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in table[2:]]


ROWS = {cells[0]: cells[1:] for cells in rows_of("Mechanisms")}


def looked_at() -> set[str]:
    """Return the mechanisms that the look before use can find missing."""
    source = Path(standing.__file__).read_text(encoding="utf-8")
    named = {Mechanism[name].value for name in re.findall(r"\bMechanism\.([A-Z_]+)\b", source)}
    return named | {mechanism.value for mechanism in NAMESPACES.values()}


def test_every_mechanism_has_its_row() -> None:
    assert list(ROWS) == [mechanism.value for mechanism in Mechanism]


@pytest.mark.parametrize("name", ROWS)
def test_a_row_says_what_is_stopped_and_how_that_is_known(name: str) -> None:
    stops, _, proof = ROWS[name]
    assert stops
    looks = re.findall(r"look: `(\w+)`", proof)
    assert (name in looked_at()) == bool(looks) == (NO_LOOK not in proof)
    assert all(callable(getattr(standing, look)) for look in looks)
    assert looks or "`tests/" in proof


def test_every_mechanism_is_attempted_or_needs_a_stage_of_its_own() -> None:
    attempted = {cells[0] for cells in rows_of("What the self-test attempts")}
    sources = "".join(Path(str(module.__file__)).read_text(encoding="utf-8") for module in (run, groups))
    staged = {Mechanism[name].value for name in re.findall(r"mechanism=Mechanism\.([A-Z_]+)\.value", sources)}
    words = PAGE.split("\n## What the self-test attempts\n")[1].split("<!-- end -->")[1].split("\n## ", maxsplit=1)[0]
    assert {name.replace("\n", " ") for name in re.findall(r"\*([^*]+)\*", words)} == staged
    assert attempted | staged == {mechanism.value for mechanism in Mechanism}


@pytest.mark.parametrize("named", sorted(set(re.findall(r"`(tests/[^`]+)`", PAGE + SHORT))))
def test_a_proof_exists(named: str) -> None:
    file, _, test = named.partition("::")
    if not test and Path(file).is_dir():
        return
    text = Path(file).read_text(encoding="utf-8")
    assert re.search(rf"^def {test}\(" if test else r"^\s*def test_", text, re.MULTILINE)


def test_nobody_is_trusted_in_one_version_and_not_in_the_other() -> None:
    full = {cells[0].split(",")[0].split(":")[0]: cells[1] for cells in rows_of("Who is hostile")}
    short = {cells[0].split(",")[0].split(":")[0]: cells[1] for cells in rows_of("Who is hostile", SHORT)}
    assert short.items() <= full.items()
