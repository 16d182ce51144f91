"""Formatting any program keeps what it means and every comment, and formatting again changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tests.property.exploring import examples

from cloister.errors import ReadError
from cloister.lang.formatter.format import format_text
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.lexer import pieces
from cloister.lang.reader import read
from cloister.lang.source import Source

ROOT = Path(__file__).parents[2]
PROGRAMS = sorted(path for folder in ("examples", "tests") for path in (ROOT / folder).rglob("*.rtfs"))

BLANKS = st.sampled_from(
    [" ", " ", " ", "  ", "\n", "\n  ", "\n\n\n", ", ", "\t", " ; note\n", "\n; line  \n", " #| b |# ", "\r\n",
     "\n#| two\nlines |#\n"]
)  # fmt: skip
WORDS = st.sampled_from(
    ["x", "y:", "x:int", ":int", "::int", ":", "?", "&", "%", "%2", "1", "1.5", '"s"', '"a\n  b"', "'", "`", "~", "~@",
     "@ctx", "@:name", "^{:a 1}", "^:delegation :local", "name#", ":key", "nil", "let", "defn", "fn", "cond", "case",
     "try", "catch", "if", "->", "call", "step", "match", "a-very-long-name",
     '"a text that takes a good part of the line"']
)  # fmt: skip
GROUPS = st.sampled_from(
    [("(", ")"), ("[", "]"), ("{", "}"), ("#(", ")"), ("(let [", "])"), ("(cond ", ")"), ("'(", ")")]
)


def spread(items: list[tuple[str, str]]) -> str:
    return "".join(blank + item for item, blank in items)


TEXTS = st.recursive(
    WORDS,
    lambda inner: st.builds(
        lambda group, items, end: group[0] + spread(items) + end + group[1],
        GROUPS,
        st.lists(st.tuples(inner, BLANKS), max_size=8),
        st.sampled_from(["", "", " ", "\n", " ; end\n"]),
    ),
    max_leaves=40,
)
PROGRAM_TEXTS = st.lists(st.tuples(TEXTS, BLANKS), max_size=4).map(spread)


def shape(form: Form) -> object:
    """The form without its offsets."""
    match form:
        case LiteralForm(value=value):
            return type(value).__name__, repr(value)
        case SymbolForm(name=name):
            return "symbol", name
        case ListForm(items=items) | VectorForm(items=items):
            return type(form).__name__, [shape(item) for item in items]
        case MapForm(entries=entries):
            return "map", [(shape(key), shape(item)) for key, item in entries]


def shapes(text: str) -> list[object]:
    return [shape(form) for form in read(Source("plan", text))]


def comments(text: str) -> list[str]:
    return [piece.rstrip() for piece in pieces(text) if piece[0] == ";" or piece.startswith("#|")]


def check(text: str) -> None:
    formatted = format_text(text)
    assert shapes(formatted) == shapes(text)
    assert sorted(comments(formatted)) == sorted(comments(text))
    assert format_text(formatted) == formatted
    assert not formatted or formatted.endswith("\n")


@given(PROGRAM_TEXTS)
@example("(a ~ @b)")
@example("(' ; why\n x)")
@example("{:a ; one\n 1 :b 2}")
@example("(; only\n)")
@example("\ufeff(a)\r\n(b)")
@examples(500)
def test_formatting_keeps_meaning_and_comments_and_is_stable(text: str) -> None:
    try:
        read(Source("plan", text))
    except ReadError:
        return
    check(text)


@pytest.mark.parametrize("path", PROGRAMS, ids=lambda path: str(path.relative_to(ROOT)))
def test_programs_of_this_repository(path: Path) -> None:
    check(path.read_text(encoding="utf-8"))
