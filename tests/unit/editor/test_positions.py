"""Offsets and the positions of editors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.editor.positions import Positions

TEXT = "é😀x\r\nsecond\rthird\n\u2028😀😀"
ALPHABET = "a\n\ré😀\u2028\x0b\ud800"


@pytest.mark.parametrize(("encoding", "column"), [("utf-8", 6), ("utf-16", 3), ("utf-32", 2)])
def test_columns_are_counted_in_the_agreed_units(encoding: str, column: int) -> None:
    lines = Positions(TEXT, encoding)
    assert lines.position(TEXT.index("x")) == (0, column)
    assert lines.offset(0, column) == TEXT.index("x")


def test_lines_end_where_the_protocol_says() -> None:
    lines = Positions(TEXT)
    assert [lines.position(TEXT.index(part))[0] for part in ("second", "third", "\u2028")] == [1, 2, 3]
    assert lines.position(len(TEXT)) == (3, 5)


@given(st.text(ALPHABET, max_size=30), st.sampled_from(["utf-8", "utf-16", "utf-32"]))
def test_there_and_back(text: str, encoding: str) -> None:
    lines = Positions(text, encoding)
    for offset in range(len(text) + 1):
        inside_line_end = text[offset - 1 : offset + 1] == "\r\n"
        assert lines.offset(*lines.position(offset)) == (offset - 1 if inside_line_end else offset)


@given(st.text(ALPHABET, max_size=30), st.integers(0, 99), st.integers(0, 99))
def test_every_position_is_clamped_into_the_text(text: str, line: int, column: int) -> None:
    assert 0 <= Positions(text).offset(line, column) <= len(text)
    assert 0 <= Positions(text).offset_of_span(line, column) <= len(text)


def test_places_of_errors_count_line_feeds_only() -> None:
    text = "a\rb\nc"
    assert Positions(text).offset_of_span(2, 1) == text.index("c")
    assert Positions(text).position(Positions(text).offset_of_span(2, 1)) == (2, 0)
