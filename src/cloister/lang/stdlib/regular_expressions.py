"""Builtins on regular expressions.

Owns how programs use the engine of `lang.regex`: a search for a pattern anywhere in a text. Every character looked at
costs steps; `Pattern` says how many. Part of the guest set: standard library only.

Source: language reference, section 6.4, and section 9 row 35.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from cloister.lang.regex.pattern import Match, Pattern, compile_pattern
from cloister.lang.regex.replacement import parse_replacement
from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import (
    Topic,
    argument_error,
    as_callable,
    require_integer,
    require_text,
    type_error,
)
from cloister.lang.stdlib.texts import collect, join_pieces
from cloister.lang.values import Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


def _compiled(operation: str, pattern: Value) -> Pattern:
    # The same is paid for a pattern that is still known, so that the cost of a run does not depend on earlier ones
    text = require_text(operation, pattern)
    budget = current()
    budget.charge_steps(len(text))
    compiled = compile_pattern(text)
    budget.charge_steps(compiled.size)
    return compiled


@_builtin(
    "re-matches",
    2,
    signature="(re-matches pattern text)",
    examples=(
        r'(re-matches "\\d+" "abc123") ;=> true',
        r'(re-matches "^\\d+$" "abc123") ;=> false',
        '(re-matches "a" nil) ;=> false',
    ),
)
def re_matches(pattern: Value, text: Value) -> Value:
    """Say whether the pattern is found anywhere in the text; write ^ and $ around it to mean the whole text.

    Nothing is found in nil.
    """
    compiled = _compiled("re-matches", pattern)
    return text is not None and compiled.is_found(require_text("re-matches", text), current().charge_steps)


@_builtin(
    "re-find",
    2,
    signature="(re-find pattern text)",
    examples=(r'(re-find "\\d+" "abc123") ;=> "123"', '(re-find "x" "abc") ;=> nil', '(re-find "a" nil) ;=> nil'),
)
def re_find(pattern: Value, text: Value) -> Value:
    """Return the text of the first match of the pattern; nil when there is none, or the text is nil."""
    compiled = _compiled("re-find", pattern)
    if text is None:
        return None
    whole = require_text("re-find", text)
    match = compiled.search(whole, current().charge_steps)
    return None if match is None else _piece(whole, match)


@_builtin(
    "re-seq",
    2,
    signature="(re-seq pattern text)",
    examples=(r'(re-seq "\\d" "a1b2") ;=> ["1" "2"]', '(re-seq "a" nil) ;=> []'),
)
def re_seq(pattern: Value, text: Value) -> Value:
    """List the texts of all matches of the pattern, from left to right; none overlap."""
    compiled = _compiled("re-seq", pattern)
    whole = "" if text is None else require_text("re-seq", text)
    if text is None:
        return ()
    return collect(_piece(whole, match) for match in compiled.finditer(whole, current().charge_steps))


@_builtin(
    "re-groups",
    2,
    signature="(re-groups pattern text)",
    examples=(
        r'(re-groups "(\\w+)@(\\w+)" "to ada@home") ;=> ["ada@home" "ada" "home"]',
        '(re-groups "(a)|(b)" "b") ;=> ["b" nil "b"]',
        '(re-groups "(a)" nil) ;=> nil',
    ),
)
def re_groups(pattern: Value, text: Value) -> Value:
    """Return the first match as a vector: its text, then that of each group, nil for groups that took no part.

    There is no vector, but nil, when the pattern is not found or the text is nil.
    """
    compiled = _compiled("re-groups", pattern)
    if text is None:
        return None
    whole = require_text("re-groups", text)
    match = compiled.search(whole, current().charge_steps)
    return None if match is None else _with_groups(compiled, whole, match)


@_builtin(
    "re-split",
    2,
    3,
    signature="(re-split pattern text limit?)",
    examples=(r'(re-split "\\s*,\\s*" "a , b,c") ;=> ["a" "b" "c"]', '(re-split "-" "a-b-c" 2) ;=> ["a" "b-c"]'),
)
def re_split(pattern: Value, text: Value, limit: Value = None) -> Value:
    """Cut the text at every match of the pattern, keeping empty pieces; nil counts as an empty text.

    With a limit there are at most that many pieces, and the last is all that is left.
    """
    compiled = _compiled("re-split", pattern)
    pieces_max = 0 if limit is None else require_integer("re-split", limit)
    if limit is not None and pieces_max < 1:
        raise argument_error("re-split", f"a text cannot be cut into {pieces_max} pieces", "name a limit of at least 1")
    whole = "" if text is None else require_text("re-split", text)
    return collect(compiled.split(whole, current().charge_steps, pieces_max))


@_builtin(
    "re-replace",
    3,
    signature="(re-replace pattern text replacement)",
    needs_call=True,
    examples=(
        r'(re-replace "\\d+" "a1b22" "#") ;=> "a#b#"',
        r'(re-replace "(\\w+) (\\w+)" "hello world" "$2 $1") ;=> "world hello"',
        r'(re-replace "\\w+" "ab cd" string-upper) ;=> "AB CD"',
        '(re-replace "a" "a" "$1") ;!! guest.argument',
    ),
)
def re_replace(pattern: Value, text: Value, replacement: Value) -> Value:
    """Replace every match of the pattern by a text, or by what a function returns for it.

    In the text `$1` or `${name}` stands for a group, `$0` for the match and `$$` for a dollar sign. A function gets the
    text of the match; if the pattern has groups, a vector of it and of the groups. It must return a string.
    """
    compiled = _compiled("re-replace", pattern)
    whole = require_text("re-replace", text)
    if isinstance(replacement, str):
        current().charge_scan(len(replacement))
        return join_pieces(_by_template(compiled, whole, replacement))
    return join_pieces(_by_function(compiled, whole, replacement))


def _by_template(pattern: Pattern, text: str, replacement: str) -> Iterator[str]:
    charge = current().charge_steps
    template = parse_replacement(replacement, pattern)
    needs_groups = any(isinstance(part, int) and part > 0 for part in template)
    begin = 0
    for match in pattern.finditer(text, charge):
        yield text[begin : match.start]
        groups = (_piece(text, match), *(pattern.groups(text, match, charge) if needs_groups else ()))
        for part in template:
            yield (groups[part] or "") if isinstance(part, int) else part
        begin = match.end
    yield text[begin:]


def _by_function(pattern: Pattern, text: str, replacement: Value) -> Iterator[str]:
    charge = current().charge_steps
    function = as_callable(replacement, "re-replace", 1)
    begin = 0
    for match in pattern.finditer(text, charge):
        yield text[begin : match.start]
        instead = function(_with_groups(pattern, text, match) if pattern.groups_count else _piece(text, match))
        if not isinstance(instead, str):
            raise type_error("re-replace", "string from the function", instead)
        yield instead
        begin = match.end
    yield text[begin:]


def _piece(text: str, match: Match) -> str:
    return text[match.start : match.end]


def _with_groups(pattern: Pattern, text: str, match: Match) -> tuple[str | None, ...]:
    current().charge_steps(pattern.groups_count)
    return (_piece(text, match), *pattern.groups(text, match, current().charge_steps))
