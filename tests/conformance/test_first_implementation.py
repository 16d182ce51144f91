"""What the first implementation was observed to do, and what this one does where it differs on purpose.

A line of `observations.txt` is `program  =>  outcome`, and where ours differs `  |  our outcome  |  reason`. Outcomes
are `OK value`, `ERR kind`, `PARSE-ERR`, `PANIC` and `HOST request` of theirs; `REFUSED code` of ours, before running.
After `; host:` stand the steps and calls the host sees. Every reason is explained in `docs/rtfs-deviations.md`.

Source: language reference, appendix D.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from cloister.errors import CloisterError, CompileError, GuestError, InputError
from cloister.lang.program import compile_program, run_program
from cloister.lang.values import ErrorValue, List, Map, Symbol, Value, type_name
from cloister.limits import ResourceLimits

HERE = Path(__file__).parent
DEVIATIONS = HERE.parents[1] / "docs" / "rtfs-deviations.md"
STEPS = ("step", "step-if", "step-loop", "step-parallel")


@dataclass(frozen=True, slots=True)
class Observation:
    program: str
    theirs: str
    ours: str
    reason: str | None


def observations() -> list[Observation]:
    found = []
    for line in (HERE / "observations.txt").read_text(encoding="utf-8").splitlines():
        if not line or line.startswith(";;;"):
            continue
        program, outcome = line.split("  =>  ")
        theirs, *ours = outcome.split("  |  ")
        assert len(ours) in {0, 2}, f"a deviation has an outcome and a reason: {line}"
        found.append(Observation(program, theirs, ours[0] if ours else theirs, ours[1] if ours else None))
    return found


OBSERVATIONS = observations()


@dataclass(slots=True)
class ObservedHost:
    """The stand-in host of the observations: `fail` fails, `echo` echoes, any other call returns what it was given."""

    seen: list[str] = field(default_factory=list)

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        self.seen.append(f"cap {capability_id} {shown(tuple(arguments))}")
        if capability_id == "fail":
            raise GuestError("Runtime error: cap failed")
        return arguments[0] if capability_id == "echo" else (capability_id, tuple(arguments))

    def step_started(self, name: str, *options: Any, **more: Any) -> None:
        self.seen.append(f"start {name}")

    def step_ended(self, name: str, error: CloisterError | None) -> None: ...

    def undo_started(self, name: str, place: int) -> None: ...

    def undo_ended(self, name: str, error: CloisterError | None) -> None: ...

    def hints_changed(self, hints: Mapping[str, Value]) -> None: ...


def shown(value: Value) -> str:
    """Return a value as the observations write it: maps sorted by the text of their keys."""
    if isinstance(value, Map):
        return "{" + " ".join(sorted(f"{shown(key)} {shown(item)}" for key, item in value.items())) + "}"
    if isinstance(value, tuple):
        opening, closing = "()" if isinstance(value, List) else "[]"
        return opening + " ".join(map(shown, value)) + closing
    if isinstance(value, ErrorValue):
        return f"#<error: {value.error.message}>"
    if type_name(value) == "function":
        return "#<function>"
    if isinstance(value, float):
        return {math.inf: "##Inf", -math.inf: "##-Inf"}.get(value, "##NaN" if value != value else repr(value))
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
        return '"' + escaped.replace("\r", "\\r") + '"'
    if value is None or isinstance(value, bool):
        return {None: "nil", True: "true", False: "false"}[value]
    return value.name if isinstance(value, Symbol) else str(value)


def outcome_of(program: str) -> str:
    host = ObservedHost()
    try:
        value = run_program(compile_program(program, "observed"), host, ResourceLimits(), {}).value
        text = f"OK {shown(value)}"
    except (CompileError, InputError) as error:
        # A certain error is found before running; it has the kind that the run would have failed with.
        text = f"ERR {error.kind}" if error.code == "compile.type" else f"REFUSED {error.code}"
    except CloisterError as error:
        text = f"ERR {error.kind or error.code}"
    return f"{text}    ; host: {'; '.join(host.seen)}" if host.seen else text


def is_same(ours: str, theirs: str) -> bool:
    """Say whether our outcome is theirs: a parse error may be any refusal; two kinds of notices to the host count."""
    ours, _, our_host = ours.partition("    ; host: ")
    theirs, _, their_host = theirs.partition("    ; host: ")
    same = ours.startswith("REFUSED") if theirs == "PARSE-ERR" else ours == theirs
    return same and (not their_host or our_host == "; ".join(notices(their_host)))


def notices(host: str) -> Sequence[str]:
    return [part for part in re.split(r"; (?=start |cap |done |failed |expose |clear-|hint )", host) if is_notice(part)]


def is_notice(part: str) -> bool:
    return part.startswith(("cap ", "start "))


@pytest.mark.parametrize("seen", OBSERVATIONS, ids=[str(at) for at in range(1, len(OBSERVATIONS) + 1)])
def test_outcome_is_theirs_or_a_listed_deviation(seen: Observation) -> None:
    ours = outcome_of(seen.program)
    if seen.reason is None:
        assert is_same(ours, seen.theirs), f"{seen.program}\n  theirs {seen.theirs}\n  ours   {ours}"
    else:
        assert ours == seen.ours, seen.program
        assert not is_same(ours, seen.theirs), f"no longer a deviation: {seen.program}"


def test_every_reason_is_explained() -> None:
    page = DEVIATIONS.read_text(encoding="utf-8")
    reasons = {seen.reason for seen in OBSERVATIONS if seen.reason}
    missing = sorted(reason for reason in reasons if f"`{reason}`" not in page)
    assert missing == []


def test_the_table_is_complete() -> None:
    assert len(OBSERVATIONS) == 1050
    assert len({seen.program for seen in OBSERVATIONS}) == 1050
