"""The host's way to a sandbox: it starts the launcher when it is first needed and takes sandboxes from it.

Owns the launcher's life and the order given to each sandbox. Several threads may ask at once. A launcher that has died
is noticed and replaced; a process that was forked from the host starts a launcher of its own.
"""

from __future__ import annotations

import array
import contextlib
import errno
import functools
import json
import os
import socket
import threading
import weakref
from collections.abc import Sequence
from typing import Final

from cloister.errors import CloisterError, InternalError, LaunchError, ProviderError
from cloister.isolation.process import descriptors, outcome
from cloister.isolation.process.lanes import ORDER_INLINE_BYTES, Lane, PoolSettings
from cloister.isolation.process.launcher_process import LauncherProcess
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.order import IN_FILE, Order
from cloister.isolation.process.running import RunningSandbox
from cloister.isolation.process.spec import SandboxSpec
from cloister.isolation.process.supply import LauncherGone, MountTable, Refused
from cloister.isolation.wire_messages import Message
from cloister.limits import ResourceLimits

TRIES: Final = 3
"""A launcher may have died since its last work; then another one is asked."""


class Nursery:
    """Gives out sandboxes.

    Args:
        kind: Which lanes it has; each kind has a launcher of its own, since a fork costs by the size of what is forked.
        settings: How many sandboxes may wait in each lane.
        without: Mechanisms that tests leave out.
        has_clocks: Whether this machine has time namespaces.
    """

    def __init__(
        self,
        kind: str,
        settings: PoolSettings | None = None,
        without: frozenset[Mechanism] = frozenset(),
        *,
        has_clocks: bool = True,
    ) -> None:
        self._kind = kind
        self._settings = settings or PoolSettings()
        self._without = without
        self._has_clocks = has_clocks
        self._lock = threading.Lock()
        self._launcher: LauncherProcess | None = None
        self._is_ready = False
        self._mount_table: MountTable | None = None
        self._is_closed = False
        _NURSERIES.add(self)

    def __repr__(self) -> str:
        state = "closed" if self._is_closed else "idle" if self._launcher is None else "running"
        return f"Nursery({self._kind}, {state})"

    @property
    def launcher_pid(self) -> int | None:
        """Process id of the launcher; None when none was started yet."""
        return self._launcher.pid if self._launcher is not None else None

    def prepare(self) -> None:
        """Start the launcher ahead of the first sandbox.

        Raises:
            LaunchError: `provider.launcher`: it does not start.
            ProviderError: `provider.closed` after `close`.
        """
        self._ready_launcher()

    def begin(self) -> None:
        """Start the launcher, unless there is one, and do not wait for it.

        Raises:
            CloisterError: As `prepare`, but for what shows only when it is waited for.
        """
        with self._lock:
            self._started()

    def launch(
        self,
        spec: SandboxSpec,
        stdin: bytes | socket.socket = b"",
        *,
        start: Message | None = None,
        handed: Sequence[int] = (),
    ) -> RunningSandbox:
        """Take a sandbox and tell it what to run.

        Args:
            spec: What that is.
            stdin: What a program finds on its standard input. It is a sealed file in memory, so a program that does not
                read it blocks nobody. Or the connection a session is served on.
            start: For a guest its start message, as it came out of a JSON parser.
            handed: Descriptors for the program, as many as the specification says; the caller closes its own.

        Raises:
            LaunchError: `provider.launcher` when the launcher does not start, or too many files are open here.
            ProviderUnavailable: No sandbox can be made on this machine.
            ProviderError: `provider.closed` after `close`.
        """
        try:
            return self._launch(spec, stdin, start, handed)
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE, errno.ETOOMANYREFS):
                raise
            raise outcome.too_few_descriptors(f"{error.strerror}, in this process") from error
        except Refused as refused:
            raise _explained(refused) from refused

    def _launch(
        self, spec: SandboxSpec, stdin: bytes | socket.socket, start: Message | None, handed: Sequence[int]
    ) -> RunningSandbox:
        with contextlib.ExitStack() as sent:
            order, rights = _letter(spec, stdin, start, handed, sent)
            while True:
                sandbox = self._take(spec.lane)
                try:
                    if _begin(sandbox, spec.limits, order, rights):
                        return sandbox
                except OSError:
                    sandbox.close()
                    raise
                sandbox.close()

    def _take(self, lane: Lane) -> RunningSandbox:
        complaint = ""
        for _ in range(TRIES):
            launcher = self._ready_launcher()
            try:
                if lane is not Lane.PLAN and self._mounts_have_changed():
                    for supply in launcher.supplies.values():
                        supply.renew()
                return launcher.supplies[lane].take()
            except LauncherGone:
                # Nothing of this request was begun, so another one may be asked
                complaint = self.discard(launcher) or complaint
        raise LaunchError(
            f"the launcher of sandboxes ends again and again: {complaint or 'without a word'}",
            code="provider.launcher",
            hint="run `cloister doctor`; if it happens there too, report it",
        )

    def _mounts_have_changed(self) -> bool:
        with self._lock:
            if self._mount_table is None:
                self._mount_table = MountTable()
            return self._mount_table.has_changed()

    def _ready_launcher(self) -> LauncherProcess:
        with self._lock:
            launcher = self._started()
            if not self._is_ready:
                try:
                    launcher.await_ready()
                except BaseException:
                    self._launcher = None
                    launcher.end()
                    raise
                self._is_ready = True
            return launcher

    def _started(self) -> LauncherProcess:
        """Return the launcher, be it that it has only just been started; the caller holds the lock."""
        if self._is_closed:
            raise ProviderError("the process provider is closed", code="provider.closed", hint="create a new one")
        if self._launcher is None:
            self._launcher = LauncherProcess(self._kind, self._settings, self._without, has_clocks=self._has_clocks)
            self._is_ready = False
        return self._launcher

    def discard(self, launcher: LauncherProcess | None = None) -> str:
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
        with self._lock:
            table, self._mount_table = self._mount_table, None
        if table is not None:
            table.close()

    def _after_fork_in_child(self) -> None:
        self._lock = threading.Lock()
        launcher, self._launcher = self._launcher, None
        if launcher is not None:
            # Held open here, the connections would keep the parent's launcher alive beyond the parent
            launcher.end()
        table, self._mount_table = self._mount_table, None
        if table is not None:
            table.close()  # a change is told once to all who share it, so the parent's is not asked here


def _letter(
    spec: SandboxSpec,
    stdin: bytes | socket.socket,
    start: Message | None,
    handed: Sequence[int],
    sent: contextlib.ExitStack,
) -> tuple[bytes, list[int]]:
    """Return what a sandbox is sent, and the descriptors that go with it."""
    order = Order.encode(spec, start)
    rights = [*_standard_input(spec, stdin, sent), *handed]
    if len(order) > ORDER_INLINE_BYTES:
        rights.append(descriptors.held(descriptors.sealed(order), sent))
        order = IN_FILE
    return order, rights


def _standard_input(spec: SandboxSpec, stdin: bytes | socket.socket, sent: contextlib.ExitStack) -> list[int]:
    """Return what is sent for it: nothing for a plan, whose sandbox has an empty one while it waits."""
    if spec.lane is Lane.PLAN:
        return []
    if isinstance(stdin, bytes):
        return [descriptors.held(descriptors.input_file(stdin), sent)]
    return [stdin.fileno()]


@functools.lru_cache(maxsize=64)
def _encoded(limits: ResourceLimits) -> bytes:
    return json.dumps(limits.to_dict()).encode("ascii")


def _begin(sandbox: RunningSandbox, limits: ResourceLimits, order: bytes, rights: list[int]) -> bool:
    """Tell the launcher that it is used, and the sandbox what to run; return False when it was just withdrawn."""
    try:
        sandbox.begin(_encoded(limits))
    except ConnectionError:
        return False
    with contextlib.suppress(ConnectionError):  # it has failed meanwhile, and the record will say why
        if rights:
            sandbox.order.sendmsg([order], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", rights))])
        else:
            sandbox.order.send(order)
    sandbox.order.close()
    return True


def _explained(refused: Refused) -> CloisterError:
    return outcome.set_up_failure({"reported": refused.report}) or InternalError("a refusal without a reason")


_NURSERIES: Final[weakref.WeakSet[Nursery]] = weakref.WeakSet()


def _forget_in_child() -> None:
    for nursery in list(_NURSERIES):
        nursery._after_fork_in_child()  # noqa: SLF001 - the hook of this very module


os.register_at_fork(after_in_child=_forget_in_child)
