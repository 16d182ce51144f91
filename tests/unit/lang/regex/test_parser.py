"""What is a regular expression and what is refused, with the place and what to write instead."""

from __future__ import annotations

import pytest

from cloister.errors import GuestError
from cloister.lang.regex.parser import GROUPS_MAX, PATTERN_CHARS_MAX, parse
from cloister.lang.regex.pattern import compile_pattern
from cloister.lang.regex.tree import DEPTH_MAX, INSTRUCTIONS_MAX

REFUSED = [
    ("[", 1, "this bracket is never closed"),
    ("a[b", 2, "this bracket is never closed"),
    ("a[^", 2, "this bracket is never closed"),
    ("(", 1, "this group is never closed"),
    ("x(a", 2, "this group is never closed"),
    ("a)", 2, "no group is open here"),
    ("*a", 1, "there is nothing to repeat"),
    ("a|+", 3, "there is nothing to repeat"),
    ("(?)", 1, "there is nothing to repeat"),
    ("a{", 2, "this is no counted repetition"),
    ("a{1", 2, "this is no counted repetition"),
    ("a{,}", 2, "this is no counted repetition"),
    ("a{x}", 2, "this is no counted repetition"),
    ("a{1234567}", 2, "this is no counted repetition"),
    ("a{3,2}", 2, "this repetition ends before it begins"),
    ("(a)\\1", 4, "back-references cannot be used"),
    ("(?P<n>a)\\k<n>", 9, "back-references cannot be used"),
    ("(?P=n)", 1, "back-references cannot be used"),
    ("a(?=b)", 2, "look-ahead cannot be used"),
    ("a(?!b)", 2, "look-ahead cannot be used"),
    ("(?<=b)a", 1, "look-behind cannot be used"),
    ("(?<!b)a", 1, "look-behind cannot be used"),
    ("(?>a)", 1, "atomic groups cannot be used"),
    ("(?(1)a)", 1, "conditions cannot be used"),
    ("(?q)", 1, "this is no group of a known form"),
    ("(?ii)", 1, "this is no group of a known form"),
    ("(?i", 1, "this is no group of a known form"),
    ("(?-u)a", 1, "classes are always those of Unicode"),
    ("(?P<1a>x)", 1, "this is no name of a group"),
    ("(?P<a)", 1, "this is no name of a group"),
    ("(?P<a>x)(?P<a>y)", 9, "two groups have this name"),
    ("\\", 1, "a backslash ends the pattern"),
    ("ab\\", 3, "a backslash ends the pattern"),
    ("\\y", 1, "unknown escape"),
    ("\\Z", 1, "unknown escape"),
    ("\\b{start}", 2, "\\b{...} is not supported"),
    ("\\x4", 1, "this is no character"),
    ("\\x{110000}", 1, "this is no character"),
    ("\\u{D800}", 1, "this is no character"),
    ("\\u{zz}", 1, "this is no character"),
    ("\\p{Klingon}", 1, "unknown property of characters"),
    ("\\pX", 1, "unknown property of characters"),
    ("[[:nope:]]", 2, "unknown class"),
    ("[z-a]", 2, "this range ends before it begins"),
    ("[a-\\d]", 2, "a class such as \\d cannot be the end of a range"),
    ("[\\b]", 2, "\\b is no character"),
    ("[" * 60, 52, "brackets are nested deeper than 50 levels"),
]


@pytest.mark.parametrize(("pattern", "place", "problem"), REFUSED)
def test_is_refused_with_its_place(pattern: str, place: int, problem: str) -> None:
    with pytest.raises(GuestError) as caught:
        parse(pattern)
    error = caught.value
    assert (error.kind, error.code) == ("Generic", "guest.pattern")
    assert error.message.startswith('Runtime error: regular expression "')
    assert error.message.endswith(f"is not valid at character {place}: {problem}")


@pytest.mark.parametrize(
    "pattern",
    [
        "((a{100}){100}){100}", "a{10001}", "(?:a{1,100}){51}", "((((((a*){9}){9}){9}){9}){9}){9}", "(){10001}",
        "(" * (DEPTH_MAX + 1), "a" + "*" * DEPTH_MAX, "(?:" * 150 + "a" + ")" * 150, "(?:(?:){100}){101}",
    ],
)  # fmt: skip
def test_what_would_grow_beyond_all_bounds_is_refused_at_once(pattern: str) -> None:
    with pytest.raises(GuestError) as caught:
        parse(pattern)
    assert f"more than {INSTRUCTIONS_MAX} parts" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    "pattern",
    [
        "((a{10}){10}){10}", "a{10000}", "(?:a{1,100}){50}", "(" * (DEPTH_MAX - 2) + ")" * (DEPTH_MAX - 2),
        "a" + "*" * (DEPTH_MAX - 1), "[" * 50 + "a" + "]" * 50, "(a)" * GROUPS_MAX, "a" * PATTERN_CHARS_MAX,
    ],
)  # fmt: skip
def test_what_stays_within_the_bounds_is_compiled(pattern: str) -> None:
    assert compile_pattern(pattern).search("b", lambda steps: None) is None or pattern[0] in "(a"


def test_too_long_and_too_many_groups() -> None:
    with pytest.raises(GuestError, match=f"more than {PATTERN_CHARS_MAX} characters"):
        parse("a" * (PATTERN_CHARS_MAX + 1))
    with pytest.raises(GuestError, match=f"more than {GROUPS_MAX} groups"):
        parse("(a)" * (GROUPS_MAX + 1))


def test_groups_are_numbered_by_their_opening_parenthesis() -> None:
    parsed = parse("(a(?P<inner>b))(?:c)(?<last>d)")
    assert parsed.groups_count == 3
    assert parsed.names == {"inner": 2, "last": 3}
