"""How strongly code is kept apart from the host, and how a context decides.

Owns the order of isolation levels, the levels of a context, and the ways in which a step of a plan may stand to what is
around it. A provider declares the level it has evidence for; a context may demand a minimum, and says which ways a plan
may ask for.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum


class IsolationLevel(IntEnum):
    """Isolation levels, weakest first; a larger number is a stronger wall."""

    NONE = 0
    """No wall: the mock provider, which never runs foreign code."""
    PROCESS_REDUCED = 5
    """As PROCESS, on a machine that lacks a second wall: namespaces, limits and the system call filter stand, but
    Landlock is missing or too old, or there are no time namespaces."""
    PROCESS = 10
    """Kernel namespaces, Landlock, a system call filter and limits around an ordinary process."""
    WASM = 20
    """A memory-safe virtual machine without system calls of its own."""
    USER_KERNEL = 30
    """A kernel in user space between the program and the host's."""
    MACHINE_REDUCED = 35
    """As MACHINE, where the processor does not help or a second wall is missing: a machine is translated in software by
    a VMM whose authors do not call a defect of that a security defect. The walls of PROCESS stand around it."""
    MACHINE = 40
    """A virtual machine with a kernel of its own."""

    @property
    def label(self) -> str:
        """How people write it, for example `process-reduced`."""
        return self.name.lower().replace("_", "-")


class StepIsolation(StrEnum):
    """What a step sees of the context of the step around it.

    Source: CCOS system reference, section 1.5.
    """

    INHERIT = "inherit"
    """Reads fall through to the step around it; writes stay in the step."""
    ISOLATED = "isolated"
    """The step around it can be read, and not be changed."""
    SANDBOXED = "sandboxed"
    """Nothing of the step around it is seen."""


class SecurityLevel(StrEnum):
    """How a context decides."""

    PURE = "pure"
    """Nothing at all: code that only computes."""
    CONTROLLED = "controlled"
    """Exactly what is listed."""
    UNSAFE_EVERYTHING = "UnsafeEverything"
    """Every registered capability, path, host and variable, but for what is denied. Spelled out because it is a hole,
    and recorded as one."""
