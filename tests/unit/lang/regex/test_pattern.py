"""What patterns find, where, and at what price."""

from __future__ import annotations

import tracemalloc
from random import Random

import pytest

from cloister.errors import GuestError, LimitExceeded
from cloister.lang.regex.charsets import CharSet, variants
from cloister.lang.regex.pattern import PATTERNS_KEPT, Match, Pattern, compile_pattern
from cloister.lang.regex.replacement import parse_replacement
from cloister.lang.stdlib.budget import Budget
from cloister.limits import MIB, ResourceLimits


def free(steps: int) -> None:
    assert steps >= 0


def found(pattern: str, text: str) -> list[str]:
    compiled = compile_pattern(pattern)
    return [text[match.start : match.end] for match in compiled.finditer(text, free)]


CASES = [
    ("abc", "xabcabc", ["abc", "abc"]),
    ("a|ab", "ab", ["a"]),
    ("ab|a", "ab", ["ab"]),
    ("a*", "aab", ["aa", ""]),
    ("a*?", "ab", ["", "", ""]),
    ("a+?", "aa", ["a", "a"]),
    ("(?U)a+", "aa", ["a", "a"]),
    ("(?U)a+?", "aa", ["aa"]),
    (".", "a\nb", ["a", "b"]),
    ("(?s).", "a\nb", ["a", "\n", "b"]),
    ("^a", "aa\na", ["a"]),
    ("(?m)^a$", "a\nb\na", ["a", "a"]),
    ("a$", "a\na", ["a"]),
    ("a$", "a\n", []),
    ("\\Aa", "aa", ["a"]),
    ("a\\z", "aa", ["a"]),
    ("\\bfoo\\b", "foo xfoo foo-", ["foo", "foo"]),
    ("\\Boo\\B", "foot oo", ["oo"]),
    ("\\bé\\w+", "été", ["été"]),
    ("(?i)straße", "STRAßE straSSe", ["STRAßE"]),
    ("(?i)k", "kK\u212a", ["k", "K", "\u212a"]),
    ("(?i)[\u212a]", "kK", ["k", "K"]),
    ("(?i)[^k]", "kKa\u212a", ["a"]),
    ("(?i)\u03c3", "\u03c3\u03c2\u03a3", ["\u03c3", "\u03c2", "\u03a3"]),
    ("(?i:a)b", "AbAB", ["Ab"]),
    ("(?i)a(?-i)b", "AbAB", ["Ab"]),
    ("(?x) a b # rest\n c", "abc", ["abc"]),
    ("(?x)a\\ b[ c ]", "a bc", ["a bc"]),
    ("\\d+", "a12 ٣", ["12", "٣"]),
    ("[0-9]+", "a12 ٣", ["12"]),
    ("\\w+", "naïve_1, x²", ["naïve_1", "x"]),
    ("\\s", "a\u00a0b\u2003", ["\u00a0", "\u2003"]),
    ("\\S+", "a b", ["a", "b"]),
    ("\\pL+", "a\u04311", ["a\u0431"]),
    ("\\p{Lu}", "aBЖ", ["B", "Ж"]),
    ("\\P{L}", "a1", ["1"]),
    ("\\p{^L}", "a1", ["1"]),
    ("\\p{Uppercase_Letter}", "aB", ["B"]),
    ("[\\p{Nd}\\s]", "1 a", ["1", " "]),
    ("\\p{any}", "a\n", ["a", "\n"]),
    ("[[:alpha:]]+", "ab1é", ["ab"]),
    ("[[:^digit:]]", "1a", ["a"]),
    ("[[:punct:][:space:]]", "a! b", ["!", " "]),
    ("[]a]+", "]a", ["]a"]),
    ("[^]a]", "]ab", ["b"]),
    ("[a-]+", "a-b", ["a-"]),
    ("[-a]+", "a-b", ["a-"]),
    ("[a-c&&[^b]]+", "abc", ["a", "c"]),
    ("[a-d--bc]+", "abcd", ["a", "d"]),
    ("[a-c~~b-d]+", "abcd", ["a", "d"]),
    ("[^a-c&&[^b]]+", "abcd", ["b", "d"]),
    ("[a[0-9]]+", "a1b", ["a1"]),
    ("\\x41\\u0042\\u{43}\\U00000044\\x{45}", "ABCDE", ["ABCDE"]),
    ("\\n\\t\\r\\f\\v\\a", "\n\t\r\f\v\a", ["\n\t\r\f\v\a"]),
    ("\\.\\*\\[\\-", ".*[-", [".*[-"]),
    ("a{2}", "aaaaa", ["aa", "aa"]),
    ("a{2,}", "aaaaa", ["aaaaa"]),
    ("a{,2}b", "aaab", ["aab"]),
    ("a{1,2}?", "aa", ["a", "a"]),
    ("(?:a|b|)c", "abc c", ["bc", "c"]),
    ("(?:|a)+", "aaa", ["", "", "", ""]),
    ("(?:|a)*", "aaa", ["", "", "", ""]),
    ("", "ab", ["", "", ""]),
    ("x*", "", [""]),
    ("foo.*bar", "a foo xx bar foo", ["foo xx bar"]),
    ("😀+", "a😀😀b", ["😀😀"]),
]


@pytest.mark.parametrize(("pattern", "text", "expected"), CASES)
def test_finds(pattern: str, text: str, expected: list[str]) -> None:
    assert found(pattern, text) == expected
    assert compile_pattern(pattern).is_found(text, free) is bool(expected)


def test_search_from_a_position_sees_what_stands_before_it() -> None:
    assert compile_pattern("\\bb").search("ab b", free, 1) == Match(3, 4)
    assert compile_pattern("^b").search("ab", free, 1) is None
    assert compile_pattern("(?m)^b").search("a\nb", free, 2) == Match(2, 3)
    assert compile_pattern("b").search("ab", free, 2) is None


def test_fullmatch_takes_whatever_alternative_reaches_the_end() -> None:
    assert compile_pattern("a|ab").fullmatch("ab", free) == Match(0, 2)
    assert compile_pattern("a*?").fullmatch("aaa", free) == Match(0, 3)
    assert compile_pattern("a").fullmatch("ab", free) is None
    assert compile_pattern("a").fullmatch("ba", free) is None
    assert compile_pattern("").fullmatch("", free) == Match(0, 0)


def test_groups() -> None:
    pattern = compile_pattern("(?P<year>\\d{4})-(\\d\\d)|(x)")
    text = "on 2026-07"
    match = pattern.search(text, free)
    assert match == Match(3, 10)
    assert pattern.groups(text, match, free) == ("2026", "07", None)
    assert pattern.group_names == {"year": 1}


def test_a_group_in_a_loop_keeps_its_last_turn() -> None:
    pattern = compile_pattern("(?:(a)|(b))+")
    match = pattern.search("ab", free)
    assert match
    assert pattern.groups("ab", match, free) == ("a", "b")


def test_split() -> None:
    assert list(compile_pattern(",").split("a,b,,c", free)) == ["a", "b", "", "c"]
    assert list(compile_pattern(",").split("a,b,c", free, 2)) == ["a", "b,c"]
    assert list(compile_pattern(",").split("", free)) == [""]
    assert list(compile_pattern("x*").split("ab", free)) == ["", "a", "b", ""]


def test_replacement_templates() -> None:
    pattern = compile_pattern("(?P<a>x)(y)")
    assert parse_replacement("<$1-${a}-${2}$$>$0", pattern) == ("<", 1, "-", 1, "-", 2, "$", ">", 0)
    for wrong in ("$3", "${b}", "$", "$a", "${", "${a b}"):
        with pytest.raises(GuestError) as caught:
            parse_replacement(wrong, pattern)
        assert caught.value.code == "guest.argument"


CATASTROPHIC = [
    "(a+)+$", "(a*)*b", "(a|aa)+$", "(a|a)*$", "(.*)*x", "(?:a?){50}a{50}b", "(x+x+)+y", "a*a*a*a*a*b",
    "^(a?){20}a{20}$",
]  # fmt: skip


@pytest.mark.parametrize("pattern", CATASTROPHIC)
def test_what_backtracks_forever_elsewhere_costs_its_length_here(pattern: str) -> None:
    text = "a" * 100_000 + "!"
    compiled = Pattern(pattern)
    budget = Budget()
    compiled.search(text, budget.charge_steps)
    assert budget.steps_count <= 2 * len(text) * (1 + compiled.size // 8)


def test_of_more_states_than_are_kept_none_fills_the_memory() -> None:
    random = Random(7)
    text = "".join(random.choice("ab") for _ in range(12_000))
    compiled = Pattern("[ab]*a[ab]{14}c")
    tracemalloc.start()
    try:
        assert compiled.search(text, free) is None
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 * MIB
    assert compiled.search(text + "a" + "b" * 14 + "cz", free) is not None


def test_every_character_there_is() -> None:
    text = "".join(map(chr, range(0x20, 0x3000)))
    assert len(found("\\w", text)) > 5_000
    assert found("\\x{2FFF}", text) == ["\u2fff"]


def test_a_step_limit_ends_a_search_and_a_larger_one_does_not() -> None:
    text = "a" * 10_000
    pattern = compile_pattern("a*b")
    with pytest.raises(LimitExceeded) as caught:
        pattern.search(text, Budget(ResourceLimits(steps_count=5_000)).charge_steps)
    assert caught.value.limit == "steps_count"
    assert pattern.search(text, Budget(ResourceLimits(steps_count=20_000)).charge_steps) is None


def test_a_step_limit_ends_the_search_for_groups_too() -> None:
    text = "a" * 1_000
    pattern = compile_pattern("(?:(a)|(b))*")
    match = pattern.search(text, free)
    assert match == Match(0, 1_000)
    with pytest.raises(LimitExceeded):
        pattern.groups(text, match, Budget(ResourceLimits(steps_count=900)).charge_steps)
    assert pattern.groups(text, match, Budget(ResourceLimits(steps_count=50_000)).charge_steps) == ("a", None)


def test_a_limit_bites_early_in_a_large_pattern() -> None:
    looked = 0

    class Enough(Exception):
        """Stands for the end of a run."""

    def charge(steps: int) -> None:
        nonlocal looked
        looked += steps
        raise Enough

    with pytest.raises(Enough):
        compile_pattern("(?:[ab]{0,30}c?){100}d").search("ab" * 50_000, charge)
    assert looked <= 8_192


def test_compiled_patterns_are_kept_but_not_all() -> None:
    first = compile_pattern("kept")
    assert compile_pattern("kept") is first
    for number in range(PATTERNS_KEPT):
        compile_pattern(f"other{number}")
    assert compile_pattern("kept") is not first


def test_letters_that_differ_only_in_case() -> None:
    assert set(variants("k")) == {"k", "K", "\u212a"}
    assert set(variants("\u03c2")) == {"\u03c3", "\u03c2", "\u03a3"}
    assert variants("1") == ("1",)
    assert CharSet(((ord("S"), ord("S")),), folded=True).has("\u017f")
