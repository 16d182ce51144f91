"""Ending every process that an execution has started, however it tried to get away.

Owns the two ways to do that and the judgement whether it is done. A process that calls `adopt` becomes the parent of
every orphan below it, so that nothing leaves its subtree by double forks or new sessions; when it has no child left,
nothing of the subtree is left. Standard library only; part of the guest set.

Source: PR_SET_CHILD_SUBREAPER(2const); kill(2) for -1, which the kernel sends under one lock; landlock(7) for the
scope of signals; proc_pid_stat(5), fields counted from 1.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Collection
from typing import Final

from cloister.isolation.process import landlock, syscalls

PR_SET_CHILD_SUBREAPER: Final = 36
END_TIMEOUT_S: Final = 2.0
PAUSE_S: Final = 0.001
STAT_PARENT: Final = 4
_AFTER_NAME: Final = 3


def adopt() -> bool:
    """Become the parent of every orphan below, and keep signals of the subtree inside it where the kernel can.

    Returns:
        Whether this process can reach its own subtree only, so that `end_children` may signal "everything".
    """
    syscalls.prctl(PR_SET_CHILD_SUBREAPER, 1)
    return scope_signals()


def scope_signals() -> bool:
    """Let this process and all it starts signal one another only; return whether the kernel can."""
    try:
        landlock.restrict_scope(landlock.SIGNAL)
    except OSError as error:
        # An older kernel. Nothing is lost silently: end_children has a second way, and says when that fails
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.E2BIG, errno.ENOMSG):
            return False
        raise
    return True


def end_children(*, spared: Collection[int] = (), is_scoped: bool = False, timeout_s: float = END_TIMEOUT_S) -> bool:
    """Kill all children of this process and all orphans that reach it, until there is none.

    Children are its own to wait for, so the number of one cannot pass to another process before it is signalled.

    Args:
        spared: Children that stay.
        is_scoped: What `adopt` returned. One signal then reaches the whole subtree at once, and no fork escapes it.
        timeout_s: When to give up: something there forks faster than it can be killed one by one.

    Returns:
        Whether nothing is left.
    """
    deadline_s = time.monotonic() + timeout_s
    while True:
        if is_scoped:
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        left = children_of(os.getpid()) - set(spared)
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if not _reap(spared) and not left:
            return True
        if time.monotonic() > deadline_s:
            return False
        time.sleep(PAUSE_S)


def children_of(parent: int) -> set[int]:
    """Return the children of a process, those that ended and were not waited for among them."""
    return {int(name) for name in os.listdir("/proc") if name.isdecimal() and _parent(name) == parent}  # noqa: PTH208


def _parent(name: str) -> int:
    try:
        with open(f"/proc/{name}/stat", "rb") as file:  # noqa: PTH123 - the guest set imports little
            text = file.read(4096)
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(text[text.rindex(b")") + 2 :].split(b" ")[STAT_PARENT - _AFTER_NAME])


def _reap(spared: Collection[int]) -> bool:
    """Wait for every child that has ended and is not spared; return whether there was one."""
    found = False
    for pid in children_of(os.getpid()) - set(spared):
        with contextlib.suppress(ChildProcessError):
            found = os.waitpid(pid, os.WNOHANG)[0] != 0 or found
    return found
