"""The tables against the kernel's own, and against themselves."""

from __future__ import annotations

import errno
from collections import Counter
from pathlib import Path

import pytest

from cloister.isolation.process.seccomp.calls import ALL, ONLY_PROGRAMS, PROGRAMS, Profile
from cloister.isolation.process.seccomp.refusals import REFUSALS
from cloister.isolation.process.seccomp.rules import RULES
from cloister.isolation.process.seccomp.table import ALLOWED, THEMES, explain, number_of, rules_for

MACHINES = ("x86_64", "aarch64")
ROWS = (*ALLOWED, *REFUSALS)
KERNEL = {
    name: tuple(None if number == "-" else int(number) for number in numbers)
    for name, *numbers in (
        line.split()
        for line in Path(__file__).with_name("kernel_numbers.txt").read_text(encoding="ascii").splitlines()
        if not line.startswith("#")
    )
}


def test_every_call_of_the_kernel_is_allowed_or_refused_by_name_with_its_numbers() -> None:
    assert len(KERNEL) > 370
    assert {row.name: (row.x86_64, row.aarch64) for row in ROWS} == KERNEL


def test_no_call_is_in_two_rows() -> None:
    assert [name for name, count in Counter(row.name for row in ROWS).items() if count > 1] == []
    for machine in MACHINES:
        numbers = Counter(number_of(row, machine) for row in ROWS)
        del numbers[None]
        assert [number for number, count in numbers.items() if count > 1] == []


def test_every_row_has_a_reason_and_a_place() -> None:
    for row in (*ROWS, *RULES):
        assert len(row.reason.split()) >= 4, row
    for row in ROWS:
        assert row.x86_64 is not None, row
    for call in ALLOWED:
        assert call.profiles in (ALL, PROGRAMS, ONLY_PROGRAMS), call
    assert {refusal.error for refusal in REFUSALS} == {errno.EPERM, errno.ENOSYS}


def test_themes_hold_all_that_is_allowed() -> None:
    assert [call for rows in THEMES.values() for call in rows] == list(ALLOWED)


def test_rows_of_one_reason_stand_together() -> None:
    """Otherwise a page that prints a reason once for all of its calls would print it twice."""
    for rows in (*THEMES.values(), REFUSALS):
        reasons = [row.reason for row in rows]
        runs = [reason for before, reason in zip([None, *reasons], reasons, strict=False) if before != reason]
        assert len(runs) == len(set(runs))


def test_rules_are_for_calls_that_are_allowed() -> None:
    allowed = {call.name: call.profiles for call in ALLOWED}
    for rule in RULES:
        assert rule.conditions
        for name in rule.names:
            assert rule.profiles & allowed[name], (name, rule.refused)


def test_guests_have_much_less() -> None:
    """What they must not have is what makes the difference; a new row for them is a decision, not an accident."""
    guests = {call.name for call in ALLOWED if Profile.GUESTS in call.profiles}
    assert len(guests) < len(ALLOWED) / 2
    never = {
        "execve", "execveat", "fork", "vfork", "socket", "socketpair", "connect", "bind", "listen", "accept",
        "accept4", "setsockopt", "link", "linkat", "symlink", "symlinkat", "mknod", "mknodat", "chmod", "fchmodat",
        "chown", "setxattr", "inotify_init1", "seccomp", "personality", "pidfd_open", "timer_create", "setuid",
    }  # fmt: skip
    assert never & guests == set()
    assert never <= {call.name for call in ALLOWED}


@pytest.mark.parametrize(
    "name",
    [
        "io_uring_setup", "bpf", "keyctl", "add_key", "request_key", "userfaultfd", "perf_event_open", "ptrace",
        "process_vm_readv", "process_vm_writev", "process_madvise", "kcmp", "pidfd_getfd", "mount", "umount2",
        "move_mount", "fsopen", "mount_setattr", "pivot_root", "chroot", "unshare", "setns", "kexec_load",
        "init_module", "finit_module", "settimeofday", "clock_settime", "swapon", "acct", "quotactl", "nfsservctl",
        "open_by_handle_at", "name_to_handle_at", "memfd_create", "memfd_secret", "shmget", "msgget", "semget",
    ],
)  # fmt: skip
def test_what_must_never_be_allowed_is_refused_and_explained(name) -> None:
    (refusal,) = [refusal for refusal in REFUSALS if refusal.name == name]
    assert refusal.error == errno.EPERM
    for profile in Profile:
        assert explain(name, profile) == f"{name} is refused with EPERM: {refusal.reason}"


def test_explanations_name_the_verdict_of_each_profile() -> None:
    assert explain("read", Profile.GUESTS).startswith("read is allowed: ")
    assert explain("execve", Profile.PROGRAMS).startswith("execve is allowed: ")
    assert explain("execve", Profile.GUESTS).startswith("execve is refused with EPERM: ")
    assert explain("clone3", Profile.PROGRAMS).startswith("clone3 is refused with ENOSYS: ")
    assert explain("teleport", Profile.PROGRAMS).startswith("teleport is refused with ENOSYS: ")
    assert "with a CLONE_NEW flag is refused with EPERM" in explain("clone", Profile.PROGRAMS)
    assert "without CLONE_THREAD is refused" not in explain("clone", Profile.PROGRAMS)
    assert "without CLONE_THREAD is refused with EPERM" in explain("clone", Profile.GUESTS)


def test_rules_are_asked_in_their_order() -> None:
    assert rules_for("read", Profile.PROGRAMS) == ()
    assert [rule.error for rule in rules_for("socketpair", Profile.PROGRAMS)] == [errno.EAFNOSUPPORT, errno.EPERM]
