import errno
import socket
import struct

import pytest

from cloister.isolation.process import syscall_filter

ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000
NO_FAMILY = 0x00050000 | errno.EAFNOSUPPORT


def verdict(program: bytes, number: int, architecture: int, *arguments: int) -> int:
    """Run the filter as the kernel would, over the instructions it uses."""
    given = struct.pack("=IIQ6Q", number, architecture, 0, *arguments, *[0] * (6 - len(arguments)))
    steps = list(struct.iter_unpack("=HBBI", program))
    position = loaded = 0
    while True:
        code, on_true, on_false, value = steps[position]
        position += 1
        if code == 0x20:
            (loaded,) = struct.unpack_from("=I", given, value)
        elif code == 0x54:
            loaded &= value
        elif code == 0x05:
            position += value
        elif code == 0x06:
            return value
        else:
            holds = loaded == value if code == 0x15 else loaded >= value
            position += on_true if holds else on_false


@pytest.fixture(params=ARCHITECTURES)
def call(request):
    """What the filter of a machine says of a call by its name."""
    program = syscall_filter.program(request.param)
    architecture, column = ARCHITECTURES[request.param]
    numbers = {rule.name: rule.numbers[column] for rule in syscall_filter.RULES}
    return lambda name, *arguments: verdict(program, numbers[name], architecture, *arguments)


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_exactly_the_tables_are_refused(machine) -> None:
    program = syscall_filter.program(machine)
    architecture, column = ARCHITECTURES[machine]
    refused = {row[column] for row in syscall_filter.REFUSED.values()}
    by_argument = {rule.numbers[column] for rule in syscall_filter.RULES}
    assert {number for number in range(600) if verdict(program, number, architecture) == REFUSE} == refused
    others = set(range(600)) - refused - by_argument
    assert {verdict(program, number, architecture) for number in others} == {ALLOW}


def test_only_families_of_the_network_namespace_have_sockets(call) -> None:
    families = {family for family in range(64) if call("socket", family, socket.SOCK_STREAM) == ALLOW}
    assert families == {socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK}
    assert call("socket", socket.AF_UNIX) == call("socket", 40) == NO_FAMILY
    # The kernel takes the lower half of the register, and so must the filter
    assert call("socket", 1 << 32 | socket.AF_UNIX) == NO_FAMILY
    assert call("socket", 1 << 32 | socket.AF_INET) == ALLOW


def test_pairs_are_of_streams(call) -> None:
    flags = socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    kinds = {kind for kind in range(1, 11) if call("socketpair", socket.AF_UNIX, kind | flags) == ALLOW}
    assert kinds == {socket.SOCK_STREAM, socket.SOCK_SEQPACKET}
    assert call("socketpair", socket.AF_UNIX, socket.SOCK_DGRAM | flags) == REFUSE
    assert call("socketpair", 30, socket.SOCK_STREAM) == NO_FAMILY  # TIPC


def test_buffers_are_not_enlarged(call) -> None:
    refused = {option for option in range(80) if call("setsockopt", 3, socket.SOL_SOCKET, option) == REFUSE}
    assert refused == {socket.SO_SNDBUF, socket.SO_RCVBUF, 32, 33}
    assert call("setsockopt", 3, socket.IPPROTO_TCP, socket.SO_SNDBUF) == ALLOW


def test_other_calling_conventions_are_refused() -> None:
    program = syscall_filter.program("x86_64")
    assert verdict(program, syscall_filter.X32_BIT + 1, 0xC000003E) == REFUSE
    assert verdict(program, 1, 0x40000003) == KILL
    assert verdict(program, 1, 0xC000003E) == ALLOW


def test_every_call_has_a_reason() -> None:
    reasons = [row[2] for row in syscall_filter.REFUSED.values()] + [rule.reason for rule in syscall_filter.RULES]
    assert all(len(reason) > 20 for reason in reasons)
