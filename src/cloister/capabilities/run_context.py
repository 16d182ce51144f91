"""Capabilities over the context of the run: what it is told about itself, and what it hands to the next plan.

Owns `ccos.context.*`. Both are memory of the run: nothing here touches the world. What a plan hands over is data and no
authority; it is bounded as cross-plan parameters are.
"""

from __future__ import annotations

from typing import Any, Final

from cloister.authority.authorizer import Decision
from cloister.authority.capability import CapabilitySpec, Parameter, ParameterType
from cloister.authority.parameters import checked_parameters
from cloister.capabilities.capability import Capability, Invocation, RunState
from cloister.capabilities.contracts import SHOWS
from cloister.errors import CapabilityDenied, ConfigError, GuestError, InputError
from cloister.isolation.provider import WireValue
from cloister.lang.transport import from_python, to_python
from cloister.lang.values import Keyword, Map, Value


def _set(call: Invocation) -> Value:
    name, value = call.arguments["name"], to_python(call.arguments["value"], call.context.limits)
    kept = {**call.state.parameters, name: value}
    try:
        checked_parameters(kept)
    except ConfigError as error:
        raise GuestError(error.message, kind="InvalidArgument", code="guest.parameter", hint=error.hint) from error
    call.state.parameters[name] = value
    call.state.memo = {"name": name, "value": value}
    return None


def _restore_set(state: RunState, decision: Decision, answer: Value, memo: WireValue) -> None:
    del decision, answer
    state.parameters[memo["name"]] = memo["value"]


def _snapshot(call: Invocation) -> Value:
    if call.exposed is None:
        raise CapabilityDenied(
            "the context of the run is not exposed to ccos.context.snapshot",
            code="denied.exposure",
            hint="expose it in a policy file with [expose] capabilities = ['ccos.context.snapshot']",
        )
    return Map((Keyword(name), _value(item)) for name, item in call.exposed.items())


def _value(item: Any) -> Value:
    try:
        return from_python(item)
    except InputError as error:
        raise GuestError(error.message, kind="TypeError", code=error.code, hint=error.hint) from error


CONTEXT_CAPABILITIES: Final = (
    Capability(
        spec=CapabilitySpec(
            id="ccos.context.set",
            summary="Keep a value for the next plan; the result of the run has it.",
            parameters=(
                Parameter(name="name", type=ParameterType.TEXT, doc="Letters, digits and _ . - up to 100."),
                Parameter(name="value", type=ParameterType.ANY, doc="Plain data without floats."),
            ),
            returns="nil",
            result=":nil",
            effects=frozenset({":state"}),
            contract=SHOWS,
        ),
        run=_set,
        restore=_restore_set,
    ),
    Capability(
        spec=CapabilitySpec(
            id="ccos.context.snapshot",
            summary="Return what the run may know of itself: plan, intent, step, digest of the inputs, kept values.",
            parameters=(),
            returns="map",
            result=":map",
            effects=frozenset({":compute"}),
            contract=SHOWS,
        ),
        run=_snapshot,
    ),
)
