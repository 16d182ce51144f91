"""A policy as an operator writes it down.

Owns the tables and keys of a policy and what each may hold; the parts are checked where they are made. A document is
plain data: it holds paths as they were written and names of variables without values, because following links and
reading the environment are not the authority's. Nothing in it is granted before a context is made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any, Final

from cloister.authority.cedar import check_policy
from cloister.authority.context_checks import checked_effects, checked_patterns, refuse_contradictions, split_grants
from cloister.authority.exposure import ContextExposure
from cloister.authority.hosts import HostRule, checked_hosts
from cloister.authority.level import StepIsolation
from cloister.authority.parameters import checked_parameters
from cloister.authority.rules import AccessRule, parse_rules
from cloister.canonical import Plain
from cloister.errors import ConfigError, quoted


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyDocument:
    """What a policy says; every part may be missing, and nothing is granted by leaving something out.

    Attributes:
        capabilities: Ids and globs that are granted.
        denied: Ids and globs that are denied.
        allowed_effects: Effects that are allowed; None when every effect is.
        denied_effects: Effects that are denied.
        read: Paths as they were written.
        write: Paths as they were written.
        hosts: Places on the network that are granted.
        denied_hosts: Places that are denied.
        variables: Names of variables that are granted.
        allow_computed: Whether capability ids may be computed.
        rules: Rules over arguments.
        cedar: A policy in Cedar, or None.
        cedar_file: The path of a file with one, as it was written, or None.
        limits: Limits by name, each a text with a unit or a whole number.
        minimum_isolation: Name of the weakest acceptable isolation, or None.
        step_isolation: Ways in which a step may be isolated; None when all may be asked for.
        expose: Who may be told about the run, or None.
        parameters: Cross-plan parameters.
    """

    capabilities: tuple[str, ...] = ()
    denied: tuple[str, ...] = ()
    allowed_effects: tuple[str, ...] | None = None
    denied_effects: tuple[str, ...] = ()
    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    hosts: tuple[HostRule, ...] = ()
    denied_hosts: tuple[HostRule, ...] = ()
    variables: tuple[str, ...] = ()
    allow_computed: bool = False
    rules: tuple[AccessRule, ...] = ()
    cedar: str | None = None
    cedar_file: str | None = None
    limits: Mapping[str, str | int] = field(default_factory=dict)
    minimum_isolation: str | None = None
    step_isolation: tuple[StepIsolation, ...] | None = None
    expose: ContextExposure | None = None
    parameters: Mapping[str, Plain] = field(default_factory=dict)


def parse_document(data: Any) -> PolicyDocument:
    """Return a policy from plain data, as it is read from TOML or JSON.

    Args:
        data: Tables `allow`, `deny`, `rules`, `cedar`, `limits`, `isolation`, `expose`, `parameters`.

    Raises:
        ConfigError: `config.policy` for what a policy does not have; otherwise the code of the part that is wrong, and
            `config.contradiction` for the very same thing granted and denied.
    """
    table = _table(data, "a policy", _TABLES)
    fields: dict[str, Any] = {}
    for name, parse in _TABLES.items():
        if name in table:
            fields |= parse(table[name])
    document = PolicyDocument(**fields)
    refuse_contradictions(
        granted=document.capabilities,
        denied=document.denied,
        allowed_effects=document.allowed_effects or (),
        denied_effects=document.denied_effects,
        hosts=document.hosts,
        denied_hosts=document.denied_hosts,
    )
    return document


def _allow(data: Any) -> dict[str, Any]:
    keys = ("capabilities", "effects", "read", "write", "hosts", "variables", "computed")
    table = _table(data, "[allow]", keys)
    exact, patterns = split_grants(_texts(table, "capabilities"))
    computed = table.get("computed", False)
    if not isinstance(computed, bool):
        raise _wrong("computed in [allow] is not true or false", "write computed = true or leave it out")
    return {
        "capabilities": tuple(sorted(exact | patterns)),
        "allowed_effects": tuple(sorted(checked_effects(_texts(table, "effects")))) if "effects" in table else None,
        "read": _paths(table, "read"),
        "write": _paths(table, "write"),
        "hosts": checked_hosts(_texts(table, "hosts")),
        "variables": _names(table, "variables"),
        "allow_computed": computed,
    }


def _paths(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = _texts(table, name)
    if not all(text and "\0" not in text for text in found):
        raise _wrong(f"{name} in [allow] has a text that is no path", 'write "." for the directory of the policy')
    return found


def _names(table: Mapping[str, Any], name: str) -> tuple[str, ...]:
    found = _texts(table, name)
    odd = next((text for text in found if not text or "=" in text or "\0" in text), None)
    if odd is not None:
        raise _wrong(
            f"{name} in [allow] has {quoted(odd)}, which is no name of a variable",
            "name it alone; its value is that of the process that starts, or given with --env NAME=VALUE",
        )
    return found


def _deny(data: Any) -> dict[str, Any]:
    table = _table(data, "[deny]", ("capabilities", "effects", "hosts"))
    return {
        "denied": tuple(sorted(checked_patterns(_texts(table, "capabilities"), denying=True))),
        "denied_effects": tuple(sorted(checked_effects(_texts(table, "effects")))),
        "denied_hosts": checked_hosts(_texts(table, "hosts"), denying=True),
    }


def _cedar(data: Any) -> dict[str, Any]:
    table = _table(data, "[cedar]", ("text", "file"))
    if len(table) != 1 or not all(isinstance(value, str) for value in table.values()):
        raise _wrong("[cedar] has neither text nor file alone", "give the policy as text, or the path of its file")
    text = table.get("text")
    if "\0" in table.get("file", "") or table.get("file") == "":
        raise _wrong("file in [cedar] is no path", "name the file beside the policy")
    return {"cedar": None if text is None else check_policy(text), "cedar_file": table.get("file")}


def _limits(data: Any) -> dict[str, Any]:
    for name, value in _table(data, "[limits]", None).items():
        if isinstance(value, bool) or not isinstance(value, (str, int)):
            raise _wrong(f"limit {quoted(name)} is no text or whole number", 'write for example wall-ms = "30s"')
    return {"limits": MappingProxyType(dict(data))}


def _isolation(data: Any) -> dict[str, Any]:
    table = _table(data, "[isolation]", ("minimum", "steps"))
    minimum, known = table.get("minimum"), {way.value: way for way in StepIsolation}
    if minimum is not None and not isinstance(minimum, str):
        raise _wrong("minimum in [isolation] is no text", 'write for example minimum = "process"')
    steps = _texts(table, "steps") if "steps" in table else None
    unknown = next((name for name in steps or () if name not in known), None)
    if unknown is not None:
        raise _wrong(f"no step can be isolated as {quoted(unknown)}", "the ways are " + ", ".join(known))
    return {
        "minimum_isolation": minimum,
        "step_isolation": None if steps is None else tuple(known[name] for name in steps),
    }


def _parameters(data: Any) -> dict[str, Any]:
    table = _table(data, "[parameters]", None)
    checked_parameters(table)
    return {"parameters": MappingProxyType(dict(table))}


_TABLES: Final[Mapping[str, Callable[[Any], dict[str, Any]]]] = MappingProxyType(
    {
        "allow": _allow,
        "deny": _deny,
        "rules": lambda data: {"rules": parse_rules(data)},
        "cedar": _cedar,
        "limits": _limits,
        "isolation": _isolation,
        "expose": lambda data: {"expose": ContextExposure.from_dict(data)},
        "parameters": _parameters,
    }
)


def _table(data: Any, what: str, keys: Any) -> Mapping[str, Any]:
    """Return a table when it has no other keys; None for the keys takes any."""
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        raise _wrong(f"{what} is no table", "see docs/policies.md")
    unknown = next((key for key in data if keys is not None and key not in keys), None)
    if unknown is not None:
        close = get_close_matches(unknown[:100], tuple(keys), 1)
        hint = f"did you mean {close[0]}?" if close else "it has " + ", ".join(keys)
        raise _wrong(f'"{quoted(unknown)}" is nothing {what} has', hint)
    return data


def _texts(table: Mapping[str, Any], key: str) -> tuple[str, ...]:
    found = table.get(key, [])
    if not isinstance(found, (list, tuple)) or not all(isinstance(item, str) for item in found):
        raise _wrong(f"{key} is no list of texts", f'write {key} = ["…"]')
    return tuple(found)


def _wrong(message: str, hint: str) -> ConfigError:
    return ConfigError(message, code="config.policy", hint=hint)
