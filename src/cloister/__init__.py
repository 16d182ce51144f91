"""Cloister runs plans and code written by AI agents with exactly the authority they were granted.

Owns the public names of the package. They are loaded when they are first used, so that `import cloister` costs almost
nothing and the guest inside a sandbox loads only its own small part.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from cloister.version import VERSION

if TYPE_CHECKING:
    from cloister.authority.context import RuntimeContext, SecurityLevel
    from cloister.authority.level import IsolationLevel
    from cloister.errors import (
        ApprovalRequired,
        AttestationError,
        AuditError,
        BudgetExhausted,
        Cancelled,
        CapabilityDenied,
        CloisterError,
        DeniedError,
        GuestCrashed,
        GuestError,
        InputError,
        LimitExceeded,
        PathDenied,
        ProviderError,
        ProviderUnavailable,
        ReadError,
        RunAborted,
    )
    from cloister.isolation.provider import ExecutionResult, ExternalProgram, Usage
    from cloister.lang.cancellation import Cancellation
    from cloister.lang.evaluate import evaluate
    from cloister.lang.printer import to_text
    from cloister.lang.program import Program
    from cloister.lang.values import Keyword, Symbol
    from cloister.limits import ResourceLimits
    from cloister.plan.approvals.approver import ApprovalAnswer, Approver
    from cloister.plan.approvals.desk import Approval
    from cloister.plan.observer import RunObserver
    from cloister.plan.result import RunResult, ScriptResult
    from cloister.plan.session import Session
    from cloister.plan.variants import Binary, NativeFunction, RtfsAst, RtfsBytecode, RtfsSource, ScriptProgram
    from cloister.runtime import Runtime

__version__ = VERSION

_HOMES: Final = {
    "cloister.authority.context": ("RuntimeContext", "SecurityLevel"),
    "cloister.authority.level": ("IsolationLevel",),
    "cloister.errors": (
        "ApprovalRequired",
        "AttestationError",
        "AuditError",
        "BudgetExhausted",
        "Cancelled",
        "CapabilityDenied",
        "CloisterError",
        "DeniedError",
        "GuestCrashed",
        "GuestError",
        "InputError",
        "LimitExceeded",
        "PathDenied",
        "ProviderError",
        "ProviderUnavailable",
        "ReadError",
        "RunAborted",
    ),
    "cloister.isolation.provider": ("ExecutionResult", "ExternalProgram", "Usage"),
    "cloister.lang.cancellation": ("Cancellation",),
    "cloister.lang.evaluate": ("evaluate",),
    "cloister.lang.printer": ("to_text",),
    "cloister.lang.program": ("Program",),
    "cloister.lang.values": ("Keyword", "Symbol"),
    "cloister.limits": ("ResourceLimits",),
    "cloister.plan.approvals.approver": ("ApprovalAnswer", "Approver"),
    "cloister.plan.approvals.desk": ("Approval",),
    "cloister.plan.observer": ("RunObserver",),
    "cloister.plan.result": ("RunResult", "ScriptResult"),
    "cloister.plan.session": ("Session",),
    "cloister.plan.variants": (
        "Binary",
        "NativeFunction",
        "RtfsAst",
        "RtfsBytecode",
        "RtfsSource",
        "ScriptProgram",
    ),
    "cloister.runtime": ("Runtime",),
}
_HOME_OF: Final = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Approval",
    "ApprovalAnswer",
    "ApprovalRequired",
    "Approver",
    "AttestationError",
    "AuditError",
    "Binary",
    "BudgetExhausted",
    "Cancellation",
    "Cancelled",
    "CapabilityDenied",
    "CloisterError",
    "DeniedError",
    "ExecutionResult",
    "ExternalProgram",
    "GuestCrashed",
    "GuestError",
    "InputError",
    "IsolationLevel",
    "Keyword",
    "LimitExceeded",
    "NativeFunction",
    "PathDenied",
    "Program",
    "ProviderError",
    "ProviderUnavailable",
    "ReadError",
    "ResourceLimits",
    "RtfsAst",
    "RtfsBytecode",
    "RtfsSource",
    "RunAborted",
    "RunObserver",
    "RunResult",
    "Runtime",
    "RuntimeContext",
    "ScriptProgram",
    "ScriptResult",
    "SecurityLevel",
    "Session",
    "Symbol",
    "Usage",
    "__version__",
    "evaluate",
    "to_text",
]


if not TYPE_CHECKING:  # a type checker must not take every misspelt name for a public one

    def __getattr__(name: str) -> Any:
        """Load a public name on first use (PEP 562)."""
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module 'cloister' has no attribute {name!r}")
        value = getattr(import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
