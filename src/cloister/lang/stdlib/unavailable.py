"""Builtins that plans of the first implementation name, and that do nothing of their own there either.

Owns `process-data` and `read-file`. Part of the guest set: standard library only.

Source: language reference, section 6.6.
"""

from __future__ import annotations

from typing import Final, NoReturn

from cloister.lang.stdlib.builtin import Topic, generic_error
from cloister.lang.values import Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


@_builtin("process-data", 1, signature="(process-data x)", examples=("(process-data [1 2]) ;=> [1 2]",))
def process_data(value: Value) -> Value:
    """Return the value as it is."""
    return value


@_builtin("read-file", 1, signature="(read-file path)", examples=('(read-file "x") ;!! guest.generic',))
def read_file(path: Value) -> NoReturn:  # noqa: ARG001 - the path is never looked at
    """Fail always, and name the capability that reads files."""
    hint = "call the capability: (call :ccos.io.read-file path); the run needs a grant for it"
    raise generic_error("read-file is not supported: the language itself cannot touch files", hint)
