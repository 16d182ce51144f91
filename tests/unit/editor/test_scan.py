"""The tolerant look at unfinished texts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.editor.scan import Nesting, definitions, open_lists, token_at, tokens
from cloister.lang.reader import DEFAULT_LIMITS

TEXTS = st.text(st.sampled_from("()[]{}\"\\;#|'`~@^:, \n\tabdefn1.😀\ufeff"), max_size=60) | st.text(max_size=40)
PIECES = ["(defn f [x] ", "(do ", "^{:a 1} ", "(def x ", ")", "]", "}", '"', "#|", "|#", ";", "\n", "(let [y 1] ", "x"]


def test_words_strings_and_brackets_are_told_apart() -> None:
    found = [(token.kind, token.text) for token in tokens('(f "a)" ; (c\n #| ( |# :k)')]
    assert found == [
        ("open", "("), ("word", "f"), ("text", '"a)"'), ("note", "#| ( |#"), ("word", ":k"), ("close", ")"),
    ]  # fmt: skip


@given(TEXTS | st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.integers(0, 70))
def test_every_text_and_place_has_an_answer(text: str, offset: int) -> None:
    for token in tokens(text):
        assert text[token.start : token.end] == token.text
    for each in definitions(text):
        assert text[each.start : each.end] == each.name
        assert each.form_start < each.start <= each.form_end <= len(text)
    found = token_at(text, offset)
    assert found is None or found.start <= offset <= found.end
    assert all(scope.start < max(offset, 1) for scope in open_lists(text, offset))


def test_definitions_have_names_parameters_and_documentation() -> None:
    text = (
        '(defn ^{:a {}} area "Of a \\"box\\"." [w:int  {:keys [h]}] (* w h)) (def limit 3) (defmacro unless [c & body'
    )
    area, limit, unless = definitions(text)
    assert (area.name, area.parameters, area.doc) == ("area", "[w:int {:keys [h]}]", 'Of a "box".')
    assert area.signature == "(area w:int {:keys [h]})"
    assert text[area.form_start : area.form_end].endswith("(* w h))")
    assert (limit.form, limit.signature) == ("def", "(def limit ...)")
    assert (unless.parameters, unless.form_end) == ("[c & body", len(text))


def test_only_the_top_level_defines() -> None:
    text = "(do (def a 1)) (let [x 1] (def b 2)) (module m (defn c [] 1)) (defn d [] (def e 1)) [(def f 1)]"
    assert [each.name for each in definitions(text)] == ["a", "m", "c", "d"]


@pytest.mark.parametrize(
    ("before", "names"),
    [
        ("(let [x 1 y 2] ", {"x", "y"}),
        ("(let [[a {:keys [b c]}] (f q)] ", {"a", "b", "c"}),
        ('(defn f "doc" [n & more] ', {"n", "more"}),
        ("(for [x xs] (let [y x] ", {"x", "xs", "y"}),
        ("(let [x 1]) ", set()),
        ("(f [x 1] ", set()),
    ],
)
def test_names_bound_around_a_place(before: str, names: set[str]) -> None:
    assert {name for scope in open_lists(before, len(before)) for name in scope.names} == names


@pytest.mark.parametrize("text", ["(" * 10**6, "(do " * 10**5, "^{" * 10**5, '"' + "\\" * 10**6, "#|" * 10**5])
def test_hostile_texts_are_looked_at_only_as_far_as_they_are_read(text: str) -> None:
    assert sum(len(token.text) for token in tokens(text * 2)) <= DEFAULT_LIMITS.text_chars
    assert definitions(text) == ()


@given(st.lists(TEXTS, max_size=5))
def test_brackets_are_counted_as_in_one_piece(pieces: list[str]) -> None:
    lines = "\n".join(pieces).splitlines(keepends=True)
    whole, parts = Nesting(), Nesting()
    whole.feed("".join(lines))
    for line in lines:
        parts.feed(line)
    assert (whole.depth, whole.is_open) == (parts.depth, parts.is_open)


@pytest.mark.parametrize(
    ("text", "is_open"),
    [("(f", True), ('"a', True), ("#| (", True), ('"(" ', False), ("; (\n", False), ("(f)", False), (r'"\""', False)],
)
def test_open_brackets_strings_and_comments(text: str, is_open: bool) -> None:
    nesting = Nesting()
    nesting.feed(text)
    assert nesting.is_open is is_open
