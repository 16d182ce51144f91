"""Every example line of the language pages gives what it says, and the lists of forms are complete."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.errors import CloisterError
from cloister.lang.host import PureHost
from cloister.lang.printer import to_text
from cloister.lang.program import compile_program, run_program
from cloister.lang.special_forms.errors import ERROR_KINDS
from cloister.lang.special_forms.table import SPECIAL_FORMS
from cloister.lang.types.names import PRIMITIVES
from cloister.lang.types.parse import COMPOUND_NAMES
from cloister.lang.types.predicates import PREDICATES
from cloister.limits import ResourceLimits

PAGES = {name: Path(f"docs/{name}.md").read_text(encoding="utf-8") for name in ("language", "rtfs-deviations")}
EXAMPLE = re.compile(r"^(?P<program>.+?) +;(?P<kind>=>|!!) (?P<expected>.*)$")
READER_FORMS = {
    "catch",
    "finally",
    "context-value",
    "type-annotation",
}  # described beside the lists, or written as @name


def examples() -> Iterator[object]:
    """Yield each example with the definitions that stand before it in its block."""
    for name, page in PAGES.items():
        number = 0
        for block in re.findall(r"```clojure\n(.*?)```", page, re.DOTALL):
            definitions: list[str] = []
            for line in block.splitlines():
                match = EXAMPLE.match(line)
                if match is None:
                    definitions.append(line)
                    continue
                number += 1
                program = "\n".join([*definitions, match["program"]])
                yield pytest.param(program, match["kind"], match["expected"], id=f"{name}:{number}:{match['program']}")


def value_of(text: str) -> str:
    return to_text(run_program(compile_program(text), PureHost(), ResourceLimits(), {}).value)


@pytest.mark.parametrize(("program", "kind", "expected"), list(examples()))
def test_example_gives_what_the_page_says(program: str, kind: str, expected: str) -> None:
    if kind == "=>":
        assert value_of(program) == expected
        return
    with pytest.raises(CloisterError) as caught:
        value_of(program)
    assert expected in {caught.value.code, caught.value.kind}


def test_there_are_examples() -> None:
    assert len(list(examples())) > 90


def listed(heading: str, page: str = PAGES["language"]) -> set[str]:
    """Return the names in code spans of the first paragraph after a heading that starts with one."""
    section = page.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    paragraph = next(part for part in section.split("\n\n") if re.match(r"\n?`[^`]", part))
    return set(re.findall(r"`([^`\s]+)`", paragraph))


def test_forms_are_listed() -> None:
    shown = listed("Forms of this version")
    assert SPECIAL_FORMS.keys() - READER_FORMS <= shown
    assert {name for name in shown if re.fullmatch(r"[a-z-]+", name)} - READER_FORMS <= SPECIAL_FORMS.keys()


def test_kinds_are_listed() -> None:
    assert listed("Errors") == ERROR_KINDS


def test_types_are_listed() -> None:
    paragraph = next(part for part in PAGES["language"].split("\n\n") if part.startswith("Types without parts are"))
    assert set(re.findall(r"`:([a-z]+)`", paragraph)) == PRIMITIVES.keys()
    table = PAGES["language"].partition("### Types\n")[2].partition("\n### ")[0].partition("\n## ")[0]
    assert set(re.findall(r"\[:([a-z-]+|=>)[ \]]", table)) >= COMPOUND_NAMES
    assert set(re.findall(r"\[:([^\s\]]+)", table)) >= PREDICATES.keys()
