"""A running launcher, as the host knows it: the child process and its connections.

Owns starting it, its last words, and its end. What is said on the connections is `supply`'s.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import cloister
from cloister.errors import LaunchError, ProviderUnavailable, quoted
from cloister.isolation.process import descriptors
from cloister.isolation.process.cgroup import removal
from cloister.isolation.process.interpreters import interpreter_for
from cloister.isolation.process.lanes import INTERPRETERS, LANES, PoolSettings
from cloister.isolation.process.launcher import READY
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.spec import FIXED_ENVIRONMENT
from cloister.isolation.process.supply import Supply
from cloister.isolation.provider import ScriptLanguage

START_TIMEOUT_S: Final = 30.0
END_TIMEOUT_S: Final = 5.0
COMPLAINT_BYTES: Final = 2_000

_BOOTSTRAP: Final = """\
import json, sys, types
facts = json.load(sys.stdin)
sys.path.insert(0, facts["package"])
sys.modules["inspect"] = types.ModuleType("inspect")
from cloister.isolation.process.launcher import main
main(**facts)
"""
"""What it needs to know is on its standard input: its sandboxes see its command line. `dataclasses` loads `inspect`, a
third of all that would be copied for each sandbox, to describe classes that have no docstring; ours have one. Scripts
get both modules anew; see `script.look_fresh`."""


class LauncherProcess:
    """One launcher and its lanes.

    Args:
        kind: Which lanes it has.
        settings: How many sandboxes may wait in each lane.
        without: Mechanisms that tests leave out.
        has_clocks: Whether this machine has time namespaces.

    Attributes:
        supplies: The connections, by lane.

    Raises:
        ProviderUnavailable: It is not known which interpreter runs this.
    """

    def __init__(
        self, kind: str, settings: PoolSettings, without: frozenset[Mechanism], *, has_clocks: bool = True
    ) -> None:
        if not sys.executable:
            raise ProviderUnavailable(
                "the process provider needs to know its Python interpreter; sys.executable is empty"
            )
        self.owner_pid = os.getpid()
        pairs = {lane: socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET) for lane in LANES[kind]}
        self.supplies = {lane: Supply(ours, lane) for lane, (ours, _) in pairs.items()}
        theirs = {lane.value: end.fileno() for lane, (_, end) in pairs.items()}
        self._complaints = os.memfd_create("launcher-stderr", os.MFD_CLOEXEC)
        try:
            self.process = self._start(kind, theirs, settings, {"without": sorted(without), "has_clocks": has_clocks})
        finally:
            for _, end in pairs.values():
                end.close()

    def _start(
        self, kind: str, supplies: dict[str, int], settings: PoolSettings, told: dict[str, Any]
    ) -> subprocess.Popen[bytes]:
        package = str(Path(cloister.__file__).resolve().parent.parent)
        # Not the one of a virtual environment: scripts get the interpreter as it would be started for them, and the
        # path on its command line, which sandboxes see, is that of no one's project
        interpreter = [os.path.realpath(sys.executable), "-I", *(() if kind == INTERPRETERS else ("-S",))]
        runtime = interpreter_for(ScriptLanguage.PYTHON).runtime
        facts = {
            "package": package,
            "kind": kind,
            "supplies": supplies,
            "settings": asdict(settings),
            "runtime": runtime,
            **told,
        }
        stdin = descriptors.sealed(json.dumps(facts).encode())
        try:
            # A session of its own: Ctrl-C is for the host, which ends its sandboxes in order
            return subprocess.Popen(  # noqa: S603 - our own interpreter and code
                [*interpreter, "-c", _BOOTSTRAP],
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                env=FIXED_ENVIRONMENT if Mechanism.CLEAN_ENVIRONMENT.value not in told["without"] else None,
                pass_fds=tuple(supplies.values()),
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(stdin)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    def await_ready(self) -> None:
        """Wait until it serves.

        Raises:
            LaunchError: `provider.launcher` when it does not start.
        """
        cause = next(iter(self.supplies.values())).await_word(READY, START_TIMEOUT_S)
        if cause is not None:
            complaint = self.complaint()
            self.end()
            raise LaunchError(
                f"the launcher of sandboxes did not start: {complaint or cause}",
                code="provider.launcher",
                hint="run `cloister doctor`; if the interpreter or the installation was moved, install again",
            )

    def complaint(self) -> str:
        """Return the last line it wrote on its standard error."""
        size = os.fstat(self._complaints).st_size
        text = os.pread(self._complaints, COMPLAINT_BYTES, max(0, size - COMPLAINT_BYTES)).decode("utf-8", "replace")
        lines = text.strip().splitlines()
        return quoted(lines[-1], 400) if lines else ""

    def end(self) -> None:
        """Close the connections, upon which it and all its sandboxes end, and wait for it.

        In a process that was forked from its owner nothing ends: it goes on for the owner.
        """
        is_owner = self.owner_pid == os.getpid()
        for supply in self.supplies.values():
            supply.close() if is_owner else supply.abandon()
        if is_owner:
            try:
                self.process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            if self.process.returncode != 0:  # it had no time to clean up
                removal.remove_of(self.process.pid)
        else:
            self.process.returncode = 0  # the child of another process: nothing to wait for here
        if self._complaints >= 0:
            os.close(self._complaints)
            self._complaints = -1
