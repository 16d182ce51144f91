import errno
import struct

import pytest

from cloister.isolation.process import syscall_filter

ARCHITECTURES = {"x86_64": (0xC000003E, 0), "aarch64": (0xC00000B7, 1)}
ALLOW, REFUSE, KILL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x80000000


def verdict(program: bytes, number: int, architecture: int) -> int:
    """Run the filter as the kernel would, over the instructions it uses."""
    steps = list(struct.iter_unpack("=HBBI", program))
    position = loaded = 0
    while True:
        code, on_true, on_false, value = steps[position]
        position += 1
        if code == 0x20:
            loaded = (number, architecture)[value // 4]
        elif code == 0x06:
            return value
        else:
            holds = loaded == value if code == 0x15 else loaded >= value
            position += on_true if holds else on_false


@pytest.mark.parametrize("machine", ARCHITECTURES)
def test_exactly_the_table_is_refused(machine) -> None:
    program = syscall_filter.program(machine)
    architecture, column = ARCHITECTURES[machine]
    refused = {row[column] for row in syscall_filter.REFUSED.values()}
    assert {number for number in range(600) if verdict(program, number, architecture) == REFUSE} == refused
    assert {verdict(program, number, architecture) for number in set(range(600)) - refused} == {ALLOW}


def test_other_calling_conventions_are_refused() -> None:
    program = syscall_filter.program("x86_64")
    assert verdict(program, syscall_filter.X32_BIT + 1, 0xC000003E) == REFUSE
    assert verdict(program, 1, 0x40000003) == KILL
    assert verdict(program, 1, 0xC000003E) == ALLOW


def test_every_call_has_a_reason() -> None:
    assert all(len(reason) > 20 for _, _, reason in syscall_filter.REFUSED.values())
