"""Policies in Cedar, asked beside the grants of a context.

Owns how a call is told to Cedar and what its answer means: a call passes when every policy set permits it and nothing
in them failed to evaluate. Cedar itself leaves out a policy that fails, so a prohibition with a mistake in it would be
no prohibition; here a failure refuses. An argument that Cedar has no value for refuses too, since a policy that asks
whether it is there would take it for absent.

The package `cedarpy` is imported here alone, on first use. Policies come from an operator; arguments from plans.

Source: Cedar policy language reference, "authorization" and "JSON entity format" (https://docs.cedarpolicy.com).
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cloister.authority.destination import Destination
from cloister.authority.verdict import Subject
from cloister.errors import ConfigError, quoted
from cloister.lang.values import Keyword, Map, Value, settled

if TYPE_CHECKING:
    import cedarpy

CEDAR_CHARS_MAX: Final = 262_144
"""As long as one policy text may be."""
_DEPTH_MAX: Final = 32
_DECIMAL_PLACES: Final = 4
"""Source: Cedar policy language reference, "decimal"."""
_DECIMAL_MAX: Final = 2**63 // 10**_DECIMAL_PLACES
_RESERVED: Final = "__"
"""How the escapes of the JSON format begin; a plan must not make entities of its own with them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CedarQuestion:
    """A call, as Cedar is asked about it.

    Attributes:
        subject: The capability: `resource`, with the attributes `id`, `names` and `effects`.
        arguments: By parameter name, paths as they lead: `context.arguments`.
        hosts: What it reaches; the only one is `context.url` with `scheme`, `host`, `port` and `method`.
    """

    subject: Subject
    arguments: Mapping[str, Value]
    hosts: Sequence[Destination]


class _NoValueError(Exception):
    """An argument that Cedar has no value for; its text names it."""


def check_policy(text: str) -> str:
    """Return a policy text when it can be read.

    Raises:
        ConfigError: `config.cedar` when it cannot, or permits nothing; `config.extra` when the package is missing.
    """
    if not isinstance(text, str) or not text.strip() or len(text) > CEDAR_CHARS_MAX:
        raise ConfigError(
            f"a policy in Cedar is a text of 1 to {CEDAR_CHARS_MAX} characters",
            code="config.cedar",
            hint="write permit and forbid policies; an empty one would refuse everything",
        )
    _policies(text)
    return text


def cedar_refusal(policies: Sequence[str], question: CedarQuestion) -> str | None:
    """Return why a call is refused, or None when every policy set permits it.

    Args:
        policies: Each is asked on its own.
        question: The call.

    Raises:
        ConfigError: As for `check_policy`.
    """
    try:
        request, entities = _request(question)
    except _NoValueError as error:
        return f"{error} cannot be told to Cedar"
    for text in policies:
        refused = _asked(_policies(text), request, entities)
        if refused is not None:
            return refused
    return None


def _asked(policies: cedarpy.PolicySet, request: dict[str, Any], entities: list[dict[str, Any]]) -> str | None:
    import cedarpy  # noqa: PLC0415

    answer = cedarpy.is_authorized(request, policies, entities)
    if answer.diagnostics.errors:
        return f"a policy failed: {quoted(str(answer.diagnostics.errors[0]))}"
    if answer.allowed:
        return None
    said = answer.diagnostics.id_annotations_by_reason
    names = sorted(said.get(reason) or reason for reason in answer.diagnostics.reasons)
    return f"forbidden by {', '.join(names)}" if names else "nothing permits it"


@functools.lru_cache(maxsize=64)
def _policies(text: str) -> cedarpy.PolicySet:
    """Return the policies of a text, read once."""
    try:
        import cedarpy  # noqa: PLC0415
    except ImportError as error:
        raise ConfigError(
            "policies in Cedar need the package cedarpy",
            code="config.extra",
            hint="pip install 'cloister[cedar]'",
        ) from error
    try:
        return cedarpy.PolicySet.from_str(text)
    except ValueError as error:
        raise ConfigError(
            f"a policy in Cedar cannot be read: {quoted(str(error))}",
            code="config.cedar",
            hint="look at what [cedar] in the policy gives: each policy ends with ;, for example "
            "permit(principal, action, resource);",
        ) from error


def _request(question: CedarQuestion) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    subject = question.subject
    resource = {"type": "Capability", "id": subject.capability_id}
    context: dict[str, Any] = {
        "arguments": {
            name: _value(value, f"argument {name}", _DEPTH_MAX)
            for name, value in question.arguments.items()
            if value is not None
        }
    }
    if len(question.hosts) > 1:
        raise _NoValueError("a call of several URLs")
    for place in question.hosts:
        context["url"] = {"scheme": place.scheme, "host": place.host, "port": place.port, "method": place.method}
    request = {
        "principal": {"type": "Run", "id": "run"},
        "action": {"type": "Action", "id": "call"},
        "resource": resource,
        "context": context,
    }
    attributes = {"id": subject.capability_id, "names": sorted(subject.names), "effects": sorted(subject.effects)}
    return request, [{"uid": resource, "attrs": attributes, "parents": []}]


def _value(value: Value, where: str, depth: int) -> Any:
    value = settled(value)
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return value
    if isinstance(value, Keyword):
        return value.name
    if isinstance(value, float):
        return _number(value, where)
    if depth and isinstance(value, Map):
        return _record(value, where, depth)
    if depth and isinstance(value, tuple):
        return [_value(item, where, depth - 1) for item in value]
    raise _NoValueError(where)


def _record(value: Map, where: str, depth: int) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for key, item in value.items():
        name = key.name if isinstance(key, Keyword) else key
        if not isinstance(name, str) or name.startswith(_RESERVED) or name in record:
            raise _NoValueError(f"a key of {where}")
        if item is not None:
            record[name] = _value(item, f"{where}.{quoted(name)}", depth - 1)
    return record


def _number(value: float, where: str) -> Any:
    if value.is_integer() and abs(value) < 2**63:
        return int(value)
    text = f"{value:.{_DECIMAL_PLACES}f}"
    if not abs(value) < _DECIMAL_MAX or float(text) != value:
        raise _NoValueError(where)
    return {"__extn": {"fn": "decimal", "arg": text}}
