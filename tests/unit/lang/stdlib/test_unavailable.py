"""Builtins that are there for plans of the first implementation."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cloister.errors import GuestError
from cloister.lang.values import Value

RESULTS = r"""
(process-data [1]) => [1]
(process-data nil) => nil
"""

ERRORS = r"""
(read-file "/etc/passwd") => Generic | Runtime error: read-file is not supported: the language itself cannot touch files
"""


@pytest.mark.parametrize("line", RESULTS.strip().splitlines())
def test_result(line: str, check: Callable[[str], None]) -> None:
    check(line)


@pytest.mark.parametrize("line", ERRORS.strip().splitlines())
def test_error(line: str, check_error: Callable[[str], None]) -> None:
    check_error(line)


def test_the_refusal_names_the_capability(run: Callable[[str], Value]) -> None:
    with pytest.raises(GuestError) as caught:
        run('(read-file "x")')
    assert ":ccos.io.read-file" in (caught.value.hint or "")
