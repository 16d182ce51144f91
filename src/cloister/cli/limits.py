"""Limits as a user writes them, and the option that raises each.

Owns the units, the names of `--limit`, and the words that tell which option raises a limit that was reached. The limits
themselves, and their defaults, are `cloister.limits`'.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, Final

from cloister.errors import ConfigError, quoted
from cloister.limits import ResourceLimits

TIME_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
SIZE_UNITS: Final = {"B": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_SHOWN_SIZES: Final = {"": 1, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}
_NO_UNITS: Final[Mapping[str, int]] = {}

DEFAULTS: Final = ResourceLimits().to_dict()
OWN_OPTIONS: Final = {"wall_ms": "--timeout", "cpu_ms": "--timeout", "memory_bytes": "--memory"}
"""Limits with an option of their own; every other one is raised with --limit."""


def limit_names() -> tuple[str, ...]:
    """Return the names that --limit takes, as they are written on the command line."""
    return tuple(each.name.replace("_", "-") for each in fields(ResourceLimits))


def parse_limits(
    timeout: str | None,
    memory: str | None,
    limits: Sequence[str] | None = None,
    policy: Mapping[str, str | int] | None = None,
) -> ResourceLimits:
    """Return the default limits with the given ones in their place.

    Args:
        timeout: A whole number with `ms`, `s`, `m` or `h`; without a unit, seconds.
        memory: A whole number with `KiB`, `MiB`, `GiB`, `KB`, `MB` or `GB`; without a unit, bytes.
        limits: `NAME=N` texts, which go before the two others; without a unit, N is in the unit of the name.
        policy: Limits of a policy, by name, as texts or whole numbers; what the others give can only lower them.

    Raises:
        ConfigError: `config.limit`.
    """
    given: dict[str, int] = {}
    if timeout is not None:
        given["wall_ms"] = given["cpu_ms"] = parse_time(timeout, "--timeout")
    if memory is not None:
        given["memory_bytes"] = _measure(memory, "--memory", {"": 1, **SIZE_UNITS}, "256MiB")
    given |= _named(limits or ())
    highest = _named([f"{name}={value}" for name, value in (policy or {}).items()], "[limits]")
    return ResourceLimits(
        **{**highest, **{name: min(value, highest.get(name, value)) for name, value in given.items()}}
    )


def parse_time(text: str, option: str) -> int:
    """Return milliseconds out of a whole number with `ms`, `s`, `m` or `h`; without a unit, seconds.

    Raises:
        ConfigError: `config.limit`.
    """
    return _measure(text, option, {"": 1_000, **TIME_UNITS_MS}, "30s")


def _named(limits: Sequence[str], option: str = "--limit") -> dict[str, int]:
    given: dict[str, int] = {}
    for item in limits:
        name, _, value = item.partition("=")
        field = _field(name, item, option)
        if field in given:
            raise ConfigError(f"{option} {name} is given twice", code="config.limit", hint="give it once")
        example = f"{name}={value_text(field, DEFAULTS[field])}"
        given[field] = _measure(value, f"{option} {name}", {"": 1, **_units(field)}, example, option)
    return given


def _field(name: str, item: str, option: str) -> str:
    field = name.replace("-", "_")
    if field not in DEFAULTS:
        close = get_close_matches(name, limit_names(), 1)
        raise ConfigError(
            f"{option} {quoted(item)} names no limit",
            code="config.limit",
            hint=f"did you mean {close[0]}?" if close else "the limits are " + ", ".join(limit_names()),
        )
    return field


def _units(field: str) -> Mapping[str, int]:
    return TIME_UNITS_MS if field.endswith("_ms") else SIZE_UNITS if field.endswith("_bytes") else _NO_UNITS


def _measure(text: str, what: str, units: Mapping[str, int], example: str, option: str | None = None) -> int:
    parts = re.fullmatch(r"([0-9]{1,15})\s*([A-Za-z]*)", text)
    if not parts or parts[2] not in units:
        known = ", ".join(unit for unit in units if unit)
        raise ConfigError(
            f"{what} {quoted(text)} is not a whole number" + (f" with one of the units {known}" if known else ""),
            code="config.limit",
            hint=f"for example {option or what} {example}",
        )
    return int(parts[1]) * units[parts[2]]


def value_text(field: str, value: int) -> str:
    """Return a limit's value in its largest whole unit: `32MiB`, `60s`, `4096`."""
    units = {"ms": 1, "s": 1_000} if field.endswith("_ms") else _SHOWN_SIZES if field.endswith("_bytes") else {}
    factor, unit = max(((factor, unit) for unit, factor in units.items() if value % factor == 0), default=(1, ""))
    return f"{value // factor}{unit}"


def with_option(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return an error's data with a hint that names the option to type, when a limit was reached."""
    details = error.get("details") or {}
    option, hint = limit_option(details), error.get("hint") or ""
    words = f"raise the limit {details.get('limit')}"
    if option is None or words not in hint:
        return dict(error)
    return {**error, "hint": hint.replace(words, f"raise the limit with {option}")}


def limit_option(details: Mapping[str, Any]) -> str | None:
    """Return the option that raises a limit which was reached; None when `details` are not of that.

    Args:
        details: Of the error, or whatever the journal holds in their place.
    """
    field, allowed, used = (details.get(name) for name in ("limit", "allowed", "used"))
    if not isinstance(field, str) or field not in DEFAULTS or not isinstance(allowed, int) or allowed < 1:
        return None
    return _option(field, allowed, used if isinstance(used, int) else None)


def _option(field: str, allowed: int, used: int | None) -> str:
    enough = 2 * allowed
    while enough <= (used or 0):
        enough *= 2
    if field not in OWN_OPTIONS:
        return f"--limit {field.replace('_', '-')}={value_text(field, enough)}"
    if allowed < DEFAULTS[field]:
        # A call can narrow these, so what was allowed here may be less than what the option says already
        return OWN_OPTIONS[field]
    return f"{OWN_OPTIONS[field]} {value_text(field, enough)}"
