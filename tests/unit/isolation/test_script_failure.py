"""How a failing script is told in words."""

import pytest

from cloister.isolation.script_failure import script_failed


@pytest.mark.parametrize(
    ("stderr", "line"),
    [
        (b"Traceback (most recent call last):\n  at x\nValueError: seven\n", "ValueError: seven"),
        (b"/script:1\n\nTypeError: seven\n    at f\n\nNode.js v18.1.0\n", "TypeError: seven"),
        (b"  Uncaught DOMException: seven\nNode.js v18.1.0\n", "Uncaught DOMException: seven"),
        (b"/script:1:in `<main>': seven (ArgumentError)\n", "/script:1:in `<main>': seven (ArgumentError)"),
        (b"/usr/bin/lua5.4: /script:1: seven\nstack traceback:\n\t[C]: in ?\n", "/usr/bin/lua5.4: /script:1: seven"),
        (b"sh: 1: seven: not found\n", "sh: 1: seven: not found"),
        (b"Errors happen\nseven\n", "seven"),
        (b"", "it wrote nothing to standard error"),
    ],
)
def test_a_failed_script_is_told_by_its_error(stderr, line) -> None:
    error = script_failed(1, stderr)
    assert error.message == f"the script ended with exit status 1: {line}"
    assert ":read" not in error.hint


def test_a_file_that_is_missing_inside_has_its_own_hint() -> None:
    for words in (
        b"FileNotFoundError: [Errno 2]",
        b"Error: ENOENT: no such file",
        b"cat: x: No such file or directory",
    ):
        error = script_failed(1, words)
        assert "only the paths named in its :read and :write" in error.hint
        assert "only what is here" in script_failed(1, words, sees="what is here").hint


def test_a_failed_script_keeps_only_the_tail() -> None:
    stderr = b"".join(b"line %d\n" % n for n in range(1000))
    error = script_failed(2, stderr)
    assert error.details["stderr"].splitlines() == [f"line {n}" for n in range(992, 1000)]
