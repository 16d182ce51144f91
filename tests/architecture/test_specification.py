"""Every promise names a test that exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PROMISES = re.findall(
    r"^\| (.+) \| `(tests/[^`:]+)(?:::(\w+))?` \|$", Path("SPECIFICATION.md").read_text(), re.MULTILINE
)


def test_promises_are_found() -> None:
    lines = [line for line in Path("SPECIFICATION.md").read_text().splitlines() if line.startswith("| ")]
    assert len(PROMISES) == len(lines) - 1


@pytest.mark.parametrize(("promise", "file", "test"), PROMISES, ids=[promise for promise, _, _ in PROMISES])
def test_promise_has_its_test(promise: str, file: str, test: str) -> None:
    text = Path(file).read_text(encoding="utf-8")
    assert re.search(rf"^def {test}\(" if test else r"^\s*def test_", text, re.MULTILINE), promise
