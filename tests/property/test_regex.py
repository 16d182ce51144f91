"""The regular expression engine against Python's, where both mean the same, and against its own bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples

from cloister.errors import CloisterError, GuestError, LimitExceeded
from cloister.lang.regex.parser import parse
from cloister.lang.regex.pattern import Match, Pattern, compile_pattern
from cloister.lang.regex.tree import Alternation, Concat, Group, Node, Repeat
from cloister.lang.stdlib.budget import Budget
from cloister.limits import ResourceLimits

ALPHABET = "ab1 \n"

LEAVES = st.sampled_from([
    "a", "b", "1", " ", ".", "[ab]", "[^a]", "[^b\\n]", "[a-b1]", "\\d", "\\D", "\\w", "\\W", "\\s", "\\S", "\\n", "^",
    "$", "\\b", "\\B", "\\A", "\\z", "(?:)", "\\x61", "[[:alpha:]]",
])  # fmt: skip
QUANTIFIERS = st.sampled_from(["*", "+", "?", "*?", "+?", "??", "{2}", "{1,2}", "{0,2}?", "{1,}", "{0}", "{2,}?"])


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, QUANTIFIERS).map(lambda pair: f"(?:{pair[0]}){pair[1]}"),
        inner.map(lambda part: f"({part})"),
        st.tuples(st.sampled_from(["i", "s", "m", "ms"]), inner).map(lambda pair: f"(?{pair[0]}:{pair[1]})"),
        st.tuples(inner, st.just("|"), inner).map("".join),
    )


PATTERNS = st.recursive(LEAVES, _compound, max_leaves=8)
TEXTS = st.text(alphabet=ALPHABET, max_size=12)


def in_python(pattern: str) -> re.Pattern[str]:
    """Spell a pattern for Python: the end of the text, and classes it does not have."""
    spelled = pattern.replace("\\z", "\\Z").replace("[[:alpha:]]", "[A-Za-z]")
    return re.compile(_end_of_text(spelled))


def _end_of_text(pattern: str) -> str:
    # Python's $ also matches before a last line break. Within (?m:...) both mean the same, and it must stay.
    result, depths = "", [False]
    index = 0
    while index < len(pattern):
        char = pattern[index]
        if char == "\\":
            # In an empty text Python's \\B finds nothing, though there is no edge of a word
            result += pattern[index : index + 2].replace("\\B", "(?!\\b)")
            index += 2
            continue
        if char == "(":
            flags = re.match(r"\(\?([ims]+):", pattern[index:])
            depths.append(depths[-1] or bool(flags and "m" in flags[1]))
        elif char == ")":
            depths.pop()
        result += "\\Z" if char == "$" and not depths[-1] else char
        index += 1
    return result


def repeats_nothing(node: Node) -> bool:
    """Say whether a part that can match nothing is repeated without bound.

    After such an empty turn a backtracking engine leaves the loop, one with many threads goes on with its other
    alternatives; Rust's does too.
    """
    match node:
        case Concat(items) | Alternation(items):
            return any(map(repeats_nothing, items))
        case Group(item):
            return repeats_nothing(item)
        case Repeat(item, _, most):
            return (most is None and item.nullable) or repeats_nothing(item)
    return False


def charge(steps: int) -> None:
    assert steps >= 0


def python_matches(pattern: re.Pattern[str], text: str) -> Iterator[tuple[int, int]]:
    """Find what Rust's engine finds, with Python's: no empty match touches the one before."""
    position, last_end = 0, -1
    while position <= len(text):
        match = pattern.search(text, position)
        if match and match.start() == match.end() == last_end:
            match = pattern.search(text, position + 1) if position < len(text) else None
        if not match:
            return
        yield match.span()
        position = last_end = match.end()


@examples(600)
@given(PATTERNS, TEXTS)
def test_finds_what_python_finds(pattern: str, text: str) -> None:
    ours, theirs = compile_pattern(pattern), in_python(pattern)
    found = [(match.start, match.end) for match in ours.finditer(text, charge)]
    expected = list(python_matches(theirs, text))
    if repeats_nothing(parse(pattern).root):
        assert [start for start, _ in found[:1]] == [start for start, _ in expected[:1]]
    else:
        assert found == expected
    assert ours.is_found(text, charge) is bool(found)
    # Python tries alternatives until the whole text matches, as an end in the pattern would
    assert (ours.fullmatch(text, charge) is not None) is bool(theirs.fullmatch(text))


@examples(400)
@given(PATTERNS, TEXTS)
def test_groups_lie_in_the_match_the_automata_found(pattern: str, text: str) -> None:
    ours = compile_pattern(f"({pattern})")
    match = ours.search(text, charge)
    if match is not None:
        assert ours.groups(text, match, charge)[0] == text[match.start : match.end]


SIMPLE = st.recursive(
    st.sampled_from(["a", "b", "(a)", "(b)", "(a|b)", "(a*)", "[ab]"]),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda pair: f"(?:{pair[0]}|{pair[1]})"),
        st.tuples(st.sampled_from(["(a)", "(?:a|b)", "(ab|a)"]), st.sampled_from(["?", "??", "{2}"])).map("".join),
    ),
    max_leaves=6,
)


@examples(300)
@given(SIMPLE, st.text(alphabet="ab", max_size=10))
def test_groups_are_those_of_python(pattern: str, text: str) -> None:
    ours, theirs = compile_pattern(pattern), re.compile(pattern).search(text)
    match = ours.search(text, charge)
    assert (match is None) == (theirs is None)
    if match and theirs:
        assert ours.groups(text, match, charge) == theirs.groups()


ANY_PATTERNS = st.one_of(
    st.text(max_size=20),
    st.text(alphabet="ab()[]{}*+?|\\^$.-:&~,<>=!#PpdwsbiLxu019 \n", max_size=24),
    PATTERNS,
)


@examples(800)
@given(ANY_PATTERNS, st.one_of(st.text(max_size=20), TEXTS))
def test_any_pattern_is_refused_or_works(pattern: str, text: str) -> None:
    try:
        compiled = compile_pattern(pattern)
    except GuestError as error:
        assert error.code == "guest.pattern"  # noqa: PT017 - other errors are what is expected here
        assert error.hint or "never" in error.message or "deeper" in error.message  # noqa: PT017
        return
    for match in compiled.finditer(text, charge):
        assert 0 <= match.start <= match.end <= len(text)
        assert len(compiled.groups(text, match, charge)) == compiled.groups_count
    compiled.fullmatch(text, charge)


@examples(200)
@given(PATTERNS, TEXTS)
def test_what_a_search_costs_does_not_depend_on_what_was_searched_before(pattern: str, text: str) -> None:
    def costs(compiled: Pattern) -> tuple[int, list[Match]]:
        budget = Budget()
        found = list(compiled.finditer(text, budget.charge_steps))
        return budget.steps_count, found

    used = Pattern(pattern)
    for other in ("aab 1\nb", "bbb", text + text, ""):
        list(used.finditer(other, charge))
        used.is_found(other, charge)
    assert costs(used) == costs(Pattern(pattern))


@pytest.mark.parametrize(
    "pattern", ["(a+)+$", "(a|aa)+$", "(a*)*b", "(?:a|a|a)*$", "(x+x+)+y|a*b", "(.*)*c", "a*a*a*a*a*c"]
)
def test_catastrophic_patterns_cost_their_text_times_their_size(pattern: str) -> None:
    text = "a" * 20_000 + "!"
    compiled = compile_pattern(pattern)
    spent = 0

    def count(steps: int) -> None:
        nonlocal spent
        spent += steps

    compiled.search(text, count)
    assert spent <= 4 * len(text) * (1 + compiled.size // 4)


@examples(100)
@given(PATTERNS, st.integers(min_value=1, max_value=2_000))
def test_a_step_limit_ends_a_search(pattern: str, steps: int) -> None:
    budget = Budget(ResourceLimits(steps_count=steps))
    text = "ab1 \n" * 4_000
    try:
        list(compile_pattern(pattern).finditer(text, budget.charge_steps))
    except LimitExceeded as error:
        assert error.limit == "steps_count"  # noqa: PT017 - not every search needs that many
    except CloisterError:
        raise
    else:
        assert budget.steps_count <= steps
