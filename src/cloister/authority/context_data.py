"""A context as plain data, and back.

Owns the form in which a context is recorded and handed to another process: texts, integers, booleans, lists and maps.
Values of variables never are in it, nor a digest of them: who can guess a value could check the guess against a record.
Parts that are as they are by default are left out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from cloister.authority.exposure import ContextExposure
from cloister.authority.hosts import HostRule
from cloister.authority.level import IsolationLevel, SecurityLevel, StepIsolation
from cloister.authority.rules import parse_rules
from cloister.errors import CloisterError, ConfigError
from cloister.limits import ResourceLimits

if TYPE_CHECKING:
    from cloister.authority.context import RuntimeContext

_ALWAYS: Final = frozenset(
    {
        "level", "capabilities", "read_paths", "write_paths", "environment", "limits", "minimum_isolation",
        "allow_computed",
    }
)  # fmt: skip


def context_data(context: RuntimeContext) -> dict[str, Any]:
    """Return a context as plain data."""
    always = {
        "level": context.level.value,
        "capabilities": sorted(context.capabilities),
        "read_paths": list(context.read_paths),
        "write_paths": list(context.write_paths),
        "environment": list(context.environment_names),
        "limits": context.limits.to_dict(),
        "minimum_isolation": context.minimum_isolation.name.lower(),
        "allow_computed": context.allow_computed,
    }
    further: dict[str, Any] = {
        "patterns": sorted(context.patterns),
        "denied": sorted(context.denied),
        "denied_effects": sorted(context.denied_effects),
        "hosts": [rule.to_dict() for rule in context.hosts],
        "denied_hosts": [rule.to_dict() for rule in context.denied_hosts],
        "rules": [[rule.to_dict() for rule in layer] for layer in context.rules],
        "cedar_policies": list(context.cedar_policies),
        "exposures": [each.to_dict() for each in context.exposures],
        "parameters": dict(context.encoded_parameters),
        "parent_id": context.parent_id,
    }
    known = always | {name: value for name, value in further.items() if value}
    if context.allowed_effects is not None:
        known["allowed_effects"] = sorted(context.allowed_effects)
    if context.step_isolation != frozenset(StepIsolation):
        known["step_isolation"] = sorted(way.value for way in context.step_isolation)
    return known


def context_fields(data: Mapping[str, Any], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields of a context from what `context_data` gave.

    Args:
        data: Not trusted to be well formed.
        environment: The values of exactly the variables the data names.

    Raises:
        ConfigError: `config.context` for data of another form; `config.environment` for other variables; and as for
            the parts.
    """
    try:
        fields = _fields(data)
    except CloisterError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"this is no context: {type(error).__name__}", code="config.context") from error
    if sorted(environment) != sorted(data["environment"]):
        raise ConfigError(
            "the variables given for a context are not those it names",
            code="config.environment",
            hint="give a value for each of: " + (", ".join(sorted(data["environment"])) or "none"),
        )
    return fields | {"environment": tuple(environment.items())}


def _fields(data: Mapping[str, Any]) -> dict[str, Any]:
    if not data.keys() >= _ALWAYS or not data.keys() <= _ALWAYS | _READERS.keys():
        raise ConfigError("this is no context: its parts are not those of one", code="config.context")
    fields: dict[str, Any] = {
        "level": SecurityLevel(data["level"]),
        "capabilities": frozenset(data["capabilities"]),
        "read_paths": tuple(data["read_paths"]),
        "write_paths": tuple(data["write_paths"]),
        "limits": ResourceLimits(**data["limits"]),
        "minimum_isolation": IsolationLevel[data["minimum_isolation"].upper().replace("-", "_")],
        "allow_computed": data["allow_computed"],
    }
    if not isinstance(data["allow_computed"], bool) or any(isinstance(data[name], str) for name in _LISTS):
        raise TypeError
    renamed = {"parameters": "encoded_parameters"}
    return fields | {renamed.get(name, name): read(data[name]) for name, read in _READERS.items() if name in data}


_LISTS: Final = ("capabilities", "read_paths", "write_paths", "environment")


def _names(found: Any) -> frozenset[str]:
    if not isinstance(found, list):
        raise TypeError
    return frozenset(found)


def _texts(found: Any) -> tuple[str, ...]:
    if not isinstance(found, list) or not all(isinstance(item, str) for item in found):
        raise TypeError
    return tuple(found)


_READERS: Final[Mapping[str, Any]] = {
    "patterns": _names,
    "denied": _names,
    "denied_effects": _names,
    "allowed_effects": _names,
    "hosts": lambda found: tuple(map(HostRule.from_dict, found)),
    "denied_hosts": lambda found: tuple(map(HostRule.from_dict, found)),
    "rules": lambda found: tuple(map(parse_rules, found)),
    "cedar_policies": _texts,
    "exposures": lambda found: tuple(map(ContextExposure.from_dict, found)),
    "parameters": lambda found: tuple(sorted(found.items())),
    "step_isolation": lambda found: frozenset(map(StepIsolation, _names(found))),
    "parent_id": str,
}
