"""What the shell proposes for the values of options.

Owns the lists; each is imported when it is asked for, so that completing a command's name stays quick.
"""

from __future__ import annotations

from collections.abc import Iterable


def _starting(values: Iterable[str], incomplete: str) -> list[str]:
    return [value for value in values if value.startswith(incomplete)]


def capabilities(incomplete: str) -> list[str]:
    """Return the ids of capabilities."""
    from cloister.capabilities.catalog import builtin_catalog  # noqa: PLC0415

    return _starting(sorted(builtin_catalog().capabilities), incomplete)


def providers(incomplete: str) -> list[str]:
    """Return the names of isolation providers."""
    from cloister.isolation.factory import NAMES  # noqa: PLC0415

    return _starting(NAMES, incomplete)


def levels(incomplete: str) -> list[str]:
    """Return the names of isolation levels, weakest first."""
    from cloister.authority.level import IsolationLevel  # noqa: PLC0415

    return _starting((level.label for level in IsolationLevel), incomplete)


def languages(incomplete: str) -> list[str]:
    """Return the names of the languages of scripts."""
    from cloister.isolation.provider import ScriptLanguage  # noqa: PLC0415

    return _starting(("auto", *ScriptLanguage), incomplete)


def limits(incomplete: str) -> list[str]:
    """Return the names of limits, each ready for its value."""
    from cloister.cli.limits import limit_names  # noqa: PLC0415

    return _starting((f"{name}=" for name in limit_names()), incomplete)


def machine_words(incomplete: str) -> list[str]:
    """Return what can be chosen of a virtual machine, each word ready for its value."""
    from cloister.isolation.microvm.config import WORDS  # noqa: PLC0415

    return _starting([f"{word}=" for word in WORDS], incomplete)


def parts(incomplete: str) -> list[str]:
    """Return the names of what can be expected of an attestation, each ready for its digest."""
    from cloister.isolation.attestation import PARTS  # noqa: PLC0415

    return _starting((f"{name}=" for name in PARTS), incomplete)


def words(incomplete: str) -> list[str]:
    """Return the names of functions and forms."""
    from cloister.editor.words import entries  # noqa: PLC0415

    return _starting(sorted(entries()), incomplete)
