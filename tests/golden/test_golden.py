"""Every line of the golden files: a program with the value or error it must give.

`program ;=> value` compares the readable text of the value; `program ;!! what` compares the code or kind of the error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from cloister.errors import CloisterError, GuestError
from cloister.lang.host import StepOptions
from cloister.lang.printer import to_text
from cloister.lang.program import compile_program, run_program
from cloister.lang.values import Value
from cloister.limits import ResourceLimits

EXPECTATION = re.compile(r"^(?P<program>.*?) ;(?P<kind>=>|!!) (?P<expected>.*)$")


class EchoHost:
    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        if capability_id == "fail":
            raise GuestError("Runtime error: cap failed")
        return arguments[0] if capability_id == "echo" else (capability_id, arguments)

    def hints_changed(self, hints: Mapping[str, Value]) -> None: ...

    def step_started(self, name: str, options: StepOptions) -> None: ...

    def step_ended(self, name: str, error: CloisterError | None) -> None: ...

    def undo_started(self, name: str, place: int) -> None: ...

    def undo_ended(self, name: str, error: CloisterError | None) -> None: ...


def _lines() -> list[object]:
    found: list[object] = []
    for path in sorted(Path(__file__).parent.glob("*.rtfs")):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            if line and not line.startswith(";"):
                found.append(pytest.param(line, id=f"{path.stem}:{number}"))
    return found


@pytest.mark.parametrize("line", _lines())
def test_line_gives_what_it_says(line: str) -> None:
    match = EXPECTATION.match(line)
    assert match, f"no expectation on the line: {line}"
    if match["kind"] == "=>":
        assert to_text(_value_of(match["program"])) == match["expected"]
        return
    with pytest.raises(CloisterError) as caught:
        _value_of(match["program"])
    assert match["expected"] in {caught.value.code, caught.value.kind}
    assert caught.value.span is not None, "an error of a program has a place"


def _value_of(text: str) -> Value:
    return run_program(compile_program(text, "golden"), EchoHost(), ResourceLimits(), {}).value
