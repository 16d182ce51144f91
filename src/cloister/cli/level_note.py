"""What a command says when the machine gives less isolation than the provider can.

Owns that one line. A run is never weakened silently, and whoever named a level has been told.
"""

from __future__ import annotations

from cloister.cli.output import note


def note_level(provider: str, isolation: str | None, *, as_json: bool = False) -> None:
    """Say on standard error what this machine lacks, unless the command line demands a level.

    Args:
        provider: What is going to run something.
        isolation: What `--isolation` said; None when it was not given.
        as_json: Whether the output is for a program, which finds the level in the record.

    Raises:
        ConfigError: As `isolation.factory.strength_of`.
        ProviderUnavailable: Likewise.
    """
    from cloister.isolation.factory import strength_of  # noqa: PLC0415

    if as_json or isolation is not None:
        return
    level, shortfalls = strength_of(provider)
    if shortfalls:
        what = ", ".join(each.missing.partition(":")[0] for each in shortfalls)
        note(f"note: this machine lacks {what}; see `cloister doctor`, or accept it with --isolation {level.label}")
