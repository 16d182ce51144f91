"""Has something done by an ordinary user, in a copy of this process."""

from __future__ import annotations

import os
from collections.abc import Callable

NOBODY = 65534


def as_another_user(act: Callable[[], str]) -> str:
    """Return what it says; where the tests are not run by root, it is done by who runs them."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgroups([])
                os.setgid(NOBODY)
                os.setuid(NOBODY)
            os.write(write_end, act().encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end, encoding="utf-8") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return said
