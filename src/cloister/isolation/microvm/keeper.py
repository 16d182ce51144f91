"""A small process that ends VMMs when the host's process is gone.

Owns nothing but that: a VMM under a jailer is nobody's child, and the kernel's signal for a dead parent is lost when it
changes its user. The keeper waits for the end of a pipe whose other end only the host has, and then kills what lives in
the groups it was told. Directories it leaves to the next driver's sweep.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from cloister.errors import ProviderUnavailable

END_TIMEOUT_S: Final = 5.0
_PROGRAM: Final = """\
import glob, json, os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_IGN)
groups = json.loads(sys.argv[1])
os.write(1, b"ready")
os.close(1)
if sys.stdin.buffer.read() != b"done":
    for _ in range(100):
        left = 0
        for group in groups:
            for path in (*glob.glob(glob.escape(group) + "/*/cgroup.procs"), group + "/cgroup.procs"):
                try:
                    pids = open(path).read().split()
                except OSError:
                    continue
                for pid in pids:
                    left += 1
                    try:
                        os.kill(int(pid), signal.SIGKILL)
                    except ProcessLookupError:
                        pass
        if not left:
            break
        signal.sigtimedwait([], 0.01)
"""


class Keeper:
    """The process.

    Args:
        groups: Directories of control groups; those directly below them are meant, too.

    Raises:
        ProviderUnavailable: It does not start.
    """

    def __init__(self, groups: Sequence[str]) -> None:
        self.owner_pid = os.getpid()
        self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and text
            [os.path.realpath(sys.executable), "-I", "-S", "-E", "-B", "-c", _PROGRAM, json.dumps(list(groups))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
        )
        assert self._process.stdout is not None  # noqa: S101 - asked for above
        with self._process.stdout as words:
            if words.read() != b"ready":
                self._process.kill()
                self._process.wait()
                raise ProviderUnavailable("the keeper of virtual machines did not start")

    def close(self) -> None:
        """Let it go; it ends nothing then. Idempotent."""
        process = self._process
        if os.getpid() != self.owner_pid or process.returncode is not None or process.stdin is None:
            return
        try:
            process.stdin.write(b"done")
            process.stdin.close()
            process.wait(END_TIMEOUT_S)
        except (BrokenPipeError, subprocess.TimeoutExpired):
            process.kill()
            process.wait()
