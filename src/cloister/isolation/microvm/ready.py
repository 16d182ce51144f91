"""A machine whose agent waits for work.

Owns what is known of it from both sides, and what it means when the conversation with it ends before it should.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cloister.errors import CloisterError, GuestCrashed
from cloister.isolation.microvm.link import MachineLink
from cloister.isolation.microvm.statuses import MachineLost
from cloister.isolation.microvm.vmm import Machine, VmmUsage

LAST_WORDS_S: Final = 2.0
"""How long the end of a VMM is waited for after its agent has hung up."""
_PANIC: Final = "Kernel panic"
_ON_CRASH: Final = "see the end of its console in the details of this error"


class ReadyMachine:
    """A machine whose agent waits for work. It is used once.

    Args:
        machine: It, running.
        link: To its agent.
        on_stop: Told when it is stopped.
    """

    def __init__(
        self, machine: Machine, link: MachineLink, on_stop: Callable[[ReadyMachine], None] = lambda _: None
    ) -> None:
        self.machine = machine
        self.link = link
        self._on_stop = on_stop

    def __repr__(self) -> str:
        return f"ReadyMachine({self.machine!r})"

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
        self.link.close()
        self.machine.stop()
        self._on_stop(self)
