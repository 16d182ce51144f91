"""The words of a refusal.

Owns the message and the hint of each denial. A message names the rule that was broken and the hint the grant that would
allow it, in the words of `grants`. A plan can read these texts, so they say where a link leads only when the link
itself lies inside a granted path; otherwise a plan could map a file system it may not see. Texts of a plan are quoted.
"""

from __future__ import annotations

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cloister.authority.capability import AccessKind
from cloister.authority.context import RuntimeContext, SecurityLevel
from cloister.authority.decision import Decision, Reason
from cloister.authority.destination import Destination
from cloister.authority.grants import COMPUTED_GRANT, capability_grant, effect_grant, host_grant, place_grant
from cloister.authority.hosts import HostRule
from cloister.authority.level import StepIsolation
from cloister.authority.policy import KERNEL_ROOTS, ResolvedPath, covering_root
from cloister.authority.registry import unknown_message
from cloister.authority.rules import AccessRule, RuleAction
from cloister.authority.verdict import Verdict
from cloister.errors import quoted

_LISTED_MAX: Final = 5
_TAKE_OUT: Final = "no grant opens what is denied; take the denial out of the policy if it is not meant"


@dataclass(frozen=True, slots=True, kw_only=True)
class PathQuestion:
    """A path a call names.

    Attributes:
        context: What the run may do.
        capability_id: Canonical id.
        text: The path as the plan wrote it.
        kind: Whether it is read or written.
    """

    context: RuntimeContext
    capability_id: str
    text: str
    kind: AccessKind

    @property
    def lexical(self) -> str:
        """The text with `.`, `..` and doubled slashes taken out as if there were no links; relative if the text is."""
        return lexical_path(self.text)


def lexical_path(text: str) -> str:
    """Return a path with `.`, `..` and doubled slashes taken out as if there were no links; relative if it is."""
    plain = posixpath.normpath(text)
    return "/" + plain.lstrip("/") if plain.startswith("/") else plain


def denied_unknown(context: RuntimeContext, capability_id: str, hint: str) -> Decision:
    """Refuse a capability that is not registered; no context allows it."""
    return Decision(
        allowed=False,
        reason=Reason.UNKNOWN_CAPABILITY,
        capability_id=quoted(capability_id),
        context=context,
        message=unknown_message(capability_id),
        hint=hint,
    )


def denied_capability(context: RuntimeContext, capability_id: str) -> Decision:
    """Refuse a registered capability that is not granted."""
    if context.level is SecurityLevel.PURE:
        reason, message = Reason.PURE, f'capability "{capability_id}" is not granted: the context is pure'
    else:
        reason, message = Reason.CAPABILITY, f'capability "{capability_id}" is not granted'
    return _denied(context, capability_id, reason, message, capability_grant(capability_id))


def denied_verdict(context: RuntimeContext, capability_id: str, verdict: Verdict) -> Decision:
    """Refuse a registered capability that grants do not allow. A denial is told first: no grant would help."""
    if verdict.denied_by is not None:
        message = f'capability "{capability_id}" is denied by the pattern "{verdict.denied_by}"'
        return _final(context, capability_id, Reason.PATTERN, message, _TAKE_OUT)
    if verdict.denied_effect is not None:
        message = f'capability "{capability_id}" has the effect {verdict.denied_effect}, which is denied'
        return _final(context, capability_id, Reason.EFFECT, message, _TAKE_OUT)
    if not verdict.is_granted:
        return denied_capability(context, capability_id)
    label = verdict.missing_effect or ""
    allowed = _listed(sorted(context.allowed_effects or ()))
    message = f'capability "{capability_id}" has the effect {label}, which is not among the allowed ones ({allowed})'
    return _denied(context, capability_id, Reason.EFFECT, message, effect_grant(label))


def denied_rule(context: RuntimeContext, capability_id: str, rules: Sequence[AccessRule]) -> Decision:
    """Refuse a call because of its arguments.

    Args:
        context: What the run may do.
        capability_id: Canonical id.
        rules: The one that denies it, or those that allow it and of which none holds.
    """
    named = ", ".join(f'"{rule.id}"' for rule in rules[:_LISTED_MAX])
    conditions = " and ".join(map(str, rules[0].conditions))
    if rules[0].action is RuleAction.DENY:
        message = f'rule {named} denies this call of "{capability_id}"'
        hint = f"it denies when: {quoted(conditions)}" if conditions else "it denies every such call"
    else:
        message = f'no rule that allows "{capability_id}" holds for this call ({named})'
        hint = f"call it so that this holds: {quoted(conditions)}"
    return Decision(
        allowed=False,
        reason=Reason.RULE,
        capability_id=capability_id,
        context=context,
        message=message,
        hint=hint,
        rule_ids=tuple(rule.id for rule in rules),
    )


def denied_cedar(context: RuntimeContext, capability_id: str, why: str) -> Decision:
    """Refuse a call that a policy in Cedar does not allow.

    Args:
        context: What the run may do.
        capability_id: Canonical id.
        why: What the policy said, for example the ids of the policies that forbid.
    """
    message = f'a policy in Cedar does not allow this call of "{capability_id}": {quoted(why)}'
    return _final(context, capability_id, Reason.CEDAR, message, "change the policy, or call it within what it permits")


def denied_host(context: RuntimeContext, capability_id: str, place: Destination, rule: HostRule | None) -> Decision:
    """Refuse a place on the network.

    Args:
        context: What the run may do.
        capability_id: Canonical id.
        place: What the call wants to reach.
        rule: The rule that denies it; None when no rule allows it.
    """
    if rule is not None:
        return _final(context, capability_id, Reason.HOST_DENIED, f'"{place}" is denied by "{rule}"', _TAKE_OUT)
    allowed = _listed([str(each) for each in context.hosts])
    message = f'"{place}" is not among the granted hosts ({allowed})'
    return _denied(context, capability_id, Reason.HOST, message, host_grant(place))


def denied_url(context: RuntimeContext, capability_id: str, url: str) -> Decision:
    """Refuse a URL that does not say beyond doubt where it leads."""
    message = f'"{quoted(url)}" does not say where it leads in a way that can be granted'
    hint = "write a plain URL with http, https, ws or wss, a host, and no user name"
    return _final(context, capability_id, Reason.HOST_FORM, message, hint)


def denied_step(context: RuntimeContext, way: StepIsolation) -> Decision:
    """Refuse a way of isolating a step."""
    allowed = _listed(sorted(each.value for each in context.step_isolation))
    message = f"the step asks to be {way.value}, which is not among the allowed ways ({allowed})"
    hint = "allow it with steps under [isolation] in the file for --policy"
    return _final(context, "", Reason.STEP_ISOLATION, message, hint)


def denied_computed(context: RuntimeContext) -> Decision:
    """Refuse a program that computes capability ids."""
    message = "the program computes the id of a capability at run time, which is not granted"
    return _denied(context, "", Reason.COMPUTED, message, COMPUTED_GRANT)


def denied_variable(context: RuntimeContext, capability_id: str, name: str) -> Decision:
    """Refuse an environment variable."""
    message = f'variable "{quoted(name)}" is not among the granted ones ({_listed(context.environment_names)})'
    return _denied(context, capability_id, Reason.ENVIRONMENT, message, place_grant(AccessKind.ENVIRONMENT, name))


def denied_path(question: PathQuestion, reason: Reason, found: ResolvedPath | None = None) -> Decision:
    """Refuse a path.

    Args:
        question: What was asked.
        reason: One of the path reasons.
        found: Where it leads, for `Reason.PATH`.
    """
    shown = f'path "{quoted(question.text)}"'
    if reason is Reason.PATH and found is not None:
        message, target = _outside(question, shown, found)
        return _denied(question.context, question.capability_id, reason, message, place_grant(question.kind, target))
    message, hint = {
        Reason.PATH_INVALID: (f"{shown} is empty or holds a NUL character", "name a file or directory"),
        Reason.PATH_PROTECTED: (
            f"{shown} holds or lies in the directory of the causal chain and its keys",
            "name paths beside it, or keep the record elsewhere with --home",
        ),
        Reason.PATH_KERNEL: (
            f"{shown} lies in a tree of the kernel ({', '.join(KERNEL_ROOTS)})",
            "no grant opens these; a sandbox has its own",
        ),
    }.get(reason, (f"{shown} cannot be followed to where it leads", "check for links in a circle and permissions"))
    return Decision(
        allowed=False,
        reason=reason,
        capability_id=question.capability_id,
        context=question.context,
        message=message,
        hint=hint,
    )


def _outside(question: PathQuestion, shown: str, found: ResolvedPath) -> tuple[str, str]:
    """Return the message for a path outside the grants, and the path to grant."""
    context, writing = question.context, question.kind is AccessKind.WRITE
    roots = context.writable_paths if writing else context.readable_paths
    readable = covering_root(found.asked, context.readable_paths) is not None
    if writing and covering_root(found.path, context.readable_paths) is not None:
        return f"{shown} is granted for reading only", found.path
    purpose = "paths granted for writing" if writing else "granted paths"
    if readable and found.path != found.asked:
        return f'{shown} leads to "{quoted(found.path)}", which is outside the {purpose} ({_listed(roots)})', found.path
    return f"{shown} is outside the {purpose} ({_listed(roots)})", found.asked


def _denied(context: RuntimeContext, capability_id: str, reason: Reason, message: str, grant: str) -> Decision:
    return Decision(
        allowed=False,
        reason=reason,
        capability_id=capability_id,
        context=context,
        message=message,
        hint=f"grant it with {grant}",
        denied_grants=(grant,),
    )


def _final(context: RuntimeContext, capability_id: str, reason: Reason, message: str, hint: str) -> Decision:
    """Refuse what no further grant would allow."""
    return Decision(
        allowed=False, reason=reason, capability_id=capability_id, context=context, message=message, hint=hint
    )


def _listed(items: Sequence[str]) -> str:
    if not items:
        return "none"
    more = f" and {len(items) - _LISTED_MAX} more" if len(items) > _LISTED_MAX else ""
    return ", ".join(quoted(item) for item in items[:_LISTED_MAX]) + more
