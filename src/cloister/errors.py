"""The one error tree of Cloister.

Owns every exception class the package raises on purpose, their stable codes and exit statuses, how one error carries
those that were found with it, and the rendering of an error for people. Imports nothing of the package but `spans`:
everything imports it, the guest inside a sandbox too.

Messages say what was attempted, what was allowed or expected, and where; the hint says what to do next. Text that came
from a plan, a script or a file is shortened and stripped of control characters with `quoted` before it is put in one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Final

from cloister import spans

QUOTED_CHARS_MAX: Final = spans.QUOTED_CHARS_MAX
Span = spans.Span
quoted = spans.quoted

MORE: Final = "more"
"""Where the details of an error list what else is wrong with the same text."""
ALSO_REFUSED: Final = "also_refused"
"""Where they list what else of the same plan was refused."""
FURTHER: Final = (MORE, ALSO_REFUSED)
"""Where details list errors as plain data; nothing else may be put there."""


class CloisterError(Exception):
    """Root of every error Cloister raises on purpose.

    Attributes:
        code: Stable dotted identifier, for example `denied.path`; the list is `docs/errors.md`.
        message: One sentence: what was attempted and why it failed.
        kind: For errors a plan can see: the kind of the language reference, section 3.6; otherwise None.
        span: Place in a source text, or None when there is none.
        hint: What to do next, or None when there is nothing useful to say.
        details: Further facts as plain JSON data.
        trace: Guest call stack, innermost first, as `name at source:line:column` lines; empty outside guest code.
    """

    exit_status: ClassVar[int] = 70
    default_code: ClassVar[str] = "internal.error"
    default_kind: ClassVar[str | None] = None

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        kind: str | None = None,
        span: Span | None = None,
        hint: str | None = None,
        details: Mapping[str, Any] | None = None,
        trace: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.kind = kind or self.default_kind
        self.span = span
        self.hint = hint
        self.details: dict[str, Any] = dict(details or {})
        self.trace = trace

    def to_dict(self) -> dict[str, Any]:
        """Return the error as plain JSON data: type, code, message and whatever else is known."""
        known: dict[str, Any] = {
            "kind": self.kind,
            "span": self.span.to_dict() if self.span else None,
            "hint": self.hint,
            "details": self.details or None,
            "trace": list(self.trace) or None,
        }
        head = {"type": type(self).__name__, "code": self.code, "message": self.message}
        return head | {key: value for key, value in known.items() if value is not None}

    def carry(self, others: Iterable[CloisterError], name: str = MORE) -> None:
        """List errors that were found together with this one in its details.

        Args:
            others: In the order they are to be told.
            name: One of `FURTHER`.
        """
        self.details[name] = [error.to_dict() for error in others]

    def render(self) -> str:
        """Return the error for a person: code, message, place with a caret, call stack and next step."""
        lines = [f"error[{self.code}]: {self.message}"]
        if self.span:
            lines.append(f"  --> {self.span}")
            lines.extend("   | " + line for line in self.span.excerpt().splitlines())
        lines.extend(f"   in {frame}" for frame in self.trace)
        if self.hint:
            lines.append(f"  help: {self.hint}")
        return "\n".join(lines)


def flattened(error: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the plain data of an error and of all that it carries, each without the others."""
    details = error.get("details") or {}
    own = {name: value for name, value in details.items() if name not in FURTHER}
    yield {**{name: value for name, value in error.items() if name != "details"}, **({"details": own} if own else {})}
    for name in FURTHER:
        for other in details.get(name) or ():
            yield from flattened(other)


class InputError(CloisterError):
    """What was handed in cannot be used as it is."""

    exit_status = 2
    default_code = "input.invalid"


class ReadError(InputError):
    """The text is not RTFS."""

    default_code = "read.syntax"
    default_kind = "InvalidProgram"


class CompileError(InputError):
    """The forms are not a program: an unknown name, a misshapen form."""

    default_code = "compile.form"
    default_kind = "InvalidProgram"


class PlanError(InputError):
    """The plan as a whole cannot be run as asked."""

    default_code = "plan.invalid"


class ConfigError(InputError):
    """A setting is missing, unknown or out of range."""

    default_code = "config.invalid"


class DeniedError(CloisterError):
    """The authority that was granted does not cover what was attempted."""

    exit_status = 3
    default_code = "denied.rule"
    default_kind = "SecurityViolation"


class CapabilityDenied(DeniedError):
    """The context does not allow this capability."""

    default_code = "denied.capability"


class PathDenied(DeniedError):
    """The path lies outside the granted paths, or is granted for less than was attempted."""

    default_code = "denied.path"


class EgressDenied(DeniedError):
    """The network destination is not granted."""

    default_code = "denied.egress"


class IsolationUnavailable(DeniedError):
    """The plan or context requires more isolation than the chosen provider gives."""

    default_code = "denied.isolation"


class ProfileDenied(DeniedError):
    """The profile of the step does not cover the call, or what a plan declares for a part of it does not fit."""

    default_code = "denied.profile"


class ApprovalRequired(CloisterError):
    """The run goes on only when somebody approves; it pauses. Guest code cannot catch it, and nothing is undone."""

    exit_status = 3
    default_code = "approval.required"


class RunAborted(CloisterError):
    """Whoever governs the run ended it for good. Guest code cannot catch it; steps that were done are undone."""

    exit_status = 3
    default_code = "run.aborted"


class TokenRejected(DeniedError):
    """The permission token does not cover the execution it was presented with."""

    default_code = "denied.token"


class LimitExceeded(CloisterError):
    """A resource limit was reached. Guest code cannot catch it.

    Attributes:
        limit: Field name in `ResourceLimits`, for example `memory_bytes`.
        allowed: The limit, in `unit`.
        used: What was measured when it was reached, or None when only the fact is known.
        unit: `bytes`, `ms`, `count` or `steps`.
    """

    exit_status = 4
    default_code = "limit.exceeded"

    def __init__(
        self,
        message: str,
        *,
        limit: str,
        allowed: int,
        used: int | None = None,
        unit: str,
        span: Span | None = None,
        hint: str | None = None,
        trace: tuple[str, ...] = (),
    ) -> None:
        facts = {"limit": limit, "allowed": allowed, "used": used, "unit": unit}
        code = "limit." + limit.rsplit("_", 1)[0].replace("_", "-")
        super().__init__(message, code=code, span=span, hint=hint, details=facts, trace=trace)
        self.limit, self.allowed, self.used, self.unit = limit, allowed, used, unit


class BudgetExhausted(CloisterError):
    """A budget of the run does not cover what was about to be done. Guest code cannot catch it.

    Attributes:
        dimension: Which one: `steps`, `wall`, `calls`, `egress`, `storage`, `cpu`, `tokens` or `cost`.
        policy: What follows: `hard-stop`, or `approval` when a person may extend it.
        allowed: The bound, in `unit`.
        used: How much is charged so far, or None when something could not be measured, so that nobody knows.
        asked: How much more was asked for; None when that was not known before.
        unit: `count`, `us`, `bytes` or `microusd`.
    """

    exit_status = 4
    default_code = "budget.exhausted"

    def __init__(
        self,
        message: str,
        *,
        dimension: str,
        policy: str,
        allowed: int,
        used: int | None,
        asked: int | None,
        unit: str,
        span: Span | None = None,
        hint: str | None = None,
        trace: tuple[str, ...] = (),
    ) -> None:
        facts = {
            "dimension": dimension, "policy": policy, "allowed": allowed, "used": used, "asked": asked, "unit": unit
        }  # fmt: skip
        super().__init__(message, code=f"budget.{dimension}", span=span, hint=hint, details=facts, trace=trace)
        self.dimension, self.policy, self.unit = dimension, policy, unit
        self.allowed, self.used, self.asked = allowed, used, asked


class Cancelled(CloisterError):
    """Whoever started the run asked it to end. Guest code cannot catch it."""

    exit_status = 4
    default_code = "cancelled.requested"


class GuestError(CloisterError):
    """The program failed by itself; `kind` names how, in the words of the language reference."""

    exit_status = 1
    default_code = "guest.error"
    default_kind = "Generic"


class ProviderError(CloisterError):
    """The isolation provider could not do its work."""

    exit_status = 5
    default_code = "provider.error"
    default_kind = "ResourceError"


class ProviderUnavailable(ProviderError):
    """A mechanism the provider needs is missing on this machine; the hint is the command that fixes it."""

    default_code = "provider.unavailable"


class LaunchError(ProviderError):
    """The sandbox could not be built or the program in it could not be started."""

    default_code = "provider.launch"


class GuestCrashed(ProviderError):
    """The sandboxed process died in a way its program did not choose."""

    default_code = "provider.crashed"


class WireError(ProviderError):
    """The other side of a sandbox boundary sent something that is not the protocol."""

    default_code = "provider.wire"


class CleanupError(ProviderError):
    """Something of a finished execution could not be removed."""

    default_code = "provider.cleanup"


class AuditError(CloisterError):
    """The causal chain cannot be trusted or written."""

    exit_status = 6
    default_code = "audit.error"


class AppendFailed(AuditError):
    """A record could not be written; the run must stop."""

    default_code = "audit.append"


class ChainBroken(AuditError):
    """Verification failed; the details name the first bad record."""

    default_code = "audit.broken"


class JournalError(AuditError):
    """The journal of a run cannot be trusted or written; the run must stop."""

    default_code = "journal.store"


class AttestationError(CloisterError):
    """A measurement or signature does not match what was expected."""

    exit_status = 7
    default_code = "attestation.failed"


class DigestMismatch(AttestationError):
    """The bytes are not the ones that were named."""

    default_code = "attestation.digest"


class SignatureInvalid(AttestationError):
    """The signature was not made by that key over these bytes."""

    default_code = "attestation.signature"


class KeyUnavailable(AttestationError):
    """The signing or verification key cannot be read."""

    default_code = "attestation.key"


class InternalError(CloisterError):
    """A defect in Cloister itself; please report it."""
