"""The one table of what a host and its guest may say to each other.

Owns the messages, the shape of each, and the check that decides whether received data is one of them. The host does not
trust a guest that may have been taken over, and a guest does not trust that the host is of its own version. Must not
interpret the values that messages carry; `cloister.lang.transport` does. Part of the guest set: standard library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from cloister.errors import WireError, quoted

Message: TypeAlias = dict[str, Any]
"""One message: a JSON object with `type` and the fields that the table below has for it."""

MODULE_TEXTS: Final = ("name", "path", "source")
"""What each module of a plan is, in this order."""

CAPABILITY_CHARS_MAX: Final = 200
STEP_NAME_CHARS_MAX: Final = 200
KIND_CHARS_MAX: Final = 200
MODULES_MAX: Final = 64
"""Modules of one plan; as `lang.modules.MODULES_MAX`."""

CONTEXT_KEYS_MAX: Final = 100
"""Context values that one step may name."""

STEPS_OPEN_MAX: Final = 256
"""Steps of a plan inside one another."""

STEPS_MAX: Final = 100_000
"""Steps of one execution. Each is a record of the host that stays."""

UNDOS_MAX: Final = 10_000
"""Finished steps of one execution that may be waiting to be undone; as `lang.undoing.UNDOS_MAX`."""


@dataclass(frozen=True, slots=True)
class Field:
    """What one field of a message must be: in words, as a check, and whether it may be left out."""

    expected: str
    is_valid: Callable[[Any], bool]
    required: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """The fields of one object. `exactly_one_of` names optional fields of which precisely one is there."""

    fields: Mapping[str, Field]
    exactly_one_of: tuple[str, ...] = ()
    required: frozenset[str] = field(init=False)

    def __post_init__(self) -> None:
        """Find out once which fields must be there."""
        names = frozenset(name for name, what in self.fields.items() if what.required)
        object.__setattr__(self, "required", names)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_short_text(chars_max: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and len(value) <= chars_max


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_modules(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MODULES_MAX
        and all(_is_texts(item) and len(item) == len(MODULE_TEXTS) for item in value)
    )


def _is_code(value: Any) -> bool:
    return isinstance(value, str) and bool(re.fullmatch(r"[a-z]{1,40}(\.[a-z0-9-]{1,60}){1,3}", value))


_COUNT: Final = Field("a whole number from 0", _is_count)
_TEXT: Final = Field("text", lambda value: isinstance(value, str))
_OBJECT: Final = Field("an object", lambda value: isinstance(value, dict))
_ANY: Final = Field("a value", lambda _: True)
_CODE: Final = Field("an error code", _is_code)
_WORD_WITH_DASH: Final = Field("a word", lambda value: isinstance(value, str) and len(value) <= 40)
_WORD: Final = Field("one word", lambda value: isinstance(value, str) and value.isalnum() and len(value) <= 60)


_MODULES: Final = Field("a list of modules", _is_modules, required=False)


def _optional(what: Field) -> Field:
    return Field(what.expected, what.is_valid, required=False)


def _or_null(what: Field) -> Field:
    return Field(f"{what.expected} or null", lambda value: value is None or what.is_valid(value), what.required)


OPTIONS_SHAPE: Final = Shape(
    fields={
        "place": _COUNT,
        "expose_context": Field("true or false", lambda value: isinstance(value, bool), required=False),
        "context_keys": Field(
            "a list of texts", lambda value: _is_texts(value) and len(value) <= CONTEXT_KEYS_MAX, required=False
        ),
        "merge_policy": _optional(_WORD_WITH_DASH),
        "has_undo": Field("true", lambda value: value is True, required=False),
    }
)
"""Which step it is and what it says beside its name; see `cloister.lang.host.StepOptions`."""

SPAN_SHAPE: Final = Shape(
    fields={
        "source": _TEXT, "line": _COUNT, "column": _COUNT, "end_line": _COUNT, "end_column": _COUNT, "text": _TEXT,
    }
)  # fmt: skip

ERROR_SHAPE: Final = Shape(
    fields={
        "type": _WORD,
        "code": _CODE,
        "message": _TEXT,
        "kind": _or_null(Field(f"text of at most {KIND_CHARS_MAX}", _is_short_text(KIND_CHARS_MAX), required=False)),
        "hint": _or_null(_optional(_TEXT)),
        "span": Field("a span", lambda value: first_fault(SPAN_SHAPE, value) is None, required=False),
        "details": _optional(_OBJECT),
        "trace": Field("a list of texts", _is_texts, required=False),
        "call_index": _or_null(_optional(_COUNT)),
    }
)
"""`CloisterError.to_dict()`; `call_index` says which call's error this is, when the plan did not catch it."""

WORKLOADS: Final[Mapping[str, Shape]] = {
    "plan": Shape(
        fields={
            "source": _TEXT,
            "name": _TEXT,
            "inputs": _OBJECT,
            "modules": _MODULES,
            "steps_unasked": _optional(_COUNT),
        }
    ),
    "operation": Shape(fields={"name": _TEXT, "arguments": _OBJECT}),
}
"""What a guest can be started with, by `kind`."""

_LIMITS: Final = Field(
    "an object of positive whole numbers",
    lambda value: isinstance(value, dict) and all(_is_count(number) and number > 0 for number in value.values()),
    required=False,
)
_WORKLOAD: Final = Field("a workload", lambda value: tagged_fault(WORKLOADS, value, "kind") is None)
_ERROR: Final = Field("an error", lambda value: first_fault(ERROR_SHAPE, value) is None)

GUEST_MESSAGES: Final[Mapping[str, Shape]] = {
    "call": Shape(
        fields={
            "index": _COUNT,
            "capability": Field(f"text of at most {CAPABILITY_CHARS_MAX}", _is_short_text(CAPABILITY_CHARS_MAX)),
            "arguments": Field("a list", lambda value: isinstance(value, list)),
            "hints": _optional(_OBJECT),
        }
    ),
    "step": Shape(
        fields={
            "event": Field("started or ended", lambda value: value in ("started", "ended")),
            "name": Field(f"text of at most {STEP_NAME_CHARS_MAX}", _is_short_text(STEP_NAME_CHARS_MAX)),
            "error": _or_null(_CODE),
            "options": Field(
                "options of a step", lambda value: first_fault(OPTIONS_SHAPE, value) is None, required=False
            ),
            "waits": Field("true", lambda value: value is True, required=False),
        }
    ),
    "undo": Shape(
        fields={
            "event": Field("started or ended", lambda value: value in ("started", "ended")),
            "name": Field(f"text of at most {STEP_NAME_CHARS_MAX}", _is_short_text(STEP_NAME_CHARS_MAX)),
            "place": _COUNT,
            "error": _or_null(_CODE),
        }
    ),
    "result": Shape(fields={"value": _ANY, "steps": _or_null(_COUNT)}),
    "error": Shape(fields={"error": _ERROR}),
}
"""What a guest may say to its host. After `result` or `error` it says nothing more."""

HOST_MESSAGES: Final[Mapping[str, Shape]] = {
    "start": Shape(fields={"workload": _WORKLOAD, "limits": _LIMITS}),
    "reply": Shape(
        fields={
            "index": _COUNT,
            "value": _optional(_ANY),
            "error": _optional(_ERROR),
            "step": Field("true", lambda value: value is True, required=False),
        },
        exactly_one_of=("value", "error"),
    ),
}
"""What a host may say to its guest: one `start`, then a `reply` for each call, and one for each step that waits, which
says so. Those to calls come in order; one may come before its call, when the host knows the answer (`Dialogue.ahead`),
and so before the reply to a step."""


def first_fault(shape: Shape, data: Any, tag: str | None = None) -> str | None:
    """Return what is wrong with an object in words, or None when it has the shape.

    Args:
        shape: What is expected.
        data: Anything that came out of a JSON parser.
        tag: A field beside those of the shape that was checked already.
    """
    if not isinstance(data, dict):
        return "not an object"
    # Asked of every message, of each side: so each field is looked at once
    for name, value in data.items():
        what = shape.fields.get(name)
        if what is None:
            if name != tag:
                return f"unknown field {quoted(name, 40)!r}"
        elif not what.is_valid(value):
            return f"field {name!r} is not {what.expected}"
    if not shape.required <= data.keys():
        return f"field {min(shape.required - data.keys())!r} is missing"
    if shape.exactly_one_of and len(data.keys() & shape.exactly_one_of) != 1:
        return f"exactly one of {', '.join(shape.exactly_one_of)} must be there"
    return None


def tagged_fault(table: Mapping[str, Shape], data: Any, tag: str) -> str | None:
    """Return what is wrong with an object whose field `tag` chooses its shape, or None when nothing is."""
    chosen = data.get(tag) if isinstance(data, dict) else None
    shape = table.get(chosen) if isinstance(chosen, str) else None
    if shape is None:
        return f"{tag} is none of {', '.join(table)}"
    fault = first_fault(shape, data, tag)
    return f"{tag} {chosen}: {fault}" if fault else None


def checked(message: Message, accepts: Mapping[str, Shape]) -> Message:
    """Return the message when it is one of those accepted.

    Raises:
        WireError: `provider.wire-shape`, saying what is wrong with it.
    """
    fault = tagged_fault(accepts, message, "type")
    if fault:
        raise WireError(f"a message breaks the protocol: {fault}", code="provider.wire-shape")
    return message
