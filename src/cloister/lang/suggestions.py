"""What to say about a name that nothing binds.

Owns the nearest spelling, and where people look who know the builtins of other Lisps: effects are capabilities here.
The names compared come from a hostile text, so how many and how long they may be is bounded. Part of the guest set:
standard library only.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from itertools import islice
from typing import Final

from cloister.errors import quoted

NAMES_COMPARED_MAX: Final = 1_000
"""Comparing two names takes some 20 microseconds."""

NAME_CHARS_MAX: Final = 60
SIMILARITY_MIN: Final = 0.75

_CAPABILITIES: Final = {
    "println": "(call :ccos.io.println value)",
    "print": "(call :ccos.io.println value)",
    "prn": "(call :ccos.io.println value)",
    "pr": "(call :ccos.io.println value)",
    "display": "(call :ccos.io.println value)",
    "printf": "(call :ccos.io.println (str value ...))",
    "slurp": '(call :ccos.io.read-file "path")',
    "spit": '(call :ccos.io.write-file "path" content)',
    "getenv": '(call :ccos.system.get-env "NAME")',
    "sleep": "(call :ccos.system.sleep-ms milliseconds)",
}
"""What builtins of other Lisps are called here."""

_UNCHANGEABLE: Final = frozenset({"set!", "swap!", "reset!", "atom", "alter-var-root"})


def nearest(name: str, known: Iterable[str]) -> str | None:
    """Return the known name most like `name`, or None when none is like it.

    Args:
        name: As written; only its first 60 characters count.
        known: Only the first names of similar length are compared, so the likeliest should come first.
    """
    shown = name[:NAME_CHARS_MAX]
    difference = len(shown) // 2 + 1
    similar = (each for each in known if abs(len(each) - len(shown)) <= difference)
    found = difflib.get_close_matches(shown, islice(similar, NAMES_COMPARED_MAX), n=1, cutoff=SIMILARITY_MIN)
    return found[0] if found else None


def unknown_name(name: str, known: Iterable[str], *, is_called: bool) -> tuple[str, str | None]:
    """Return message and hint for a name that is not bound.

    Args:
        name: As written.
        known: What is bound there.
        is_called: Whether it is the head of a call; the value of an input seldom is.
    """
    shown = quoted(name[: NAME_CHARS_MAX + 1], NAME_CHARS_MAX)
    message = f'unknown name "{shown}"'
    if name in _CAPABILITIES:
        return message, f"what reaches outside is a capability: {_CAPABILITIES[name]}"
    if name in _UNCHANGEABLE:
        return message, "nothing can be changed in RTFS; bind a new value with let, or use loop and recur"
    near = nearest(name, known)
    if near is not None:
        message += f'; did you mean "{quoted(near, NAME_CHARS_MAX)}"?'
    if near is not None and is_called:
        return message, None
    return message, f"define it before it is used, or pass it to the run with --input {shown}=..."
