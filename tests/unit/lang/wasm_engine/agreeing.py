"""That a native gives what the builtin of the host gives, or raises the same."""

from __future__ import annotations

from typing import Any

from tests.unit.lang.wasm_engine.harness import Guest, outcome
from tests.unit.lang.wasm_engine.values import spelled

from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import Value, settled
from cloister.lang.wasm_engine.runtime.native import Native


def assert_agrees(guest: Guest, name: str, native: Native, arguments: tuple[Value, ...]) -> None:
    """Call both with the same arguments and compare."""
    expected, given = outcome(BUILTINS[name], *arguments), outcome(guest.native, native, *arguments)
    assert _comparable(given) == _comparable(expected), (name, arguments)


def assert_done_natively(guest: Guest, name: str, native: Native, arguments: tuple[Value, ...]) -> None:
    """Compare too, and see that the host was not asked."""
    guest.asked.clear()
    assert_agrees(guest, name, native, arguments)
    assert guest.asked == [], (name, arguments)


def _comparable(result: tuple[str, Any]) -> tuple[str, Any]:
    kind, content = result
    return kind, spelled(settled(content)) if kind == "value" else content
