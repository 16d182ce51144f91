"""Documentation of the names of the language."""

from __future__ import annotations

import re

import pytest

from cloister.editor.form_examples import FORM_EXAMPLES
from cloister.editor.words import entries, search, similar, topics
from cloister.errors import CloisterError
from cloister.lang.host import PureHost
from cloister.lang.printer import to_text
from cloister.lang.program import compile_program, run_program
from cloister.lang.special_forms.table import SPECIAL_FORMS
from cloister.lang.stdlib.table import BUILTINS
from cloister.limits import ResourceLimits

LINE = re.compile(r"(?P<program>.+?) ;(?P<kind>=>|!!) (?P<expected>.+)")
LINES = [(name, line) for name, lines in FORM_EXAMPLES.items() for line in lines]


def value_of(text: str) -> str:
    return to_text(run_program(compile_program(text), PureHost(), ResourceLimits(), {}).value)


@pytest.mark.parametrize(("name", "line"), LINES)
def test_example_of_a_form_gives_what_it_says(name: str, line: str) -> None:
    match = LINE.fullmatch(line)
    assert match is not None
    if match["kind"] == "=>":
        assert value_of(match["program"]) == match["expected"]
        return
    with pytest.raises(CloisterError) as caught:
        value_of(match["program"])
    assert match["expected"] in {caught.value.code, caught.value.kind}


def test_every_form_has_an_example_and_a_sentence() -> None:
    for name in SPECIAL_FORMS:
        entry = entries()[name]
        assert entry.doc, name
        assert entry.is_refused or entry.examples, name
    assert FORM_EXAMPLES.keys() <= SPECIAL_FORMS.keys()


def test_every_name_is_there_under_one_topic() -> None:
    listed = [entry.name for group in topics().values() for entry in group]
    assert sorted(listed) == sorted({*BUILTINS, *SPECIAL_FORMS})


def test_documentation_has_no_sections_for_readers_of_the_source() -> None:
    for entry in entries().values():
        assert not re.search(r"^(Args|Returns|Raises):", entry.doc, re.MULTILINE), entry.name
        assert entry.summary[0].isupper() or not entry.summary[0].isalpha(), entry.name
        assert entry.summary.endswith((".", ";")) or len(entry.doc.splitlines()) > 1, entry.name


def test_search_finds_names_before_descriptions() -> None:
    found = [entry.name for entry in search("JSON")]
    assert found[0] in {"parse-json", "tool/parse-json"}
    assert "reduce" in {entry.name for entry in search("from left to right")}
    assert search("zebra") == []


def test_misspelt_names_have_neighbours() -> None:
    assert "reduce" in similar("redcue")
    assert similar("zzzzzzzz") == []
    assert similar("a" * 10**6) == []


def test_further_names_of_a_function_are_told() -> None:
    assert "string-length" in BUILTINS
    assert "tool/parse-json" in entries()["parse-json"].also
