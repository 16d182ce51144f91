"""All rows together, and what they say of one system call.

Owns the joining of the tables and the explanation of a verdict. Standard library only; part of the guest set.
"""

from __future__ import annotations

import errno
from typing import Final

from cloister.isolation.process.seccomp.calls import Call, Profile, Refusal, Rule
from cloister.isolation.process.seccomp.files import FILES
from cloister.isolation.process.seccomp.processes import PROCESSES
from cloister.isolation.process.seccomp.refusals import REFUSALS
from cloister.isolation.process.seccomp.resources import RESOURCES
from cloister.isolation.process.seccomp.rules import RULES
from cloister.isolation.process.seccomp.streams import STREAMS

THEMES: Final = {
    "files and directories": FILES,
    "descriptors and sockets": STREAMS,
    "processes and threads": PROCESSES,
    "memory, time and the machine": RESOURCES,
}
"""Rows of allowed calls by theme, for people who read them."""
ALLOWED: Final[tuple[Call, ...]] = (*FILES, *STREAMS, *PROCESSES, *RESOURCES)

_GUESTS_DO_WITHOUT: Final = "Cloister's own guest does without it"


def number_of(row: Call | Refusal, machine: str) -> int | None:
    """Return the number of a call.

    Args:
        row: Its row.
        machine: `x86_64` or `aarch64`.

    Returns:
        None where the machine does not have it.
    """
    return {"x86_64": row.x86_64, "aarch64": row.aarch64}[machine]


def rules_for(name: str, profile: Profile) -> tuple[Rule, ...]:
    """Return the rules for the arguments of an allowed call, in the order in which they are asked."""
    return tuple(rule for rule in RULES if name in rule.names and profile in rule.profiles)


def explain(name: str, profile: Profile) -> str:
    """Say whether a system call is allowed, and why or why not.

    Args:
        name: As in the kernel's tables.
        profile: Who makes it.
    """
    for refusal in REFUSALS:
        if refusal.name == name:
            return f"{name} is refused with {errno.errorcode[refusal.error]}: {refusal.reason}"
    for call in ALLOWED:
        if call.name == name:
            return _explain_allowed(call, profile)
    return f"{name} is refused with ENOSYS: it is in no table of this version, so nothing is known to need it"


def _explain_allowed(call: Call, profile: Profile) -> str:
    if profile not in call.profiles:
        return f"{call.name} is refused with EPERM: {_GUESTS_DO_WITHOUT}"
    exceptions = "".join(
        f"; {rule.refused} is refused with {errno.errorcode[rule.error]}: {rule.reason}"
        for rule in rules_for(call.name, profile)
    )
    return f"{call.name} is allowed: {call.reason}{exceptions}"
