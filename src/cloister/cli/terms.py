"""How far a run may go by itself, and what it may spend, as a user writes it.

Owns the option for the mode, and how it and the budget options become the terms of a run.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cloister.errors import ConfigError, quoted

if TYPE_CHECKING:
    from cloister.authority.context import RuntimeContext
    from cloister.authority.mode import ExecutionMode
    from cloister.plan.terms import RunTerms

MODES: Final = ("full", "dry-run", "safe-only", "require-approval")


def _modes(incomplete: str) -> list[str]:
    return [mode for mode in MODES if mode.startswith(incomplete)]


ModeOption = Annotated[
    str,
    typer.Option(
        "--mode",
        metavar="MODE",
        help="How far the run goes by itself: full, dry-run (what is risky is made up), safe-only, require-approval.",
        autocompletion=_modes,
    ),
]


def parse_mode(mode: str) -> ExecutionMode:
    """Return a mode by its name.

    Raises:
        ConfigError: `config.mode`.
    """
    from cloister.authority.mode import ExecutionMode  # noqa: PLC0415

    if mode not in MODES:
        raise ConfigError(
            f"there is no mode {quoted(mode)}", code="config.mode", hint=f"the modes are {', '.join(MODES)}"
        )
    return ExecutionMode(mode)


def parse_terms(
    mode: str, budget: Sequence[str] | None, on_exhaustion: Sequence[str] | None, context: RuntimeContext
) -> RunTerms:
    """Return the terms that these options describe.

    Args:
        mode: One of `MODES`.
        budget: Texts `WORD=AMOUNT`.
        on_exhaustion: Texts `WORD=RULE`.
        context: The grants; the time that an execution may take bounds the run too, unless the budget says otherwise.

    Raises:
        ConfigError: `config.mode`, `config.budget`.
    """
    from cloister.cli.budget import parse_budget, parse_rules  # noqa: PLC0415
    from cloister.plan.terms import RunTerms, default_budget  # noqa: PLC0415

    chosen = parse_mode(mode)
    limits = parse_budget(budget)
    if not any(each.startswith("wall=") for each in budget or ()):
        limits = replace(limits, wall_ms=default_budget(context).wall_ms)
    return RunTerms(mode=chosen, budget=limits, exhaustion=parse_rules(on_exhaustion))
