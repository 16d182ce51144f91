"""Templates for what stands instead of a match.

Owns their grammar: `$1` and `${1}` are the text of a group, `$0` that of the match, `${name}` that of a named group,
and `$$` a dollar sign. Part of the guest set: standard library only.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from cloister.errors import GuestError, quoted
from cloister.lang.regex.pattern import Pattern

_REFERENCE: Final = re.compile(r"\$(?:(?P<dollar>\$)|(?P<number>[0-9]{1,3})|\{(?P<name>[A-Za-z0-9_]{1,64})\})")

Template: TypeAlias = tuple[str | int, ...]
"""Texts, and numbers of groups."""


def parse_replacement(text: str, pattern: Pattern) -> Template:
    """Read a template.

    Raises:
        GuestError: `guest.argument` when a dollar sign begins no reference, or the pattern has no such group.
    """
    parts: list[str | int] = []
    position = 0
    while (start := text.find("$", position)) >= 0:
        parts.append(text[position:start])
        reference = _REFERENCE.match(text, start)
        if reference is None:
            raise _problem(f'"{quoted(text[start : start + 12], 12)}" refers to no group')
        parts.append("$" if reference["dollar"] else _group(reference["number"] or reference["name"], pattern))
        position = reference.end()
    parts.append(text[position:])
    return tuple(part for part in parts if part != "")


def _group(name: str, pattern: Pattern) -> int:
    number = int(name) if name.isdigit() and len(name) <= 3 else pattern.group_names.get(name)
    if number is None or number > pattern.groups_count:
        raise _problem(f'the pattern has no group "{quoted(name, 40)}"')
    return number


def _problem(problem: str) -> GuestError:
    return GuestError(
        f"Invalid argument in re-replace: {problem}",
        kind="InvalidArgument",
        code="guest.argument",
        hint="write $1 or ${name} for a group of the pattern, $0 for the whole match, $$ for a dollar sign",
    )
