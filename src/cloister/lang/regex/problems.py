"""The errors of regular expressions.

Owns their wording. Patterns come from programs and are hostile: only a shortened part of one is quoted. Part of the
guest set: standard library only.
"""

from __future__ import annotations

from cloister.errors import GuestError, quoted

_QUOTED_CHARS_MAX = 40


def pattern_error(text: str, position: int, problem: str, hint: str | None = None) -> GuestError:
    """Return the error that says a text is no regular expression of this dialect.

    Args:
        text: The pattern.
        position: Where in it, from 0; counted from 1 in the message.
        problem: What is wrong there, as the end of a sentence.
        hint: What to write instead.
    """
    shown = quoted(text, _QUOTED_CHARS_MAX)
    message = f'Runtime error: regular expression "{shown}" is not valid at character {position + 1}: {problem}'
    return GuestError(message, kind="Generic", code="guest.pattern", hint=hint)


def too_large(text: str, parts_max: int, depth_max: int) -> GuestError:
    """Return the error that says a regular expression is larger or nested deeper than one may be."""
    shown = quoted(text, _QUOTED_CHARS_MAX)
    return GuestError(
        f'Runtime error: regular expression "{shown}" is too large: with its repetitions written out it has more than '
        f"{parts_max} parts, or is nested deeper than {depth_max} levels",
        kind="Generic",
        code="guest.pattern",
        hint="use smaller counts, or + and * instead of counted repetition",
    )
