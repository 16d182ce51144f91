"""All problems of a text, with their places."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from cloister.editor.diagnostics import problems

PIECES = ["(defn f [x] ", "(let [y 1] ", "(call :ccos.io.read-file ", "(call x", ")", "]", '"', "x", "1 ", "{", ":a "]


def codes(text: str) -> list[str]:
    return [problem.code for problem in problems(text, "t.rtfs")]


def test_a_good_text_has_none() -> None:
    assert codes('(call :ccos.io.read-file "/no/such/file")') == []
    assert codes("") == []


def test_all_unknown_names_are_told_with_their_places() -> None:
    found = problems("(foo 1)\n  (bar baz)", "t.rtfs")
    assert [(problem.code, problem.place) for problem in found] == [
        ("compile.unknown-name", (1, 2, 1, 5)),
        ("compile.unknown-name", (2, 4, 2, 7)),
        ("compile.unknown-name", (2, 8, 2, 11)),
    ]
    assert {problem.source for problem in found} == {"t.rtfs"}


def test_inputs_are_known_names() -> None:
    assert codes("(str who)") == ["compile.unknown-name"]
    assert problems("(str who)", "t.rtfs", ["who"]) == []


def test_calls_that_cannot_succeed_are_told() -> None:
    found = problems('(call :ccos.io.read-fil "x")\n(call :ccos.io.read-file 1 2)', "t.rtfs")
    assert [(problem.code, problem.place and problem.place[0]) for problem in found] == [
        ("denied.unknown-capability", 1),
        ("guest.arity", 2),
    ]
    assert found[0].hint == "did you mean ccos.io.read-file?"


def test_paths_of_a_text_are_not_looked_at(tmp_path: Path) -> None:
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    assert codes(f'(call :ccos.io.read-file "{loop}/x")') == []


@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | st.text(max_size=40))
def test_every_text_gives_a_list(text: str) -> None:
    lines = text.split("\n")
    for problem in problems(text, "t.rtfs"):
        assert problem.message
        if problem.place is not None and problem.source == "t.rtfs":
            line, column, end_line, end_column = problem.place
            assert 1 <= line <= end_line <= len(lines)
            assert 1 <= column <= len(lines[line - 1]) + 1
            assert (line, column) <= (end_line, end_column)


def test_what_a_run_may_never_reach_is_a_warning() -> None:
    [found] = problems('(defn f [x] (+ x "a"))\n1', "plan")
    assert (found.code, found.is_warning, found.place) == ("compile.type", True, (1, 18, 1, 21))
    [certain] = problems('(+ 1 "a")', "plan")
    assert (certain.code, certain.is_warning) == ("compile.type", False)
    assert problems("(defn f [x] (+ x 1))\n1", "plan") == []
