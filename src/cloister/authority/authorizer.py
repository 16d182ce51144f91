"""Decides whether a context allows a call.

Owns the order of the checks: is the capability known, is it granted, do the arguments fit, is every path and variable
they name granted. Decides purely: no clock, no files (a `PathResolver` is handed in), no state. Whatever is not known
to be allowed is refused. Calls come from plans and are hostile; contexts come from the operator and are trusted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final

from cloister.authority.capability import AccessKind, CapabilitySpec
from cloister.authority.context import RuntimeContext, SecurityLevel
from cloister.authority.decision import Decision, Reason
from cloister.authority.denials import (
    PathQuestion,
    denied_capability,
    denied_computed,
    denied_path,
    denied_unknown,
    denied_variable,
)
from cloister.authority.permission import IMPLIED, Permission
from cloister.authority.policy import PathResolver, ResolvedPath, covering_root, is_canonical, is_kernel_path, touches
from cloister.authority.registry import CapabilityRegistry
from cloister.errors import GuestError, InternalError, quoted
from cloister.lang.effects import UNKNOWN
from cloister.lang.values import Value

__all__ = ["Decision", "PathResolver", "Reason", "ResolvedPath", "SecurityAuthorizer"]

PLAN_WORKLOAD: Final = "cloister.plan"
EXEC_WORKLOAD: Final = "cloister.exec"
NATIVE_WORKLOAD: Final = "cloister.UnsafeNative"
_FILES: Final = frozenset({Permission.FILE_ACCESS.value})
_VARIABLES: Final = frozenset({Permission.ENVIRONMENT.value})


class SecurityAuthorizer:
    """The one place where calls are allowed or refused.

    Args:
        registry: The capabilities there are.
        resolver: Says where paths lead.
        protected: Canonical paths of trees that no grant opens, nor any tree around them: the record and its keys.
    """

    __slots__ = ("_protected", "_registry", "_resolver")

    def __init__(
        self, registry: CapabilityRegistry, resolver: PathResolver, *, protected: Collection[str] = ()
    ) -> None:
        self._registry = registry
        self._resolver = resolver
        self._protected = tuple(protected)

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
        if not self._is_granted(context, spec.id):
            return denied_capability(context, spec.id)
        return self._decide_bound(context, spec, spec.bind(arguments))

    def _decide_bound(self, context: RuntimeContext, spec: CapabilitySpec, bound: dict[str, Value]) -> Decision:
        if spec.access:
            return self._decide_access(context, spec, bound)
        return Decision(
            allowed=True,
            reason=_allowing(context),
            capability_id=spec.id,
            context=context,
            permissions=spec.permissions,
            arguments=bound,
        )

    def require(self, context: RuntimeContext, capability_id: str, arguments: Sequence[Value]) -> Decision:
        """Decide one call and raise unless it is allowed.

        Raises:
            CapabilityDenied: The capability or a variable is not granted, or not known.
            PathDenied: A path is not granted.
            GuestError: The arguments do not fit.
        """
        return self.authorize(context, capability_id, arguments).require()

    def foresee(self, context: RuntimeContext, capability_id: str, outline: Sequence[Value]) -> Decision:
        """Decide a call before the run, from what is known of its arguments.

        An allowing decision carries no permissions: it is an answer for admission, not leave to execute anything.

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
        if not self._is_granted(context, spec.id):
            return denied_capability(context, spec.id)
        return replace(self._decide_bound(context, spec, _known_only(bound)), permissions=frozenset())

    def authorize_computed(self, context: RuntimeContext) -> Decision:
        """Decide whether a program may compute capability ids at run time. Each computed id is still checked."""
        if not context.allow_computed:
            return denied_computed(context)
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
                name and sees whatever the process sees.
            act: What is executed under `cloister.exec`. One grant covers both acts, since a script can start any
                program that a command could be; the permission that comes out of it covers the one asked for.

        Raises:
            InternalError: For another kind.
        """
        if kind == PLAN_WORKLOAD:
            return Decision(
                allowed=True,
                reason=Reason.ALLOWED,
                capability_id=kind,
                context=context,
                permissions=IMPLIED[Permission.EXECUTE_PLAN] | {kind},
            )
        if kind not in {EXEC_WORKLOAD, NATIVE_WORKLOAD}:
            raise InternalError(f'there is no workload "{quoted(kind)}"')
        if not self._is_granted(context, kind):
            return denied_capability(context, kind)
        if kind == NATIVE_WORKLOAD:
            return Decision(
                allowed=True,
                reason=_allowing(context),
                capability_id=kind,
                context=context,
                permissions=IMPLIED[Permission.EXECUTE_NATIVE] | {kind},
            )
        for path in (*context.read_paths, *context.write_paths):
            if touches(path, self._protected):
                question = PathQuestion(context=context, capability_id=kind, text=path, kind=AccessKind.READ)
                return denied_path(question, Reason.PATH_PROTECTED)
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

    def _is_granted(self, context: RuntimeContext, capability_id: str) -> bool:
        match context.level:
            case SecurityLevel.CONTROLLED:
                granted = context.capabilities
                return capability_id in granted or not granted.isdisjoint(self._registry.names(capability_id))
            case SecurityLevel.UNSAFE_EVERYTHING:
                return True
            case _:
                return False

    def _decide_access(self, context: RuntimeContext, spec: CapabilitySpec, bound: dict[str, Value]) -> Decision:
        paths: dict[AccessKind, list[str]] = {AccessKind.READ: [], AccessKind.WRITE: []}
        names: list[str] = []
        resolved: dict[str, tuple[ResolvedPath, ...]] = {}
        for access in spec.access:
            for text in _texts(spec, access.parameter, bound):
                if access.kind is AccessKind.ENVIRONMENT:
                    if not context.is_unsafe and text not in context.environment_names:
                        return denied_variable(context, spec.id, text)
                    names.append(text)
                    continue
                answer = self._decide_path(context, spec.id, text, access.kind)
                if isinstance(answer, Decision):
                    return answer
                paths[access.kind].append(answer.path)
                resolved[access.parameter] = (*resolved.get(access.parameter, ()), answer)
        permissions = spec.permissions
        if resolved:
            permissions |= _FILES
        if names:
            permissions |= _VARIABLES
        return Decision(
            allowed=True,
            reason=_allowing(context),
            capability_id=spec.id,
            context=context,
            permissions=permissions,
            read_paths=tuple(paths[AccessKind.READ]),
            write_paths=tuple(paths[AccessKind.WRITE]),
            environment=tuple(names),
            arguments=bound,
            resolved=resolved,
        )

    def _decide_path(
        self, context: RuntimeContext, capability_id: str, text: str, kind: AccessKind
    ) -> ResolvedPath | Decision:
        """Return where a granted path leads, or the denial."""
        question = PathQuestion(context=context, capability_id=capability_id, text=text, kind=kind)
        if not text or "\0" in text:
            return denied_path(question, Reason.PATH_INVALID)
        if is_kernel_path(question.lexical):
            # Before resolving: following /proc/self/root would lead back to an ordinary path
            return denied_path(question, Reason.PATH_KERNEL)
        try:
            # POSIX leaves the meaning of two leading slashes open, and Python keeps them; on Linux they are one
            plain = "/" + text.lstrip("/") if text.startswith("//") else text
            found = self._resolver.resolve(plain, context.readable_paths)
        except (OSError, ValueError):
            return denied_path(question, Reason.PATH_UNRESOLVED)
        if not is_canonical(found.path):
            raise InternalError(f'the path resolver answered "{quoted(found.path)}", which is not canonical')
        if is_kernel_path(found.path):
            return denied_path(question, Reason.PATH_KERNEL)
        if touches(found.path, self._protected):
            return denied_path(question, Reason.PATH_PROTECTED)
        roots = context.writable_paths if kind is AccessKind.WRITE else context.readable_paths
        # A new file is decided by its own path: below a granted root its parent is too, and a granted path may be made
        if covering_root(found.path, roots) is None:
            return denied_path(question, Reason.PATH, found)
        return found


def _allowing(context: RuntimeContext) -> Reason:
    return Reason.ALLOWED_UNSAFE if context.is_unsafe else Reason.ALLOWED


def _known_only(bound: dict[str, Value]) -> dict[str, Value]:
    """Return the arguments of which something is known, without the unknown parts of vectors."""
    return {
        name: tuple(item for item in value if item is not UNKNOWN) if isinstance(value, tuple) else value
        for name, value in bound.items()
        if value is not UNKNOWN
    }


def _texts(spec: CapabilitySpec, parameter: str, bound: dict[str, Value]) -> Iterator[str]:
    """Yield the texts an argument names places by; nothing when an optional one is absent."""
    value = bound.get(parameter)
    if value is None:
        return
    for item in value if isinstance(value, tuple) else (value,):
        if not isinstance(item, str):
            raise GuestError(
                f"Type error in {spec.id}: expected texts in {parameter}, got something else among them",
                kind="TypeError",
                code="guest.type",
            )
        yield item
