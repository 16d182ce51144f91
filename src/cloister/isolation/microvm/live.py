"""One machine from its start to its end, as seen from both sides: what runs it, and the agent in it.

Owns the stage that it is in and which may follow: it is greeted before it is adopted, adopted before it is used, and
used once. Whoever would have it otherwise has a defect, and is refused. Also what it means when the conversation with
its agent ends before it should. How it comes to be is `stock`'s; how many wait is `pool`'s.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from enum import Enum
from typing import Any, Final, Self

from cloister.errors import CloisterError, GuestCrashed, InternalError
from cloister.isolation.microvm.link import MachineLink
from cloister.isolation.microvm.statuses import MachineLost
from cloister.isolation.microvm.vmm import Machine, MachineSpec, VmmUsage

CONNECT_TIMEOUT_S: Final = 20.0
BOOT_TIMEOUT_S: Final = 120.0
LAST_WORDS_S: Final = 2.0
"""How long the end of a VMM is waited for after its agent has hung up."""
_PANIC: Final = "Kernel panic"
_ON_CRASH: Final = "see the end of its console in the details of this error"


class Stage(Enum):
    """Where a machine is in its life."""

    STARTED = "started"
    """It runs, and nobody knows yet who its agent is."""
    GREETED = "greeted"
    """Its agent is one of ours; its time and its randomness may be those of many."""
    WAITING = "waiting"
    """Time and randomness are its own. Nobody has used it."""
    WORKING = "working"
    """It runs one execution."""
    SESSION = "session"
    """It belongs to a session."""
    ENDING = "ending"
    """It was used, or is not needed any more, and is about to be stopped."""
    STOPPED = "stopped"
    """Nothing of it is left."""


_NEXT: Final = {
    Stage.STARTED: {Stage.GREETED},
    Stage.GREETED: {Stage.WAITING, Stage.STARTED},
    Stage.WAITING: {Stage.WORKING, Stage.SESSION, Stage.ENDING},
    Stage.WORKING: {Stage.ENDING},
    Stage.SESSION: {Stage.ENDING},
    Stage.ENDING: set[Stage](),
    Stage.STOPPED: {Stage.ENDING},
}
"""What may follow; beside that, each may be stopped. STARTED comes again where a VMM resets connections, and whoever
retires a machine that is stopped already changes nothing."""


class LiveMachine:
    """It. Whoever has it stops it.

    Args:
        machine: What runs it, going on.
        link: To its agent.
        spec: Its hardware.
        was_greeted: Whether its agent has said who it is already, before the machine was saved that this one goes on
            from.
        on_stop: Told when it is stopped.
    """

    def __init__(
        self,
        machine: Machine,
        link: MachineLink,
        spec: MachineSpec,
        *,
        was_greeted: bool = False,
        on_stop: Callable[[LiveMachine], None] = lambda _: None,
    ) -> None:
        self.machine: Final = machine
        self.link = link
        self.spec: Final = spec
        self._lock = threading.Lock()
        self._stage = Stage.GREETED if was_greeted else Stage.STARTED
        self._on_stop = on_stop
        self._adopted_s = time.monotonic()

    @classmethod
    def connected(
        cls,
        machine: Machine,
        spec: MachineSpec,
        *,
        was_greeted: bool = False,
        on_stop: Callable[[LiveMachine], None] = lambda _: None,
    ) -> Self:
        """Let a machine go on that was just started, and connect to its agent; what cannot be is stopped.

        Raises:
            LaunchError: As `Machine.connect`.
        """
        try:
            machine.resume()
            link = MachineLink(machine.connect(CONNECT_TIMEOUT_S))
        except BaseException:
            machine.stop()
            raise
        return cls(machine, link, spec, was_greeted=was_greeted, on_stop=on_stop)

    def __repr__(self) -> str:
        return f"LiveMachine({self._stage.value}, {self.machine!r})"

    @property
    def stage(self) -> Stage:
        """Where it is in its life."""
        return self._stage

    def turn(self, stage: Stage) -> None:
        """Let it go on to a stage, which only one thread can.

        Raises:
            InternalError: That may not follow the one it is in.
        """
        with self._lock:
            if stage not in _NEXT[self._stage]:
                raise InternalError(f"a virtual machine that is {self._stage.value} cannot become {stage.value}")
            if self._stage is not Stage.STOPPED:
                self._stage = stage

    @contextlib.contextmanager
    def or_stopped(self) -> Iterator[Self]:
        """Stop it when this is left by an exception."""
        try:
            yield self
        except BaseException:
            self.stop()
            raise

    def greet(self) -> None:
        """Wait for its agent's greeting.

        Raises:
            GuestCrashed: It does not come.
            WireError: Its agent is none of ours.
        """
        with self._explained():
            self.link.hello(BOOT_TIMEOUT_S)
        self.turn(Stage.GREETED)

    def greet_anew(self) -> None:
        """Connect to its agent again, as it was saved and its VMM resets connections then. Raises as `greet`."""
        self.turn(Stage.STARTED)
        self.link.close()
        self.link = MachineLink(self.machine.connect(CONNECT_TIMEOUT_S))
        self.greet()

    def prepare(self) -> None:
        """Have its agent make what a plan will need, so that it is saved with the machine. Raises as `greet`."""
        with self._explained():
            self.link.prepare()

    def attest(self, challenge: dict[str, Any]) -> dict[str, Any]:
        """Have its TPM answer a challenge. Raises as `greet`."""
        with self._explained():
            return self.link.attest(challenge)

    def adopt(self, clock_ns: int, entropy: bytes) -> None:
        """Set its clock, and give it randomness that no other machine has; it waits from then on.

        Raises:
            GuestCrashed: Its agent does not answer.
            WireError: Its clock is another afterwards.
            InternalError: It was not greeted, or was adopted before.
        """
        if self._stage is not Stage.GREETED:
            raise InternalError(f"a virtual machine that is {self._stage.value} cannot be adopted")
        with self._explained():
            self.link.adopt(clock_ns, entropy)
        self.turn(Stage.WAITING)
        self._adopted_s = time.monotonic()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except MachineLost as lost:
            raise self.lost(lost) from lost

    @property
    def age_ms(self) -> int:
        """How long ago it was adopted."""
        return round((time.monotonic() - self._adopted_s) * 1000)

    @property
    def pid(self) -> int | None:
        """Process id of what runs it."""
        return self.machine.pid

    def usage(self) -> VmmUsage:
        """Measure what runs it."""
        return self.machine.usage()

    def processor_usage(self) -> VmmUsage:
        """Measure the processor time of what runs it."""
        return self.machine.processor_usage()

    def has_ended(self) -> bool:
        """Return whether it has ended, or cannot be spoken to any more."""
        return self.machine.has_ended() or self.link.is_lost

    def lost(self, lost: MachineLost) -> CloisterError:
        """Return why the conversation with its agent ended, as far as can be seen from outside."""
        if self.machine.has_ended(LAST_WORDS_S):
            ended = self.machine.end_error()
            console = self.machine.console_tail()
            if _PANIC in console:
                return GuestCrashed(
                    "the kernel of the virtual machine panicked", details={"console": console}, hint=_ON_CRASH
                )
            return GuestCrashed(f"{ended.message} while it was needed", details=ended.details, hint=_ON_CRASH)
        details = {"console": self.machine.console_tail()}
        return GuestCrashed(f"the virtual machine does not answer: {lost.message}", details=details, hint=_ON_CRASH)

    def stop(self) -> None:
        """End it. Idempotent."""
        with self._lock:
            self._stage = Stage.STOPPED
        self.link.close()
        self.machine.stop()
        self._on_stop(self)
