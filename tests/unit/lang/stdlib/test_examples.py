"""Every example line of every builtin gives what it says."""

from __future__ import annotations

import re

import pytest

from cloister.errors import CloisterError
from cloister.lang.host import PureHost
from cloister.lang.printer import to_text
from cloister.lang.program import compile_program, run_program
from cloister.lang.stdlib.table import BUILTINS
from cloister.limits import ResourceLimits

LINE = re.compile(r"(?P<call>.+?) ;(?P<kind>=>|!!) (?P<expected>.+)")
LINES = [(name, line) for name, builtin in BUILTINS.items() for line in builtin.examples]


def value_of(text: str) -> str:
    return to_text(run_program(compile_program(text), PureHost(), ResourceLimits(), {}).value)


@pytest.mark.parametrize(("name", "line"), LINES)
def test_example_gives_what_it_says(name: str, line: str) -> None:
    match = LINE.fullmatch(line)
    assert match is not None, "write `call ;=> value` or `call ;!! code`"
    assert name in match["call"]
    if match["kind"] == "=>":
        assert value_of(match["call"]) == match["expected"]
        return
    with pytest.raises(CloisterError) as caught:
        value_of(match["call"])
    assert match["expected"] in {caught.value.code, caught.value.kind}


def test_every_builtin_has_an_example() -> None:
    assert [name for name, builtin in BUILTINS.items() if not builtin.examples] == []
