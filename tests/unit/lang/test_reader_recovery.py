"""Everything wrong with a text is told at once, and nothing that is only a consequence."""

from __future__ import annotations

import pytest

from cloister.errors import ReadError
from cloister.lang.problems import PROBLEMS_MAX
from cloister.lang.reader import ReadLimits, read
from cloister.lang.source import Source


def problems(text: str) -> list[tuple[int, int, str]]:
    """Line, column and code of every problem told about a text."""
    try:
        read(Source("plan", text))
    except ReadError as error:
        told = [error.to_dict(), *error.details.get("more", [])]
        return [(each["span"]["line"], each["span"]["column"], each["code"]) for each in told]
    return []


def hints(text: str) -> list[str]:
    with pytest.raises(ReadError) as caught:
        read(Source("plan", text))
    return [str(caught.value.hint), *(each["hint"] for each in caught.value.details.get("more", []))]


TEXTS = {
    "words": ("(f 1a :9)\n(g x'y)", [(1, 4, "read.number"), (1, 7, "read.keyword"), (2, 5, "read.character")]),
    "escapes": (r'["\q" "\u{G}" "ok"]', [(1, 3, "read.escape"), (1, 8, "read.escape")]),
    "shapes": ("{:a}\n(.f)\n'", [(1, 2, "read.map-odd"), (2, 2, "read.method"), (3, 1, "read.prefix")]),
    "metadata": ("^x y\n^:foo z\n{:a 1 :b}",
                 [(1, 1, "read.metadata"), (2, 1, "read.metadata"), (3, 7, "read.map-odd")]),
    "foreign constructs": (
        '#{1 2}\n#_ x\n#"re"',
        [(1, 1, "read.character"), (2, 1, "read.character"), (3, 1, "read.character")],
    ),
    "a wrong word is a value all the same": ("{:a 1x :b 2}", [(1, 5, "read.number")]),
    "parameters": ("#(f %0 %21 %2)", [(1, 5, "read.anonymous-function"), (1, 8, "read.anonymous-function")]),
    "functions inside one another": ("#(f #(g %) %)\n#(h %)", [(1, 5, "read.anonymous-function")]),
    "a closer is missing inside": ("(f [x (g 1))\n(h 2)", [(1, 12, "read.mismatched")]),
    "a closer is of the wrong kind": ("(f [1 2) 3] 4)\n(g)", [(1, 8, "read.mismatched")]),
    "a closer is of the wrong kind, at the outermost level": ("[1 2) 3]\n(g)", [(1, 5, "read.mismatched")]),
    "a closer is too many": ("(f x))\n(g y)\n(h z))",
                             [(1, 6, "read.unexpected-close"), (3, 6, "read.unexpected-close")]),
    "closers are missing at the end of two forms": (
        "(f (x)\n(g (y)\n",
        [(1, 1, "read.unclosed"), (2, 1, "read.unclosed")],
    ),
    "several are open at the end": ("(f [1\n   {:a", [(2, 4, "read.unclosed")]),
    "shapes are not judged where nesting is a guess": ("[(f {:a 1 :b] 2)\n{:c}",
                                                       [(1, 13, "read.mismatched"), (2, 2, "read.map-odd")]),
    "a function is given up with its delimiter": ("[#(f %]\n#(g %)", [(1, 7, "read.mismatched")]),
    "a prefix before a closer that does not match": ("[(f ')]", [(1, 5, "read.prefix")]),
    "a string lacks its end": ('(f "a)\n(g "b")\n(h "c" d)', [(1, 4, "read.unclosed")]),
    "a string lacks its end, before text with blanks": ('(f "a)\n(g " b ")', [(1, 4, "read.unclosed")]),
    "a string lacks its beginning": ('(f a" b)\n(g "c")', [(1, 5, "read.unclosed")]),
    "a string lacks its beginning, before a text with blanks": ('(f a" b\n c) (g " d ")', [(1, 5, "read.unclosed")]),
    "what follows a string without end is not blamed": ('(f "a)\n(g "1x")\n(h "c" d)', [(1, 4, "read.unclosed")]),
    "problems are told in the order of the text": ("(f (x 1z)", [(1, 1, "read.unclosed"), (1, 7, "read.number")]),
    "a map around a wrong closer is not judged": ("{:a [1 2) :b 3 4]}", [(1, 9, "read.mismatched")]),
    "what stands before a string without end counts": ('(f 1x "a)', [(1, 4, "read.number"), (1, 7, "read.unclosed")]),
    "a comment lacks its end": ("(f #| a\n(g 1x)", [(1, 4, "read.unclosed")]),
}  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_every_problem_is_told_and_no_consequence(name: str) -> None:
    text, told = TEXTS[name]
    assert problems(text) == told


@pytest.mark.parametrize("text", ['"two\nlines"', '(f "a\n (b)" x)', "#| a |#", "#||#", '"\\""', '(f "a\n\\"b" x)'])
def test_what_looks_alike_and_is_right_is_read(text: str) -> None:
    assert problems(text) == []


def test_problems_beyond_the_most_are_not_looked_for() -> None:
    assert len(problems("1x " * (PROBLEMS_MAX - 1))) == PROBLEMS_MAX - 1
    assert len(problems("1x " * PROBLEMS_MAX + ")" * 1_000)) == PROBLEMS_MAX


def test_a_limit_ends_reading_and_is_told_after_what_was_found() -> None:
    assert problems("1x " + "(" * 300) == [(1, 1, "read.number"), (1, 204, "read.depth")]


def test_the_hint_for_an_open_form_names_the_line_where_the_next_begins() -> None:
    assert hints("(f\n (g 1)\n\n(h 2)\n(i 3)") == ["add the missing `)` before line 4"]
    assert hints("(f\n (g 1)") == ["add the missing `)`"]


def test_forms_are_refused_only_beyond_their_limit() -> None:
    limits = ReadLimits(forms_count=5)
    assert read(Source("plan", "(a b) 'c"), limits)
    with pytest.raises(ReadError) as caught:
        read(Source("plan", "(a b) 'c d"), limits)
    assert caught.value.code == "read.size"
    assert caught.value.span is not None
    assert caught.value.span.column == 10
