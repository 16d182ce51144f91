"""The filter, run step by step, against what the tables say of every number and every argument that matters."""

from __future__ import annotations

import errno
import itertools
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.unit.isolation.process.seccomp.interpreting import ALLOW, ARCHITECTURES, ERRNO, KILL, X32_BIT, run, steps_of

from cloister.isolation.process.seccomp import install
from cloister.isolation.process.seccomp.calls import Condition, Profile, Rule
from cloister.isolation.process.seccomp.refusals import REFUSALS
from cloister.isolation.process.seccomp.table import ALLOWED, number_of, rules_for

KINDS = [(machine, profile) for machine in ARCHITECTURES for profile in Profile]
FILTERS = {kind: steps_of(install.program(*kind)) for kind in KINDS}
NUMBERS = {machine: {row.name: number_of(row, machine) for row in (*ALLOWED, *REFUSALS)} for machine in ARCHITECTURES}
NAMES = {
    machine: {number: name for name, number in numbers.items() if number is not None}
    for machine, numbers in NUMBERS.items()
}
CALLS = {call.name: call for call in ALLOWED}
ERRORS = {refusal.name: refusal.error for refusal in REFUSALS}
REFUSE, UNKNOWN = ERRNO | errno.EPERM, ERRNO | errno.ENOSYS


def answer(kind: tuple[str, Profile], number: int, *arguments: int) -> int:
    return run(FILTERS[kind], number, ARCHITECTURES[kind[0]], *arguments)


def holds(condition: Condition, arguments: tuple[int, ...]) -> bool:
    value = arguments[condition.argument] & 0xFFFFFFFF & condition.mask
    return (value in condition.values) == condition.is_member


def refuses(rule: Rule, arguments: tuple[int, ...]) -> bool:
    return all(holds(condition, arguments) for condition in rule.conditions)


def wanted(kind: tuple[str, Profile], number: int, *arguments: int) -> int:
    """Return what the tables say, read in the plainest way."""
    machine, profile = kind
    name = NAMES[machine].get(number)
    if name is None:
        return REFUSE if machine == "x86_64" and number >= X32_BIT else UNKNOWN
    if name in ERRORS:
        return ERRNO | ERRORS[name]
    if profile not in CALLS[name].profiles:
        return REFUSE
    padded = (*arguments, *[0] * (6 - len(arguments)))
    first = next((rule for rule in rules_for(name, profile) if refuses(rule, padded)), None)
    return ALLOW if first is None else ERRNO | first.error


def telling(conditions: list[Condition]) -> list[int]:
    """Return values of one argument at which conditions change their mind, and some in the upper half of it."""
    edges = {0, 1, 0xFFFFFFFF, 1 << 32}
    for condition in conditions:
        for value in condition.values:
            edges |= {value, value + 1, max(value - 1, 0), value | 1 << 32, value | 1 << 63}
        if condition.mask != 0xFFFFFFFF:
            edges |= {1 << bit for bit in range(32) if condition.mask >> bit & 1} | {condition.mask, ~condition.mask}
    return sorted({edge & (1 << 64) - 1 for edge in edges})


def combinations(name: str, profile: Profile) -> list[tuple[int, ...]]:
    conditions = [condition for rule in rules_for(name, profile) for condition in rule.conditions]
    used = {condition.argument for condition in conditions}
    values = [
        telling([condition for condition in conditions if condition.argument == argument]) if argument in used else [7]
        for argument in range(max(used, default=-1) + 1)
    ]
    return list(itertools.product(*values))


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_every_number_is_answered_as_the_tables_say(kind) -> None:
    far = [X32_BIT - 1, X32_BIT, X32_BIT + 1, X32_BIT | 59, 1 << 31, 0xFFFFFFFE, 0xFFFFFFFF]
    for number in [*range(2000), *far]:
        for arguments in combinations(NAMES[kind[0]].get(number, ""), kind[1]):
            assert answer(kind, number, *arguments) == wanted(kind, number, *arguments), (number, arguments)


@pytest.mark.parametrize("kind", KINDS, ids=str)
@examples(400)
@given(data=st.data())
def test_any_call_is_answered_as_the_tables_say(kind, data) -> None:
    known = sorted(NAMES[kind[0]])
    number = data.draw(st.one_of(st.sampled_from(known), st.integers(0, 0xFFFFFFFF)))
    arguments = data.draw(st.lists(st.integers(0, (1 << 64) - 1), min_size=6, max_size=6))
    assert answer(kind, number, *arguments) == wanted(kind, number, *arguments)


@pytest.mark.parametrize("profile", Profile)
def test_every_rule_refuses_something_that_nothing_else_does(profile) -> None:
    for name, call_row in CALLS.items():
        if profile in call_row.profiles:
            rules = rules_for(name, profile)
            tried = combinations(name, profile)
            padded = [(*arguments, *[0] * (6 - len(arguments))) for arguments in tried]
            for rule in rules:
                others = [other for other in rules if other is not rule]
                alone = [each for each in padded if refuses(rule, each) and not any(refuses(o, each) for o in others)]
                assert alone, (name, rule.refused)
            assert any(not any(refuses(rule, each) for rule in rules) for each in padded), f"{name} is never allowed"


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_a_filter_is_one_that_the_kernel_takes(kind) -> None:
    steps = FILTERS[kind]
    assert len(steps) <= 4096
    for position, (code, on_true, on_false, value) in enumerate(steps):
        if code == 0x05:
            assert position + 1 + value < len(steps)
        elif code in (0x15, 0x35, 0x45):
            assert position + 1 + max(on_true, on_false) < len(steps)
    assert steps[-1][0] == 0x06


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_few_steps_lead_to_any_number(kind) -> None:
    """The kernel runs the filter once for each number when it is installed: a list would make that slow."""
    taken = []

    class Counting(list):
        def __getitem__(self, position):
            taken.append(position)
            return super().__getitem__(position)

    longest = 0
    for number in range(500):
        taken.clear()
        run(Counting(FILTERS[kind]), number, ARCHITECTURES[kind[0]])
        longest = max(longest, len(taken))
    assert longest <= 40
    plain = NUMBERS[kind[0]]["read"]
    taken.clear()
    run(Counting(FILTERS[kind]), plain, ARCHITECTURES[kind[0]])
    assert len(taken) <= 14


@pytest.mark.parametrize("profile", Profile)
def test_other_calling_conventions(profile) -> None:
    steps = FILTERS["x86_64", profile]
    assert run(steps, 1, 0xC000003E) == ALLOW
    assert run(steps, 1, 0x40000003) == KILL  # i386
    assert run(steps, X32_BIT | 1, 0xC000003E) == REFUSE
    assert run(steps, 513, 0xC000003E) == UNKNOWN  # the numbers that x32 once had without its bit
    assert run(FILTERS["aarch64", profile], 64, 0xC00000B7) == ALLOW
    assert run(FILTERS["aarch64", profile], 64, 0x40000028) == KILL  # 32-bit ARM


def call(machine: str, profile: Profile, name: str, *arguments: int) -> int:
    return answer((machine, profile), NUMBERS[machine][name], *arguments)


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_families_of_sockets(machine) -> None:
    def made(*arguments: int) -> int:
        return call(machine, Profile.PROGRAMS, "socket", *arguments)

    families = {family for family in range(64) if made(family, socket.SOCK_STREAM) == ALLOW}
    assert families == {socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
    no_family, no_protocol = ERRNO | errno.EAFNOSUPPORT, ERRNO | errno.EPROTONOSUPPORT
    assert made(socket.AF_UNIX) == made(40) == no_family
    # The kernel takes the lower half of the register, and so must the filter
    assert made(1 << 32 | socket.AF_UNIX) == no_family
    assert made(1 << 32 | socket.AF_INET) == ALLOW
    assert {protocol for protocol in range(256) if made(socket.AF_NETLINK, 3, protocol) == ALLOW} == {0}
    assert made(socket.AF_INET, socket.SOCK_STREAM, 132) == no_protocol  # SCTP
    assert made(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP) == ALLOW


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_pairs_of_sockets_are_of_streams(machine) -> None:
    flags = socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK

    def made(*arguments: int) -> int:
        return call(machine, Profile.PROGRAMS, "socketpair", *arguments)

    kinds = {kind for kind in range(1, 11) if made(socket.AF_UNIX, kind | flags) == ALLOW}
    assert kinds == {socket.SOCK_STREAM, socket.SOCK_SEQPACKET}
    assert made(socket.AF_UNIX, socket.SOCK_DGRAM | flags) == REFUSE
    assert made(30, socket.SOCK_STREAM) == ERRNO | errno.EAFNOSUPPORT  # TIPC


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_buffers_are_not_enlarged(machine) -> None:
    def set_option(level: int, option: int) -> int:
        return call(machine, Profile.PROGRAMS, "setsockopt", 3, level, option)

    refused = {option for option in range(80) if set_option(socket.SOL_SOCKET, option) == REFUSE}
    assert refused == {socket.SO_SNDBUF, socket.SO_RCVBUF, 32, 33, 26, 50, 51, 52}
    assert set_option(socket.IPPROTO_TCP, socket.SO_SNDBUF) == ALLOW


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_what_starts_processes_and_threads(machine) -> None:
    fork, spawn, thread = 17, 0x4111, 0x3D0F00  # as the C library asks for them
    for flags in (fork, spawn, thread):
        assert call(machine, Profile.PROGRAMS, "clone", flags) == ALLOW
    assert [call(machine, Profile.GUESTS, "clone", flags) for flags in (fork, spawn, thread)] == [REFUSE, REFUSE, ALLOW]
    for profile in Profile:
        for new in (0x20000, *(1 << bit for bit in range(25, 31))):
            assert call(machine, profile, "clone", thread | new) == REFUSE
        assert call(machine, profile, "clone3") == UNKNOWN
