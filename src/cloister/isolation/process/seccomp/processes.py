"""Processes and threads: their start and end, signals, identity, scheduling and limits.

Owns the rows and the reason of each. Everything here stays within the process namespace of the sandbox; the supervisor
and the limits count what it starts. Standard library only; part of the guest set.

Source: numbers as in `calls`; what each call does is in section 2 of the manual, man-pages 6.x.
"""

from __future__ import annotations

from typing import Final

from cloister.isolation.process.seccomp.calls import ALL, PROGRAMS, Call

_THREAD: Final = "starts a thread or, in programs, a process; argument rules refuse namespaces, and processes to guests"
_FORK: Final = "starts a process, which the limits count"
_EXECUTE: Final = "becomes another program it can see; it cannot gain privileges by that"
_END: Final = "ends a thread or a process"
_REAP: Final = "waits for children; the first process of a sandbox reaps what is orphaned"
_HANDLE: Final = "pins a process of the sandbox, so that its number is not mistaken for another's"
_SYNCHRONISE: Final = "lets threads wait for one another"
_SIGNAL: Final = "sends signals, which reach no further than the process namespace"
_REACT: Final = "decides what signals do to itself"
_IDENTITY: Final = "asks who it is"
_SESSION: Final = "arranges processes in groups and sessions"
_STEP_DOWN: Final = "can only give up: without capabilities there is no other identity to take"
_SCHEDULE: Final = "asks how it is scheduled and arranges it within what a user may"
_LIMITS: Final = "asks for and lowers its own limits, which the first process does before the payload starts"
_ATTRIBUTE: Final = "changes its own attributes; the argument rules list which"
_NARROW: Final = "only takes rights away from the caller"
_PROBED: Final = (
    "is made by the kernel's own trampoline when the host traces the program; from elsewhere it ends the caller"
)

PROCESSES: Final = (
    Call("clone", 56, 220, ALL, _THREAD),
    Call("fork", 57, None, PROGRAMS, _FORK),
    Call("vfork", 58, None, PROGRAMS, _FORK),
    Call("execve", 59, 221, PROGRAMS, _EXECUTE),
    Call("execveat", 322, 281, PROGRAMS, _EXECUTE),
    Call("exit", 60, 93, ALL, _END),
    Call("exit_group", 231, 94, ALL, _END),
    Call("wait4", 61, 260, ALL, _REAP),
    Call("waitid", 247, 95, PROGRAMS, _REAP),
    Call("pidfd_open", 434, 434, PROGRAMS, _HANDLE),
    Call("pidfd_send_signal", 424, 424, PROGRAMS, _HANDLE),
    Call("futex", 202, 98, ALL, _SYNCHRONISE),
    Call("futex_waitv", 449, 449, PROGRAMS, _SYNCHRONISE),
    Call("futex_wake", 454, 454, PROGRAMS, _SYNCHRONISE),
    Call("futex_wait", 455, 455, PROGRAMS, _SYNCHRONISE),
    Call("futex_requeue", 456, 456, PROGRAMS, _SYNCHRONISE),
    Call("set_robust_list", 273, 99, ALL, _SYNCHRONISE),
    Call("set_tid_address", 218, 96, PROGRAMS, _SYNCHRONISE),
    Call("rseq", 334, 293, ALL, _SYNCHRONISE),
    Call("membarrier", 324, 283, PROGRAMS, _SYNCHRONISE),
    Call("kill", 62, 129, ALL, _SIGNAL),
    Call("tkill", 200, 130, PROGRAMS, _SIGNAL),
    Call("tgkill", 234, 131, ALL, _SIGNAL),
    Call("rt_sigqueueinfo", 129, 138, PROGRAMS, _SIGNAL),
    Call("rt_tgsigqueueinfo", 297, 240, PROGRAMS, _SIGNAL),
    Call("rt_sigaction", 13, 134, ALL, _REACT),
    Call("rt_sigprocmask", 14, 135, ALL, _REACT),
    Call("rt_sigreturn", 15, 139, ALL, _REACT),
    Call("rt_sigpending", 127, 136, PROGRAMS, _REACT),
    Call("rt_sigtimedwait", 128, 137, PROGRAMS, _REACT),
    Call("rt_sigsuspend", 130, 133, PROGRAMS, _REACT),
    Call("sigaltstack", 131, 132, ALL, _REACT),
    Call("pause", 34, None, PROGRAMS, _REACT),
    Call("restart_syscall", 219, 128, ALL, _REACT),
    Call("getpid", 39, 172, ALL, _IDENTITY),
    Call("getppid", 110, 173, ALL, _IDENTITY),
    Call("gettid", 186, 178, ALL, _IDENTITY),
    Call("getuid", 102, 174, ALL, _IDENTITY),
    Call("geteuid", 107, 175, ALL, _IDENTITY),
    Call("getgid", 104, 176, ALL, _IDENTITY),
    Call("getegid", 108, 177, ALL, _IDENTITY),
    Call("getresuid", 118, 148, PROGRAMS, _IDENTITY),
    Call("getresgid", 120, 150, PROGRAMS, _IDENTITY),
    Call("getgroups", 115, 158, PROGRAMS, _IDENTITY),
    Call("getpgid", 121, 155, PROGRAMS, _IDENTITY),
    Call("getpgrp", 111, None, PROGRAMS, _IDENTITY),
    Call("getsid", 124, 156, PROGRAMS, _IDENTITY),
    Call("capget", 125, 90, PROGRAMS, _IDENTITY),
    Call("setpgid", 109, 154, PROGRAMS, _SESSION),
    Call("setsid", 112, 157, ALL, _SESSION),
    Call("setuid", 105, 146, PROGRAMS, _STEP_DOWN),
    Call("setgid", 106, 144, PROGRAMS, _STEP_DOWN),
    Call("setreuid", 113, 145, PROGRAMS, _STEP_DOWN),
    Call("setregid", 114, 143, PROGRAMS, _STEP_DOWN),
    Call("setresuid", 117, 147, PROGRAMS, _STEP_DOWN),
    Call("setresgid", 119, 149, PROGRAMS, _STEP_DOWN),
    Call("setfsuid", 122, 151, PROGRAMS, _STEP_DOWN),
    Call("setfsgid", 123, 152, PROGRAMS, _STEP_DOWN),
    Call("setgroups", 116, 159, PROGRAMS, _STEP_DOWN),
    Call("capset", 126, 91, PROGRAMS, _STEP_DOWN),
    Call("sched_yield", 24, 124, ALL, _SCHEDULE),
    Call("sched_getaffinity", 204, 123, ALL, _SCHEDULE),
    Call("sched_setaffinity", 203, 122, PROGRAMS, _SCHEDULE),
    Call("sched_getparam", 143, 121, PROGRAMS, _SCHEDULE),
    Call("sched_setparam", 142, 118, PROGRAMS, _SCHEDULE),
    Call("sched_getscheduler", 145, 120, PROGRAMS, _SCHEDULE),
    Call("sched_setscheduler", 144, 119, PROGRAMS, _SCHEDULE),
    Call("sched_getattr", 315, 275, PROGRAMS, _SCHEDULE),
    Call("sched_setattr", 314, 274, PROGRAMS, _SCHEDULE),
    Call("sched_get_priority_max", 146, 125, PROGRAMS, _SCHEDULE),
    Call("sched_get_priority_min", 147, 126, PROGRAMS, _SCHEDULE),
    Call("sched_rr_get_interval", 148, 127, PROGRAMS, _SCHEDULE),
    Call("getpriority", 140, 141, ALL, _SCHEDULE),
    Call("setpriority", 141, 140, ALL, _SCHEDULE),
    Call("ioprio_get", 252, 31, PROGRAMS, _SCHEDULE),
    Call("ioprio_set", 251, 30, PROGRAMS, _SCHEDULE),
    Call("getrlimit", 97, 163, ALL, _LIMITS),
    Call("setrlimit", 160, 164, ALL, _LIMITS),
    Call("prlimit64", 302, 261, ALL, _LIMITS),
    Call("getrusage", 98, 165, ALL, _LIMITS),
    Call("prctl", 157, 167, ALL, _ATTRIBUTE),
    Call("arch_prctl", 158, None, PROGRAMS, _ATTRIBUTE),
    Call("personality", 135, 92, PROGRAMS, _ATTRIBUTE),
    Call("landlock_create_ruleset", 444, 444, ALL, _NARROW),
    Call("landlock_add_rule", 445, 445, ALL, _NARROW),
    Call("landlock_restrict_self", 446, 446, ALL, _NARROW),
    Call("seccomp", 317, 277, PROGRAMS, _NARROW),
    Call("uretprobe", 335, None, ALL, _PROBED),
    Call("uprobe", 336, None, ALL, _PROBED),
)
"""Calls that start, end, steer or describe processes of the sandbox."""
