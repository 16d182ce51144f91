"""Programs from seeds.

Owns what a whole program looks like. A seed always gives the same program, in every process: nothing here depends on
hashes, on time or on what was generated before.
"""

from __future__ import annotations

from random import Random
from typing import Final

from tests.differential import forms_binding, forms_edges, forms_flow, forms_world, sharing
from tests.differential.top_level import DEFINITIONS
from tests.differential.writer import CALLED, FORMS, Scope, Writer

PRODUCTIONS: Final = (forms_binding, forms_edges, forms_flow, forms_world, sharing)
"""Where the forms are declared; importing them is what makes the grammar complete."""

SIZES: Final = (2, 4, 6, 8, 10, 14, 18, 24, 32, 40)
"""How many forms and calls the parts of a program may have together."""
_SHARING_SHARE: Final = 0.06
"""How many programs are about large collections whose versions share parts."""


def generate(seed: int) -> str:
    """Return the program of a seed.

    Args:
        seed: Any integer.

    Returns:
        A text of one or more forms. Most are well typed; some are not, and a few are no programs at all.
    """
    rng = Random(seed)
    size = SIZES[int(rng.random() * len(SIZES))]
    writer = Writer(rng, size)
    names: Scope = {}
    parts: list[str] = []
    if rng.random() < _SHARING_SHARE:
        return _separated(rng, [sharing.write_much(writer, "any", names)])
    for _ in range(int(rng.random() * 4) if size > 4 else 0):
        writer.left = max(2, size // 4)
        parts.append(DEFINITIONS[int(rng.random() * len(DEFINITIONS))](writer, names))
    for _ in range(2 if rng.random() < 0.25 else 1):
        writer.left = max(2, size - sum(map(len, parts)) // 40)
        parts.append(_last(writer, names))
    return _separated(rng, parts)


def _last(writer: Writer, names: Scope) -> str:
    """Write the expression that a program is about: never a mere literal."""
    kind = writer.kind()
    own = tuple([name for name, each in names.items() if type(each) is tuple and each[0] in CALLED])
    if own and writer.chance(0.4):
        name = writer.one(own)
        words = [name, *[writer.write(each, names) for each in names[name][1]]]
        return f"({' '.join(words)})"
    if writer.chance(0.5):
        return writer.call("any" if writer.chance(0.6) else kind, names)
    forms = FORMS["any"] if writer.chance(0.3) else FORMS[kind if type(kind) is str else kind[0]]
    return forms[int(writer.rng.random() * len(forms))](writer, kind if forms is not FORMS["any"] else "any", names)


def _separated(rng: Random, parts: list[str]) -> str:
    """Join forms by line breaks, blanks and comments, so that places differ in line and column."""
    text = ("\n", " ", "\n\n  ", " ; é comment\n", ", ")[int(rng.random() * 5)].join(parts)
    if rng.random() < 0.3:
        text = text.replace(" ", "\n", 1 + int(rng.random() * 3))
    return text
