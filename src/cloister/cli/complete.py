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


def run_states(incomplete: str) -> list[str]:
    """Return the states a run can be in."""
    from cloister.plan.journal.entries import RunState  # noqa: PLC0415

    return _starting(RunState, incomplete)


def runs(incomplete: str) -> list[str]:
    """Return the identifiers of runs, the newest last."""
    return _starting(_journaled("SELECT run_id FROM runs ORDER BY created_at"), incomplete)


def approvals(incomplete: str) -> list[str]:
    """Return the identifiers of requests that nobody decided, of runs that have not ended."""
    query = (
        "SELECT approval_id FROM approvals JOIN runs USING (run_id) WHERE approvals.state = 'pending' "
        "AND runs.state IN ('running', 'interrupted', 'paused', 'stopped') ORDER BY requested"
    )
    return _starting(_journaled(query), incomplete)


def _journaled(query: str) -> list[str]:
    """Return one column of the journal; nothing when there is none, or none that can be read."""
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.errors import JournalError  # noqa: PLC0415
    from cloister.plan.journal.database import JournalFile  # noqa: PLC0415
    from cloister.runtime_life import JOURNAL_FILE  # noqa: PLC0415

    path = default_home() / JOURNAL_FILE
    if not path.exists():
        return []
    try:
        file = JournalFile.open(path)
    except JournalError:
        return []  # a shell that proposes has nowhere to show an error; the command itself will
    try:
        return [text for (text,) in file.read(query) if isinstance(text, str) and text.isprintable()]
    finally:
        file.close()
