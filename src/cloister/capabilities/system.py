"""Capabilities over time, environment and the console.

Owns `ccos.system.*` and the printing `ccos.io.log`, `print` and `println`. Time comes from the run's clock; a
variable is read inside a sandbox whose environment holds that variable and no other of the host's.
"""

from __future__ import annotations

from typing import Final

from cloister.authority.capability import Access, AccessKind, CapabilitySpec, Parameter, ParameterType
from cloister.capabilities.capability import Capability, Invocation
from cloister.capabilities.contracts import READS_SECRETS, SHOWS, TELLS_TIME
from cloister.errors import GuestError
from cloister.isolation.provider import GuestOperation
from cloister.lang.printer import to_display
from cloister.lang.transport import decode
from cloister.lang.values import Value

SLEEP_MS_MAX: Final = 60_000


def _get_env(call: Invocation) -> Value:
    name = call.arguments["name"]
    shown = {key: value for key, value in call.context.environment if key in call.decision.environment}
    workload = GuestOperation(name="get_environment", arguments={"name": name})
    return decode(call.sandbox.execute(workload, environment=shown).value)


def _current_time(call: Invocation) -> Value:
    return int(call.clock.now().timestamp())


def _current_timestamp_ms(call: Invocation) -> Value:
    moment = call.clock.now()
    return int(moment.timestamp()) * 1000 + moment.microsecond // 1000


def _sleep_ms(call: Invocation) -> Value:
    milliseconds = call.arguments["milliseconds"]
    if not 0 <= milliseconds <= SLEEP_MS_MAX:
        raise GuestError(
            f"cannot sleep for {milliseconds} ms; between 0 and {SLEEP_MS_MAX} ms is allowed",
            kind="InvalidArgument",
            code="guest.argument",
            hint="sleep several times",
        )
    call.clock.pause_ms(min(milliseconds, call.state.time_left_ms()))
    call.state.time_left_ms()
    return None


def _print_line(call: Invocation) -> Value:
    call.state.console(" ".join(to_display(value) for value in call.arguments["values"]))
    return None


_NAME: Final = Parameter(name="name", type=ParameterType.TEXT, doc="Name of the variable.")
_MILLISECONDS: Final = Parameter(name="milliseconds", type=ParameterType.INTEGER, doc="How long, from 0.")
_VALUES: Final = Parameter(name="values", type=ParameterType.ANY, doc="Values to show, separated by blanks.")


def _console(name: str, summary: str, aliases: tuple[str, ...] = ()) -> Capability:
    spec = CapabilitySpec(
        id=f"ccos.io.{name}",
        summary=summary,
        parameters=(_VALUES,),
        returns="nil",
        result=":nil",
        effects=frozenset({":compute"}),
        contract=SHOWS,
        variadic=True,
    )
    return Capability(spec=spec, run=_print_line, aliases=aliases)


SYSTEM_CAPABILITIES: Final = (
    Capability(
        spec=CapabilitySpec(
            id="ccos.system.get-env",
            summary="Return a granted environment variable, or nil when it is not set.",
            parameters=(_NAME,),
            returns="text or nil",
            result=":string?",
            effects=frozenset({":system"}),
            contract=READS_SECRETS,
            permission="ccos.system.environment",
            access=(Access(parameter="name", kind=AccessKind.ENVIRONMENT),),
        ),
        run=_get_env,
    ),
    Capability(
        spec=CapabilitySpec(
            id="ccos.system.current-time",
            summary="Return the time in seconds since 1970-01-01 UTC.",
            parameters=(),
            returns="integer",
            result=":int",
            effects=frozenset({":system"}),
            contract=TELLS_TIME,
        ),
        run=_current_time,
    ),
    Capability(
        spec=CapabilitySpec(
            id="ccos.system.current-timestamp-ms",
            summary="Return the time in milliseconds since 1970-01-01 UTC.",
            parameters=(),
            returns="integer",
            result=":int",
            effects=frozenset({":system"}),
            contract=TELLS_TIME,
        ),
        run=_current_timestamp_ms,
    ),
    Capability(
        spec=CapabilitySpec(
            id="ccos.system.sleep-ms",
            summary="Wait.",
            parameters=(_MILLISECONDS,),
            returns="nil",
            result=":nil",
            effects=frozenset({":system"}),
            contract=SHOWS,
        ),
        run=_sleep_ms,
    ),
    _console("log", "Show values on the console."),
    _console("print", "Show values on the console."),
    _console("println", "Show values on the console."),
)
