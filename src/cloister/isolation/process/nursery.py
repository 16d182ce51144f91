"""The host's end of the launcher: it starts the launcher when it is first needed and asks it for sandboxes.

Owns the launcher process and the descriptors of each request. Several threads may ask at once. A launcher that has died
is noticed and replaced; a process that was forked from the host starts a launcher of its own.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import socket
import subprocess
import sys
import threading
import weakref
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import cloister
from cloister.errors import LaunchError, ProviderError, ProviderUnavailable, quoted
from cloister.isolation.process import descriptors
from cloister.isolation.process.launcher import READY
from cloister.isolation.process.outcome import too_few_descriptors
from cloister.isolation.process.spec import FIXED_ENVIRONMENT, SandboxSpec

START_TIMEOUT_S: Final = 30.0
END_TIMEOUT_S: Final = 5.0
RECORD_BYTES_MAX: Final = 64 * 1024
COMPLAINT_BYTES: Final = 2_000

_BOOTSTRAP: Final = """\
import sys
sys.path.insert(0, sys.argv[1])
from cloister.isolation.process.launcher import main
main(int(sys.argv[2]), sys.argv[3])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningSandbox:
    """The host's ends of one sandbox. Leaving its context ends the sandbox and closes them.

    Attributes:
        control: Closing it kills the sandbox; the record of its end arrives on it.
        stdout: Read end.
        stderr: Read end.
        channel: Connection to a forked guest; None for programs.
    """

    control: socket.socket
    stdout: int
    stderr: int
    channel: socket.socket | None

    def kill(self) -> None:
        """Have everything of the sandbox killed; its record still arrives."""
        with contextlib.suppress(OSError):  # the launcher is gone, and the sandbox with it
            self.control.shutdown(socket.SHUT_WR)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()
        try:
            self._await_end()
        finally:
            self.control.close()
            os.close(self.stdout)
            os.close(self.stderr)
            if self.channel is not None:
                self.channel.close()

    def _await_end(self) -> None:
        """Wait until nothing of the sandbox is left: the launcher closes its end of the connection last."""
        self.control.settimeout(END_TIMEOUT_S)
        with contextlib.suppress(OSError):  # the launcher is gone or stuck, which the next request will notice
            while self.control.recv(RECORD_BYTES_MAX):
                pass


class _Launcher:
    """A running launcher process, as one process of the host knows it."""

    def __init__(self, kind: str) -> None:
        if not sys.executable:
            raise ProviderUnavailable(
                "the process provider needs to know its Python interpreter; sys.executable is empty"
            )
        self.owner_pid = os.getpid()
        self.requests, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._complaints = os.memfd_create("launcher-stderr", os.MFD_CLOEXEC)
        package = str(Path(cloister.__file__).resolve().parent.parent)
        command = [sys.executable, "-I", "-S", "-c", _BOOTSTRAP, package, str(theirs.fileno()), kind]
        try:
            # A session of its own: Ctrl-C is for the host, which ends its sandboxes in order
            self.process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._complaints,
                env={name: FIXED_ENVIRONMENT[name] for name in ("PATH", "LANG")},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                cwd="/",
            )
        finally:
            theirs.close()

    def await_ready(self) -> None:
        self.requests.settimeout(START_TIMEOUT_S)
        try:
            answer = self.requests.recv(len(READY))
        except OSError as error:
            answer, cause = b"", str(error)
        else:
            cause = "it ended at once"
        if answer != READY:
            complaint = self.complaint()
            self.end()
            raise LaunchError(
                f"the launcher of sandboxes did not start: {complaint or cause}",
                code="provider.launcher",
                hint="run `cloister doctor`; if the interpreter or the installation was moved, install again",
            )
        self.requests.settimeout(None)

    def complaint(self) -> str:
        """Return the last line the launcher wrote on its standard error."""
        size = os.fstat(self._complaints).st_size
        text = os.pread(self._complaints, COMPLAINT_BYTES, max(0, size - COMPLAINT_BYTES)).decode("utf-8", "replace")
        lines = text.strip().splitlines()
        return quoted(lines[-1], 400) if lines else ""

    def end(self) -> None:
        """Close the connection, upon which the launcher and all its sandboxes end, and wait for it."""
        self.requests.close()
        if self.owner_pid == os.getpid():
            try:
                self.process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        else:
            self.process.returncode = 0  # the child of another process: nothing to wait for here
        if self._complaints >= 0:
            os.close(self._complaints)
            self._complaints = -1


class Nursery:
    """Starts sandboxes.

    Args:
        kind: `GUESTS` or `PROGRAMS`; each has a launcher of its own, since a fork costs by the size of what is forked.
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._lock = threading.Lock()
        self._launcher: _Launcher | None = None
        self._is_closed = False
        _NURSERIES.add(self)

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "idle" if self._launcher is None else "running"
        return f"Nursery({self._kind}, {state})"

    @property
    def launcher_pid(self) -> int | None:
        """Process id of the launcher; None when none was started yet."""
        return self._launcher.process.pid if self._launcher is not None else None

    def launch(self, spec: SandboxSpec, stdin: bytes = b"") -> RunningSandbox:
        """Ask for a sandbox.

        Args:
            spec: What to build.
            stdin: What a program finds on its standard input. It is a sealed file in memory, so a program that does not
                read it blocks nobody.

        Raises:
            LaunchError: `provider.launcher` when the launcher does not start, or too many files are open here.
            ProviderError: `provider.closed` after `close`.
        """
        try:
            return self._launch(spec, stdin)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ETOOMANYREFS):
                raise
            raise too_few_descriptors(f"{error.strerror}, in this process") from error

    def _launch(self, spec: SandboxSpec, stdin: bytes) -> RunningSandbox:
        # What is theirs is closed first: leaving a sandbox waits until nobody else has its connection
        with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
            control, their_control = descriptors.connection(socket.SOCK_SEQPACKET, ours, theirs)
            stdout, their_stdout = descriptors.pipe(ours, theirs)
            stderr, their_stderr = descriptors.pipe(ours, theirs)
            channel, their_channel = (
                descriptors.connection(socket.SOCK_STREAM, ours, theirs) if spec.is_guest else (None, None)
            )
            running = RunningSandbox(control=control, stdout=stdout, stderr=stderr, channel=channel)
            ours.pop_all()  # they are closed with it from here on
            ours.push(running)
            sent = [
                their_control.fileno(),
                descriptors.held(descriptors.sealed(spec.to_bytes()), theirs),
                descriptors.held(descriptors.input_file(stdin), theirs),
            ]
            sent += [their_stdout, their_stderr]
            if their_channel is not None:
                sent.append(their_channel.fileno())
            self._request(spec.request(), sent)
            ours.pop_all()
            return running

    def _request(self, message: bytes, descriptors: list[int]) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        launcher = self._ready_launcher()
        try:
            launcher.requests.sendmsg([message], rights)
        except OSError:
            # It died since its last work. Nothing of this request was begun, so a new one may be asked.
            self.discard(launcher)
            self._ready_launcher().requests.sendmsg([message], rights)

    def _ready_launcher(self) -> _Launcher:
        with self._lock:
            if self._is_closed:
                raise ProviderError("the process provider is closed", code="provider.closed", hint="create a new one")
            if self._launcher is None:
                launcher = _Launcher(self._kind)
                launcher.await_ready()
                self._launcher = launcher
            return self._launcher

    def discard(self, launcher: _Launcher | None = None) -> str:
        """Give up a launcher that does not answer, or the current one; return its last words."""
        with self._lock:
            current = self._launcher
            if current is None or (launcher is not None and launcher is not current):
                return ""  # another thread has replaced it already
            self._launcher = None
        complaint = current.complaint()
        current.end()
        return complaint

    def close(self) -> None:
        """End the launcher and every sandbox it still has. Idempotent."""
        self._is_closed = True
        self.discard()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        launcher, self._launcher = self._launcher, None
        if launcher is not None:
            # Held open here, the connection would keep the parent's launcher alive beyond the parent
            launcher.end()


_NURSERIES: Final[weakref.WeakSet[Nursery]] = weakref.WeakSet()


def _forget_in_child() -> None:
    for nursery in list(_NURSERIES):
        nursery._after_fork_in_child()  # noqa: SLF001 - the hook of this very module


os.register_at_fork(after_in_child=_forget_in_child)
