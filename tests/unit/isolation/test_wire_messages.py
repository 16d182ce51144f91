"""The table of messages: each one passes whole, and is refused with any field missing, wrong or unknown."""

from typing import Any

import pytest

from cloister.errors import WireError
from cloister.isolation.wire_messages import GUEST_MESSAGES, HOST_MESSAGES, checked

SPAN = {"source": "a", "line": 1, "column": 1, "end_line": 1, "end_column": 2, "text": "x"}
ERROR = {"type": "GuestError", "code": "guest.error", "message": "m"}
FULL_ERROR = ERROR | {
    "kind": "my/own-kind", "hint": "h", "span": SPAN, "details": {"a": 1}, "trace": ["f at a:1:1"], "call_index": 3,
}  # fmt: skip
OPTIONS = {"place": 7, "expose_context": True, "context_keys": [], "merge_policy": "overwrite", "has_undo": True}
PLAN = {"kind": "plan", "source": "1", "name": "n", "inputs": {}}

FROM_GUEST: list[dict[str, Any]] = [
    {"type": "call", "index": 0, "capability": "a.b", "arguments": []},
    {"type": "step", "event": "started", "name": "s", "error": None},
    {"type": "step", "event": "ended", "name": "s", "error": "guest.error"},
    {"type": "result", "value": None, "steps": None},
    {"type": "error", "error": ERROR},
    {"type": "error", "error": FULL_ERROR},
    {"type": "call", "index": 0, "capability": "a.b", "arguments": [], "hints": {"runtime.x": 1}},
    {"type": "step", "event": "started", "name": "s", "error": None, "options": {"place": 0, "context_keys": ["k"]}},
    {"type": "step", "event": "started", "name": "s", "error": None, "options": OPTIONS},
    {"type": "undo", "event": "started", "name": "s", "place": 7, "error": None},
    {"type": "undo", "event": "ended", "name": "s", "place": 7, "error": "guest.error"},
]
FROM_HOST: list[dict[str, Any]] = [
    {"type": "start", "workload": PLAN},
    {"type": "start", "workload": PLAN | {"modules": [["a", "a.rtfs", "(module a)"]]}},
    {"type": "start", "workload": {"kind": "operation", "name": "n", "arguments": {"a": 1}}, "limits": {"wall_ms": 1}},
    {"type": "reply", "index": 0, "value": None},
    {"type": "reply", "index": 0, "error": ERROR},
]
OPTIONAL = {"limits", "hints", "options", "modules"}


@pytest.mark.parametrize("message", FROM_GUEST)
def test_a_guest_message_passes_to_the_host_only(message: dict[str, Any]) -> None:
    assert checked(message, GUEST_MESSAGES) is message
    with pytest.raises(WireError):
        checked(message, HOST_MESSAGES)


@pytest.mark.parametrize("message", FROM_HOST)
def test_a_host_message_passes_to_the_guest_only(message: dict[str, Any]) -> None:
    assert checked(message, HOST_MESSAGES) is message
    with pytest.raises(WireError):
        checked(message, GUEST_MESSAGES)


@pytest.mark.parametrize("message", FROM_GUEST + FROM_HOST)
def test_a_message_with_a_field_missing_or_unknown_is_refused(message: dict[str, Any]) -> None:
    table = GUEST_MESSAGES if message in FROM_GUEST else HOST_MESSAGES
    for name in message.keys() - OPTIONAL:
        with pytest.raises(WireError) as caught:
            checked({key: value for key, value in message.items() if key != name}, table)
        assert caught.value.code == "provider.wire-shape"
    with pytest.raises(WireError, match="unknown field 'extra'"):
        checked(message | {"extra": 1}, table)


@pytest.mark.parametrize(
    ("base", "wrong"),
    [
        (FROM_GUEST[0], {"index": -1}),
        (FROM_GUEST[0], {"index": True}),
        (FROM_GUEST[0], {"index": 2**63}),
        (FROM_GUEST[0], {"index": 0.0}),
        (FROM_GUEST[0], {"capability": "x" * 201}),
        (FROM_GUEST[0], {"arguments": {}}),
        (FROM_GUEST[1], {"event": "paused"}),
        (FROM_GUEST[1], {"event": []}),
        (FROM_GUEST[1], {"name": "x" * 201}),
        (FROM_GUEST[2], {"error": "\x1b[31mred"}),
        (FROM_GUEST[2], {"error": "nodots"}),
        (FROM_GUEST[3], {"steps": "3"}),
        (FROM_GUEST[4], {"error": None}),
        (FROM_GUEST[4], {"error": ERROR | {"type": "a b"}}),
        (FROM_GUEST[4], {"error": ERROR | {"code": "Guest.Error"}}),
        (FROM_GUEST[4], {"error": ERROR | {"kind": "x" * 201}}),
        (FROM_GUEST[4], {"error": ERROR | {"span": SPAN | {"line": "1"}}}),
        (FROM_GUEST[4], {"error": ERROR | {"span": {}}}),
        (FROM_GUEST[4], {"error": ERROR | {"details": []}}),
        (FROM_GUEST[4], {"error": ERROR | {"trace": [1]}}),
        (FROM_GUEST[4], {"error": ERROR | {"call_index": -1}}),
        (FROM_GUEST[4], {"error": ERROR | {"other": 1}}),
        (FROM_GUEST[6], {"hints": []}),
        (FROM_GUEST[7], {"options": {"place": 0, "context_keys": [1]}}),
        (FROM_GUEST[7], {"options": {"place": 0, "context_keys": ["k"] * 101}}),
        (FROM_GUEST[8], {"options": OPTIONS | {"expose_context": 1}}),
        (FROM_GUEST[8], {"options": OPTIONS | {"merge_policy": "x" * 41}}),
        (FROM_GUEST[8], {"options": OPTIONS | {"other": 1}}),
        (FROM_GUEST[8], {"options": OPTIONS | {"place": -1}}),
        (FROM_GUEST[8], {"options": OPTIONS | {"place": True}}),
        (FROM_GUEST[8], {"options": {}}),
        (FROM_GUEST[8], {"options": OPTIONS | {"has_undo": False}}),
        (FROM_GUEST[9], {"event": "begun"}),
        (FROM_GUEST[9], {"name": "x" * 201}),
        (FROM_GUEST[9], {"place": -1}),
        (FROM_GUEST[10], {"error": "Guest.Error"}),
        (FROM_HOST[0], {"workload": PLAN | {"kind": "script"}}),
        (FROM_HOST[0], {"workload": PLAN | {"inputs": []}}),
        (FROM_HOST[0], {"workload": PLAN | {"other": 1}}),
        (FROM_HOST[0], {"workload": []}),
        (FROM_HOST[1], {"limits": {"wall_ms": 0}}),
        (FROM_HOST[1], {"limits": {"wall_ms": True}}),
        (FROM_HOST[2], {"error": ERROR}),
    ],
)
def test_a_message_with_a_wrong_field_is_refused(base: dict[str, Any], wrong: dict[str, Any]) -> None:
    table = GUEST_MESSAGES if base in FROM_GUEST else HOST_MESSAGES
    assert checked(base, table) is base
    with pytest.raises(WireError) as caught:
        checked(base | wrong, table)
    assert caught.value.code == "provider.wire-shape"


@pytest.mark.parametrize("kind", [None, 1, [], {}, "Call", ""])
def test_an_unknown_type_is_refused(kind: object) -> None:
    with pytest.raises(WireError, match="type is none of call, step, undo, result, error"):
        checked({"type": kind}, GUEST_MESSAGES)
