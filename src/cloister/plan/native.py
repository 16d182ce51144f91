"""Functions of the embedding program, called and recorded like everything else that runs.

Owns the sequence: decide, record the intent, call, record the outcome. There is no isolation to speak of and no limit
that could end it: the grant is spelled `cloister.UnsafeNative`, and a context that demands any isolation refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cloister.authority.authorizer import NATIVE_WORKLOAD
from cloister.authority.context import RuntimeContext
from cloister.authority.level import IsolationLevel
from cloister.authority.permission import Permission
from cloister.errors import CloisterError, GuestError, IsolationUnavailable, quoted
from cloister.interrupts import held
from cloister.isolation.provider import Usage, WireValue
from cloister.lang.transport import decode, encode, from_python, to_python
from cloister.plan.parts import RunParts
from cloister.plan.recorder import RunRecorder, recorded
from cloister.plan.variants import NativeFunction

HOST_PROCESS: Final = "none"
"""What stands in the place of a provider."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeResult:
    """What a native function gave.

    Attributes:
        value: Its result, as data.
        usage: How long it took; nothing else of it can be measured.
        run_id: Names the run in the causal chain.
        provider: `none`.
    """

    value: Any
    usage: Usage
    run_id: str
    provider: str = HOST_PROCESS


@held()
def run_native(parts: RunParts, native: NativeFunction, context: RuntimeContext) -> NativeResult:
    """Call a native function.

    Raises:
        InputError: An argument is not data RTFS knows.
        CapabilityDenied: `cloister.UnsafeNative` is not granted.
        IsolationUnavailable: The context demands isolation.
        GuestError: `guest.native`: it raised, or gave what is no data.
        LimitExceeded: Its arguments or its result are too large.
    """
    arguments = [encode(from_python(each), context.limits) for each in native.arguments]
    run_id = parts.new_run_id()
    decision = parts.authorizer.authorize_workload(context, NATIVE_WORKLOAD, act=Permission.EXECUTE_NATIVE)
    recorder = RunRecorder(parts.chain, run_id)
    facts = {"plan": None, "provider": HOST_PROCESS, "isolation": IsolationLevel.NONE.label}
    started = recorder.run_started({**facts, "context": context.to_dict(), "native": quoted(native.name)})
    intent = recorder.call_intent(decision, (native.name, *arguments), started)

    def fail(error: CloisterError) -> None:
        recorder.call_failed(intent, NATIVE_WORKLOAD, error)
        recorder.run_failed(started, error)

    with recorded(fail):
        decision.require()
        _require_no_isolation(native, context)
        begun_ns = parts.clock.monotonic_ns()
        value = _called(native, arguments, context)
        usage = Usage(wall_us=(parts.clock.monotonic_ns() - begun_ns) // 1_000)
    recorder.call_succeeded(intent, NATIVE_WORKLOAD, value, usage)
    recorder.run_completed(started, value, usage)
    return NativeResult(value=to_python(decode(value), context.limits), usage=usage, run_id=run_id)


def _require_no_isolation(native: NativeFunction, context: RuntimeContext) -> None:
    if context.minimum_isolation > IsolationLevel.NONE:
        raise IsolationUnavailable(
            f'the native function "{quoted(native.name)}" runs in this process, at level none; '
            f"the context requires {context.minimum_isolation.label}",
            hint="write it as a plan or script, or require no isolation",
            details={"level": IsolationLevel.NONE.label, "required": context.minimum_isolation.label},
        )


def _called(native: NativeFunction, arguments: list[WireValue], context: RuntimeContext) -> WireValue:
    """Call it with data of its own, so that what was recorded is what it got."""
    given = [to_python(decode(each), context.limits) for each in arguments]
    try:
        return encode(from_python(native.function(*given)), context.limits)
    except CloisterError:
        raise
    except Exception as error:  # whatever somebody else's function raises
        raise GuestError(
            f'the native function "{quoted(native.name)}" failed: {type(error).__name__}: {quoted(str(error))}',
            code="guest.native",
            hint="its own traceback is the cause of this error",
        ) from error
