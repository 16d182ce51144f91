"""Each small example does what its heading says, run as its heading says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cloister = Callable[..., Any]
EXAMPLES = sorted(
    path for ending in ("rtfs", "lua") for path in Path("examples").glob(f"*.{ending}") if path.stem != "stdlib_report"
)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_example(cloister: Cloister, example: Path) -> None:
    text = example.read_text(encoding="utf-8")
    (command, promised), *_ = re.findall(r"^(?:;|--) \$ cloister (.*)\n(?:;|--) (.*)$", text, re.MULTILINE)
    done = cloister(*shlex.split(command), cwd=Path.cwd())
    assert done.status == 0, done.err
    assert done.out == promised + "\n"


def test_example_without_its_grant_is_refused(cloister: Cloister) -> None:
    done = cloister("run", "examples/word_count.rtfs", "--input", "file=LICENSE", cwd=Path.cwd())
    assert done.status == 3
    assert "--allow ccos.io.read-file" in done.err
    assert "--allow ccos.sandbox.python" in done.err
