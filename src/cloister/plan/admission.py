"""Everything that can be refused is refused before anything runs.

Owns the check of a program's effects against a context: unknown capabilities, capabilities that are not granted, paths
that are written in the plan and lie outside the grants, computed ids without a grant of their own. Decides only;
recording and raising are the caller's.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Final

from cloister.authority.authorizer import Decision, SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.authority.policy import covering_root
from cloister.errors import DeniedError, GuestError, Span, quoted
from cloister.lang.effects import Effect, Known
from cloister.lang.printer import to_text
from cloister.lang.program import Program
from cloister.lang.values import Value

ARGUMENT_CHARS_SHOWN: Final = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One place in a plan that touches the world, and whether a context allows it.

    Attributes:
        effect: What the program can do there.
        decision: What the context says to it.
        arguments: The arguments, when all of them are known before the run; otherwise None.
        span: Where it stands in the plan.
        needed: Every grant that is missing for it, as command-line options, as far as the arguments are known.
    """

    effect: Effect
    decision: Decision
    arguments: tuple[Value, ...] | None
    span: Span
    needed: tuple[str, ...]

    def error(self) -> DeniedError:
        """Return the refusal as an error that points into the plan."""
        error = self.decision.error()
        error.span = self.span
        return error


def known_arguments(effect: Effect) -> tuple[Value, ...] | None:
    """Return the argument values when every one of them is known before the run, else None."""
    values = tuple(argument.value for argument in effect.arguments if isinstance(argument, Known))
    return values if len(values) == len(effect.arguments) else None


def requirements(program: Program, context: RuntimeContext, authorizer: SecurityAuthorizer) -> tuple[Requirement, ...]:
    """Decide every effect of a program, in the order of the text.

    Args:
        program: What is to run.
        context: What it may do.
        authorizer: Decides.

    Raises:
        GuestError: Arguments that are known before the run do not fit the capability; it points into the plan.
    """
    found = []
    for effect in program.effects:
        span = program.source.span(effect.start, effect.end)
        arguments = known_arguments(effect)
        try:
            decision = _decide(effect, arguments, context, authorizer)
            needed = decision.denied_grants + _needed_places(effect, arguments, context, authorizer)
        except GuestError as error:
            error.span = span
            raise
        found.append(
            Requirement(
                effect=effect,
                decision=decision,
                arguments=arguments,
                span=span,
                needed=tuple(dict.fromkeys(needed)),
            )
        )
    return tuple(found)


def _decide(
    effect: Effect,
    arguments: tuple[Value, ...] | None,
    context: RuntimeContext,
    authorizer: SecurityAuthorizer,
) -> Decision:
    if effect.capability_id is None:
        return authorizer.authorize_computed(context)
    if arguments is None:
        return authorizer.authorize_capability(context, effect.capability_id)
    return authorizer.authorize(context, effect.capability_id, arguments)


def _needed_places(
    effect: Effect,
    arguments: tuple[Value, ...] | None,
    context: RuntimeContext,
    authorizer: SecurityAuthorizer,
) -> tuple[str, ...]:
    """Return the path and variable grants a call would still need once its capability is granted."""
    if effect.capability_id is None or arguments is None or context.is_unsafe:
        return ()
    asked = authorizer.authorize(RuntimeContext.unsafe_everything(), effect.capability_id, arguments)
    writes = tuple(path for path in asked.write_paths if covering_root(path, context.writable_paths) is None)
    reads = tuple(path for path in asked.read_paths if covering_root(path, context.readable_paths) is None)
    names = tuple(name for name in asked.environment if name not in context.environment_names)
    return (
        *(f"--read {shlex.quote(path)}" for path in reads),
        *(f"--write {shlex.quote(path)}" for path in writes),
        *(f"--env {shlex.quote(name)}" for name in names),
    )


def argument_texts(effect: Effect) -> tuple[str, ...]:
    """Return each argument as RTFS text, shortened; `…` stands for one that only the run will know."""
    return tuple(
        quoted(to_text(argument.value), ARGUMENT_CHARS_SHOWN) if isinstance(argument, Known) else "…"
        for argument in effect.arguments
    )


def refusals(found: tuple[Requirement, ...]) -> tuple[Requirement, ...]:
    """Return the requirements that are not allowed, in the order of the text, one for each missing grant."""
    distinct: dict[tuple[str, str, tuple[str, ...]], Requirement] = {}
    for item in found:
        if not item.decision.allowed:
            key = (item.decision.capability_id, item.decision.reason.value, item.decision.denied_grants)
            distinct.setdefault(key, item)
    return tuple(distinct.values())
