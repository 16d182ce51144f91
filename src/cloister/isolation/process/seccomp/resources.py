"""Memory, time, and facts about the machine.

Owns the rows and the reason of each. Memory of a process is counted and bounded by the supervisor, the control group
and the kernel's limits. Standard library only; part of the guest set.

Source: numbers as in `calls`; what each call does is in section 2 of the manual, man-pages 6.x.
"""

from __future__ import annotations

from typing import Final

from cloister.isolation.process.seccomp.calls import ALL, PROGRAMS, Call

_MEMORY: Final = "maps and unmaps its own memory, which the limits count; guests get none that is executable"
_MEMORY_ADVICE: Final = "advises the kernel about its own memory"
_MEMORY_LOCK: Final = "keeps its own memory resident, within its small limit"
_MEMORY_KEYS: Final = "protects its own memory from itself, which compilers in runtimes do"
_MEMORY_PLACE: Final = "asks where its own memory lies, which libraries do when they are loaded"
_CLOCK: Final = "reads clocks, which most programs do"
_SLEEP: Final = "waits for time to pass"
_TIMER: Final = "has itself interrupted after some time"
_MACHINE: Final = "asks what machine and kernel this is"
_RANDOM: Final = "gets random bytes from the kernel"

RESOURCES: Final = (
    Call("mmap", 9, 222, ALL, _MEMORY),
    Call("munmap", 11, 215, ALL, _MEMORY),
    Call("mprotect", 10, 226, ALL, _MEMORY),
    Call("mremap", 25, 216, ALL, _MEMORY),
    Call("brk", 12, 214, ALL, _MEMORY),
    Call("madvise", 28, 233, ALL, _MEMORY_ADVICE),
    Call("msync", 26, 227, PROGRAMS, _MEMORY_ADVICE),
    Call("mincore", 27, 232, PROGRAMS, _MEMORY_ADVICE),
    Call("mlock", 149, 228, PROGRAMS, _MEMORY_LOCK),
    Call("mlock2", 325, 284, PROGRAMS, _MEMORY_LOCK),
    Call("mlockall", 151, 230, PROGRAMS, _MEMORY_LOCK),
    Call("munlock", 150, 229, PROGRAMS, _MEMORY_LOCK),
    Call("munlockall", 152, 231, PROGRAMS, _MEMORY_LOCK),
    Call("pkey_alloc", 330, 289, PROGRAMS, _MEMORY_KEYS),
    Call("pkey_free", 331, 290, PROGRAMS, _MEMORY_KEYS),
    Call("pkey_mprotect", 329, 288, PROGRAMS, _MEMORY_KEYS),
    Call("mseal", 462, 462, PROGRAMS, _MEMORY_KEYS),
    Call("map_shadow_stack", 453, 453, PROGRAMS, _MEMORY_KEYS),
    Call("get_mempolicy", 239, 236, PROGRAMS, _MEMORY_PLACE),
    Call("clock_gettime", 228, 113, ALL, _CLOCK),
    Call("clock_getres", 229, 114, ALL, _CLOCK),
    Call("gettimeofday", 96, 169, ALL, _CLOCK),
    Call("time", 201, None, ALL, _CLOCK),
    Call("times", 100, 153, PROGRAMS, _CLOCK),
    Call("nanosleep", 35, 101, ALL, _SLEEP),
    Call("clock_nanosleep", 230, 115, ALL, _SLEEP),
    Call("alarm", 37, None, PROGRAMS, _TIMER),
    Call("getitimer", 36, 102, PROGRAMS, _TIMER),
    Call("setitimer", 38, 103, PROGRAMS, _TIMER),
    Call("timer_create", 222, 107, PROGRAMS, _TIMER),
    Call("timer_settime", 223, 110, PROGRAMS, _TIMER),
    Call("timer_gettime", 224, 108, PROGRAMS, _TIMER),
    Call("timer_getoverrun", 225, 109, PROGRAMS, _TIMER),
    Call("timer_delete", 226, 111, PROGRAMS, _TIMER),
    Call("uname", 63, 160, ALL, _MACHINE),
    Call("sysinfo", 99, 179, PROGRAMS, _MACHINE),
    Call("getcpu", 309, 168, PROGRAMS, _MACHINE),
    Call("getrandom", 318, 278, ALL, _RANDOM),
)
"""Calls for memory, time and facts."""
