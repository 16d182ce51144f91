"""The Pygments lexer: no text is lost, none is an error, and pieces have the right colour."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygments.lexers import get_lexer_by_name, get_lexer_for_filename
from pygments.token import Comment, Error, Keyword, Name, Number, String

from cloister.editor.highlight import RtfsLexer, for_terminal

TEXTS = st.text(st.sampled_from("()[]{}\"\\;#|'`~@^:, \n\r\tabdefn1.+-😀\ufeff"), max_size=80) | st.text()


@given(TEXTS)
def test_every_text_is_highlighted_to_its_end(text: str) -> None:
    found = list(RtfsLexer().get_tokens_unprocessed(text))
    assert "".join(piece for _, _, piece in found) == text
    assert all(kind not in Error for _, kind, _ in found)
    assert [at for at, _, _ in found] == [
        sum(len(piece) for _, _, piece in found[:index]) for index in range(len(found))
    ]


def kinds(text: str) -> dict[str, Any]:
    return {piece: kind for _, kind, piece in RtfsLexer().get_tokens_unprocessed(text) if piece.strip()}


@pytest.mark.parametrize(
    ("text", "piece", "kind"),
    [
        ("(defn area [w] 1)", "defn", Keyword.Declaration),
        ("(defn area [w] 1)", "area", Name.Function),
        ("(def ^{:doc {:a 1}} limit 3)", "limit", Name.Function),
        ("(if a b)", "if", Keyword),
        ("(map f xs)", "map", Name.Builtin),
        ("(map f xs)", "xs", Name),
        ("[true nil]", "nil", Keyword.Constant),
        ("[:word]", ":word", String.Symbol),
        ("(call :ccos.io.println 1)", ":ccos.io.println", Name.Namespace),
        ("[x :int?]", ":int?", Keyword.Type),
        ("[x:string]", ":string", Keyword.Type),
        ("[1 2.5e3 ##Inf -7]", "-7", Number.Integer),
        ("[1 2.5e3 ##Inf -7]", "2.5e3", Number.Float),
        ("[1 2.5e3 ##Inf -7]", "##Inf", Number.Float),
        ('"a\\n\\u{41}"', "\\u{41}", String.Escape),
        ("1 ; note", "; note", Comment.Single),
        ("#| a ( |# 1", " a ( ", Comment.Multiline),
        ("@region", "@region", Name.Variable.Global),
        ("#(+ % 1)", "%", Name.Variable.Magic),
        ("^:delegation :local f", "^:delegation", Name.Decorator),
    ],
)
def test_pieces_have_their_kind(text: str, piece: str, kind: Any) -> None:
    assert kinds(text)[piece] is kind


@given(TEXTS)
def test_colours_add_nothing_but_colours(text: str) -> None:
    plain = text.replace("\x1b", "")
    assert re.sub(r"\x1b\[[0-9]+m", "", for_terminal(plain)) == plain


def test_colours_of_a_terminal() -> None:
    assert for_terminal('(if x "a\\n")') == '(\x1b[34mif\x1b[0m x \x1b[32m"a\x1b[0m\x1b[33m\\n\x1b[0m\x1b[32m"\x1b[0m)'


def test_pygments_finds_it_by_name_and_file() -> None:
    assert isinstance(get_lexer_by_name("rtfs"), RtfsLexer)
    assert isinstance(get_lexer_for_filename("plan.rtfs"), RtfsLexer)
