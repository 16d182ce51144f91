"""Decides whether a context allows a call.

Owns the order of the checks: is the capability known, is it granted and not denied, are its effects allowed, do the
arguments fit, is every path, variable and host they name granted, do the rules over arguments hold, do policies in
Cedar permit it. Decides purely: no clock, no files (a `PathResolver` is handed in), no state. Whatever is not known to
be allowed is refused. Calls come from plans and are hostile; contexts come from the operator and are trusted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Final, NamedTuple

from cloister.authority.cedar import CedarQuestion, cedar_refusal
from cloister.authority.context import RuntimeContext
from cloister.authority.decision import Decision, Reason
from cloister.authority.denials import (
    denied_cedar,
    denied_computed,
    denied_rule,
    denied_step,
    denied_unknown,
    denied_verdict,
)
from cloister.authority.level import StepIsolation
from cloister.authority.permission import IMPLIED, Permission
from cloister.authority.places import BoundCall, PlaceDecider, Places
from cloister.authority.policy import PathResolver, ResolvedPath
from cloister.authority.registry import CapabilityRegistry
from cloister.authority.rules import Moment
from cloister.authority.verdict import WORKLOAD_EFFECTS, Subject, Verdict
from cloister.errors import InternalError, quoted
from cloister.lang.effects import UNKNOWN
from cloister.lang.values import Map, Value

__all__ = ["Decision", "PathResolver", "Reason", "ResolvedPath", "SecurityAuthorizer"]

PLAN_WORKLOAD: Final = "cloister.plan"
EXEC_WORKLOAD: Final = "cloister.exec"
NATIVE_WORKLOAD: Final = "cloister.UnsafeNative"
_WORKLOADS: Final = {
    kind: Subject(capability_id=kind, names=frozenset({kind}), effects=WORKLOAD_EFFECTS)
    for kind in (EXEC_WORKLOAD, NATIVE_WORKLOAD)
}
_FILES: Final = frozenset({Permission.FILE_ACCESS.value})
_VARIABLES: Final = frozenset({Permission.ENVIRONMENT.value})


class SecurityAuthorizer:
    """The one place where calls are allowed or refused.

    Args:
        registry: The capabilities there are.
        resolver: Says where paths lead.
        protected: Canonical paths of trees that no grant opens, nor any tree around them: the record and its keys.
    """

    __slots__ = ("_places", "_registry")

    def __init__(
        self, registry: CapabilityRegistry, resolver: PathResolver, *, protected: Collection[str] = ()
    ) -> None:
        self._registry = registry
        self._places = PlaceDecider(resolver, protected)

    def authorize(self, context: RuntimeContext, capability_id: str, arguments: Sequence[Value]) -> Decision:
        """Decide one call.

        Args:
            context: What the run may do.
            capability_id: As the plan wrote it; aliases are resolved before anything is checked.
            arguments: The call's values.

        Returns:
            A decision that allows, or one that names the broken rule and the grant that would allow it.

        Raises:
            GuestError: When the capability is granted but the arguments do not fit it; kinds `ArityMismatch`,
                `TypeError`, `InvalidArgument`.
        """
        spec = self._registry.find(capability_id)
        if spec is None:
            return denied_unknown(context, capability_id, self._registry.nearest_hint(capability_id))
        subject = self._registry.subject(spec.id)
        verdict = context.verdict(subject)
        if not verdict.is_allowed:
            return denied_verdict(context, spec.id, verdict)
        return self._decide_bound(BoundCall(context, spec, spec.bind(arguments), Moment.CALL), subject, verdict)

    def require(self, context: RuntimeContext, capability_id: str, arguments: Sequence[Value]) -> Decision:
        """Decide one call and raise unless it is allowed.

        Raises:
            CapabilityDenied: The capability or a variable is not granted, or not known, or a rule refuses the call.
            EgressDenied: A host is not granted.
            PathDenied: A path is not granted.
            GuestError: The arguments do not fit.
        """
        return self.authorize(context, capability_id, arguments).require()

    def foresee(self, context: RuntimeContext, capability_id: str, outline: Sequence[Value]) -> Decision:
        """Decide a call before the run, from what is known of its arguments.

        An allowing decision carries no permissions: it is an answer for admission, not leave to execute anything. A
        rule that only the run can judge refuses nothing here.

        Args:
            context: What the run may do.
            capability_id: As the plan wrote it.
            outline: The arguments, with `UNKNOWN` in the place of each value, or part of one, that only the run has.

        Raises:
            GuestError: When the arguments cannot fit whatever the unknown ones are; also for one that is not granted.
        """
        spec = self._registry.find(capability_id)
        if spec is None:
            return denied_unknown(context, capability_id, self._registry.nearest_hint(capability_id))
        bound = spec.bind(outline, partly=True)
        if len(outline) == 1 and outline[0] is UNKNOWN:
            # One value that is not known may be a map that names every parameter
            bound = {parameter.name: UNKNOWN for parameter in spec.parameters}
        subject = self._registry.subject(spec.id)
        verdict = context.verdict(subject)
        if not verdict.is_allowed:
            return denied_verdict(context, spec.id, verdict)
        decision = self._decide_bound(BoundCall(context, spec, bound, Moment.BEFORE_RUN), subject, verdict)
        pending = [each for layer in verdict.rules for each in layer.open_rules(bound)] if decision.allowed else []
        return decision._replace(
            permissions=frozenset(),
            arguments=_known_only(decision.arguments),
            open_rule_ids=tuple(rule.id for rule in pending),
        )

    def authorize_computed(self, context: RuntimeContext) -> Decision:
        """Decide whether a program may compute capability ids at run time. Each computed id is still checked."""
        if not context.allow_computed:
            return denied_computed(context)
        return Decision(allowed=True, reason=_allowing(context), capability_id="", context=context)

    def authorize_step(self, context: RuntimeContext, way: StepIsolation) -> Decision:
        """Decide whether a step of a plan may be isolated in the way it asks for. It is never given another one."""
        if not context.is_step_isolation_allowed(way):
            return denied_step(context, way)
        return Decision(allowed=True, reason=_allowing(context), capability_id="", context=context)

    def authorize_workload(
        self, context: RuntimeContext, kind: str, *, act: Permission = Permission.EXECUTE_EXTERNAL
    ) -> Decision:
        """Decide one of Cloister's own workloads.

        Args:
            context: What the run may do.
            kind: `cloister.plan`, the pure code of a plan, which is always allowed and sees nothing; or
                `cloister.exec`, a command or script, which needs a grant of that name and sees every granted path and
                variable; or `cloister.UnsafeNative`, a function of the embedding program, which needs a grant of that
                name and sees whatever the process sees. The last two have the effect `:process`, and for rules and
                policies no arguments: what a rule about such an id asks of one counts against it.
            act: What is executed under `cloister.exec`. One grant covers both acts, since a script can start any
                program that a command could be; the permission that comes out of it covers the one asked for.

        Raises:
            InternalError: For another kind.
        """
        if kind == PLAN_WORKLOAD:
            return _workload(context, kind, Permission.EXECUTE_PLAN, Reason.ALLOWED)
        if kind not in _WORKLOADS:
            raise InternalError(f'there is no workload "{quoted(kind)}"')
        verdict = context.verdict(_WORKLOADS[kind])
        if not verdict.is_allowed:
            return denied_verdict(context, kind, verdict)
        refusal = _refused(_Judged(context, _WORKLOADS[kind], verdict, {}, Moment.CALL), _NOWHERE)
        if refusal is not None:
            return refusal
        if kind == NATIVE_WORKLOAD:
            return _workload(context, kind, Permission.EXECUTE_NATIVE, _allowing(context))
        denial = self._places.protected_in(context, kind)
        if denial is not None:
            return denial
        return Decision(
            allowed=True,
            reason=_allowing(context),
            capability_id=kind,
            context=context,
            permissions=IMPLIED[act] | _FILES | _VARIABLES | {kind},
            read_paths=context.read_paths,
            write_paths=context.write_paths,
            environment=context.environment_names,
        )

    def _decide_bound(self, call: BoundCall, subject: Subject, verdict: Verdict) -> Decision:
        context, spec = call.context, call.spec
        places = self._places.decide(call) if spec.access else _NOWHERE
        if isinstance(places, Decision):
            return places
        if verdict.rules or context.cedar_policies:
            # A rule about a path is about the place it leads to, however the plan wrote it
            facts = _followed(call.arguments, places) if places.resolved else call.arguments
            denial = _refused(_Judged(context, subject, verdict, facts, call.moment), places)
            if denial is not None:
                return denial
        return Decision(
            allowed=True,
            reason=_allowing(context),
            capability_id=spec.id,
            context=context,
            permissions=spec.permissions | places.permissions if spec.access else spec.permissions,
            read_paths=places.reads,
            write_paths=places.writes,
            environment=places.names,
            hosts=places.hosts,
            arguments=call.arguments,
            resolved=places.resolved,
        )


class _Judged(NamedTuple):
    """A call or workload that grants allow, as rules and policies see it."""

    context: RuntimeContext
    subject: Subject
    verdict: Verdict
    facts: Mapping[str, Value]
    moment: Moment


_NOWHERE: Final = Places()
"""What a call names that names no places; nothing is ever added to it."""


def _refused(call: _Judged, places: Places) -> Decision | None:
    """Return the denial by rules or policies over arguments, or None."""
    context, subject = call.context, call.subject
    for layer in call.verdict.rules:
        refusing = layer.refusal(call.facts, call.moment)
        if refusing:
            return denied_rule(context, subject.capability_id, refusing)
    if context.cedar_policies and (call.moment is Moment.CALL or _is_known(tuple(call.facts.values()))):
        question = CedarQuestion(subject=subject, arguments=call.facts, hosts=places.hosts)
        why = cedar_refusal(context.cedar_policies, question)
        if why is not None:
            return denied_cedar(context, subject.capability_id, why)
    return None


def _followed(bound: Mapping[str, Value], places: Places) -> dict[str, Value]:
    """Return the arguments with each path in the form it leads to; what is not known as a whole stays unknown."""
    facts = dict(bound)
    for name, found in places.resolved.items():
        value = facts[name]
        if not isinstance(value, tuple):
            facts[name] = found[0].path
        else:
            facts[name] = tuple(each.path for each in found) if _is_known(value) else UNKNOWN
    return facts


def _workload(context: RuntimeContext, kind: str, act: Permission, reason: Reason) -> Decision:
    return Decision(allowed=True, reason=reason, capability_id=kind, context=context, permissions=IMPLIED[act] | {kind})


def _allowing(context: RuntimeContext) -> Reason:
    return Reason.ALLOWED_UNSAFE if context.is_unsafe else Reason.ALLOWED


def _is_known(value: Value) -> bool:
    if isinstance(value, (tuple, Map)):
        return all(map(_is_known, value.values() if isinstance(value, Map) else value))
    return value is not UNKNOWN


def _known_only(bound: Mapping[str, Value]) -> dict[str, Value]:
    """Return the arguments of which something is known, without the unknown parts of vectors."""
    return {
        name: tuple(item for item in value if item is not UNKNOWN) if isinstance(value, tuple) else value
        for name, value in bound.items()
        if value is not UNKNOWN
    }
