"""The process that makes sandboxes for one provider.

Owns the loop that serves the lanes and watches every sandbox, those that wait and those that run. It is separate from
the host so that a sandbox never inherits the host's memory with its keys, and single-threaded so that cloning is safe
and cheap. What runs in a sandbox it never reads: what it read, its later sandboxes would find in their memory. It ends
when the host does, and every sandbox with it. Standard library only; part of the guest set.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import resource
import select
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from cloister.isolation.process import lanes, payloads, privileges, syscalls
from cloister.isolation.process import machine as machines
from cloister.isolation.process.cgroup import hierarchy
from cloister.isolation.process.cgroup.groups import Groups
from cloister.isolation.process.lanes import GUESTS, Lane, PoolSettings
from cloister.isolation.process.machine import Machine
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.pool import Pool
from cloister.isolation.process.seccomp import install as seccomp
from cloister.isolation.process.supervision import INFINITE_S, Sandbox
from cloister.isolation.process.walls import PROFILES
from cloister.isolation.process.zygote import Zygote, ZygoteLost

READY: Final = b"ready"
LEISURE_AFTER_S: Final = 0.020
FDS_FOR_WORK: Final = 64
"""Open files the launcher itself needs at a time: its own, those of one that is being made, those that are prepared for
the next one of each lane, and those of a look."""
FDS_PER_SANDBOX: Final = 4
"""Control, report, pidfd and /proc."""


def main(
    *,
    package: str,
    kind: str,
    supplies: Mapping[str, int],
    settings: Mapping[str, int],
    runtime: Sequence[str],
    without: Sequence[str],
    has_clocks: bool,
) -> None:
    """Serve requests until the host closes the connections.

    Args:
        package: Where Cloister is loaded from; nothing is, once this has begun to serve.
        kind: Which lanes it has, and so what it loads; see `lanes.LANES`.
        supplies: Descriptors of the connections, by lane.
        settings: Fields of `PoolSettings`.
        runtime: Directories that the interpreter of scripts needs beside the system's.
        without: Mechanisms that tests leave out.
        has_clocks: Whether this machine has time namespaces.
    """
    _prepare(kind, package)
    machine = machines.look(kind, tuple(runtime), frozenset(map(Mechanism, without)), has_clocks=has_clocks)
    connections = {Lane(lane): socket.socket(fileno=descriptor) for lane, descriptor in supplies.items()}
    launcher = Launcher(connections, machine, PoolSettings(**settings))
    connections[lanes.LANES[kind][0]].send(READY)
    launcher.run()
    launcher.close()


def _prepare(kind: str, package: str) -> None:
    """Load what is run in sandboxes, so that none has to, and keep the collector's hands off the shared pages."""
    if kind == GUESTS:
        payloads.load_guest()
    for profile in {PROFILES[lane] for lane in lanes.LANES[kind]}:
        seccomp.prepare(profile)
    sys.path.remove(package)
    null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    os.dup2(null, 0)  # in place of what it was told
    os.close(null)
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.umask(0o022)
    privileges.reset_signals()
    os.chdir("/")
    if os.geteuid() == 0:
        with contextlib.suppress(PermissionError):  # root of a namespace that may not: as for any ordinary user
            os.setgroups([])
    gc.collect()
    gc.freeze()


class Launcher:
    """The loop.

    Args:
        supplies: Connections to the host, one for each lane.
        machine: What is the same for all sandboxes.
        settings: How many may wait in each lane.
    """

    def __init__(self, supplies: Mapping[Lane, socket.socket], machine: Machine, settings: PoolSettings) -> None:
        self._poll = select.poll()
        self._actions: dict[int, Callable[[], None]] = {}
        self._sandboxes: set[Sandbox] = set()
        self._sandboxes_max = sandboxes_max(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
        self._is_open = True
        self._machine = machine
        self._groups = Groups(hierarchy.look(), os.getppid())
        self._zygote = Zygote(machine)  # after the groups: it has to be in the same one as this process
        self._register(self._zygote.fileno(), self._lose_zygote)
        self._pools = {
            lane: Pool(
                lane=lane,
                supply=supply,
                settings=settings,
                machine=machine,
                groups=self._groups,
                zygote=self._zygote,
                watch=self._watch,
            )
            for lane, supply in supplies.items()
        }
        for pool in self._pools.values():
            self._register(pool.supply.fileno(), functools.partial(self._serve, pool))

    def run(self) -> None:
        """Serve until the host closes the connections."""
        while self._is_open:
            for descriptor, _ in self._poll.poll(self._timeout_ms()):
                if descriptor in self._actions:  # an earlier action of this turn may have ended the sandbox
                    self._actions[descriptor]()
            now_s = time.monotonic()
            self._check(now_s)
            for pool in self._pools.values():
                pool.rest(now_s)
            self._refill(now_s)
            self._prepare(now_s)

    def close(self) -> None:
        """End what still runs or waits, and remove the control groups."""
        for sandbox in self._sandboxes:
            sandbox.kill()
            _contained(sandbox, sandbox.finish)
        for pool in self._pools.values():
            pool.close()
        self._zygote.close()
        self._groups.close()

    def _lose_zygote(self) -> None:
        raise ZygoteLost("the process that sandboxes are cloned from has ended")

    def _serve(self, pool: Pool) -> None:
        has_room = len(self._sandboxes) < self._sandboxes_max
        self._is_open = pool.serve(has_room=has_room) and self._is_open

    def _refill(self, now_s: float) -> None:
        """Make one that will be wanted, when that makes no one wait. One at a time: requests come first."""
        short = self._short_pool()
        if short is not None and self._leisure_at_s() <= now_s:
            short.make_spare()

    def _prepare(self, now_s: float) -> None:
        """Make what the next sandbox will need, when that makes no one wait."""
        is_building = any(not sandbox.is_complete for sandbox in self._sandboxes)
        if not is_building and self._leisure_at_s() <= now_s:
            self._groups.prepare()
            for pool in self._pools.values():
                pool.prepare()

    def _short_pool(self) -> Pool | None:
        if len(self._sandboxes) >= self._sandboxes_max:
            return None
        return next((pool for pool in self._pools.values() if pool.is_short), None)

    def _leisure_at_s(self) -> float:
        """Return when there is time to spare: once all that runs has been running for long."""
        youngest_s = max((sandbox.started_s or 0.0 for sandbox in self._sandboxes), default=0.0)
        return youngest_s + LEISURE_AFTER_S

    def _timeout_ms(self) -> int | None:
        first_s = min((sandbox.next_check_s for sandbox in self._sandboxes), default=INFINITE_S)
        first_s = min(first_s, *(pool.idle_at_s for pool in self._pools.values()))
        if self._short_pool() is not None:
            first_s = min(first_s, self._leisure_at_s())
        if first_s == INFINITE_S:
            return None
        # Rounded up; a time that is not quite there is a turn for nothing
        return max(0, int((first_s - time.monotonic()) * 1000 + 0.999))

    def _check(self, now_s: float) -> None:
        if not self._machine.has(Mechanism.SUPERVISOR):
            return
        for sandbox in self._sandboxes:
            if sandbox.next_check_s <= now_s:
                _contained(sandbox, functools.partial(sandbox.check, now_s))

    def _watch(self, sandbox: Sandbox) -> None:
        self._sandboxes.add(sandbox)
        pool = self._pools[sandbox.lane]
        control_fd, report_fd, pidfd = sandbox.control.fileno(), sandbox.report.fileno(), sandbox.pidfd

        def hear() -> None:
            if not sandbox.hear() or sandbox.is_answered:
                self._forget(control_fd)
            pool.take(sandbox)

        def take_report() -> None:
            was_answered = sandbox.is_answered
            if not sandbox.take_report():
                self._forget(report_fd)
            elif sandbox.is_answered and not was_answered:
                self._forget(control_fd)
                self._forget(report_fd)  # it was killed, and what it would still say is not asked for
            elif sandbox.is_waiting:
                pool.fit(sandbox)

        def finish() -> None:
            if not sandbox.is_answered:  # else the number may be that of another by now
                self._forget(control_fd)
            self._forget(report_fd)
            self._forget(pidfd)
            self._sandboxes.discard(sandbox)
            pool.lose(sandbox)
            sandbox.finish()

        for descriptor, action in ((control_fd, hear), (report_fd, take_report), (pidfd, finish)):
            self._register(descriptor, functools.partial(_contained, sandbox, action))

    def _register(self, descriptor: int, action: Callable[[], None]) -> None:
        self._actions[descriptor] = action
        self._poll.register(descriptor, select.POLLIN)

    def _forget(self, descriptor: int) -> None:
        if self._actions.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)


def _contained(sandbox: Sandbox, action: Callable[[], None]) -> None:
    """Do something for one sandbox; what goes wrong ends that one and no other."""
    try:
        action()
    except Exception as error:  # noqa: BLE001 - whatever it was
        print(f"{type(error).__name__}: {error}", file=sys.stderr, flush=True)  # noqa: T201 - the host keeps it
        sandbox.fail(error)


def sandboxes_max(open_files_max: int) -> int:
    """Return how many sandboxes can be watched at once.

    Args:
        open_files_max: The limit of open files of the launcher.
    """
    return max(1, (open_files_max - FDS_FOR_WORK) // FDS_PER_SANDBOX)


def is_supported() -> bool:
    """Return whether this machine's system calls are known."""
    return syscalls.is_known_machine()
