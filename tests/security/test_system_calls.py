"""Threat: a program that reaches for the kernel itself. Each call is refused with its error; its twin goes through."""

import errno
import json
import platform
from pathlib import Path

import pytest

import cloister
from cloister.isolation.microvm.confinement import Confinement
from cloister.isolation.process.seccomp.calls import Profile
from cloister.isolation.process.seccomp.refusals import REFUSALS
from cloister.isolation.process.seccomp.table import ALLOWED, number_of, rules_for
from cloister.limits import MIB

SOURCES = Path(cloister.__file__).parent.parent
MACHINE = platform.machine()
NUMBERS = {row.name: number_of(row, MACHINE) for row in (*ALLOWED, *REFUSALS)}

HARNESS = """
import ctypes, errno, json, os, socket, sys, threading
given = json.load(sys.stdin)
libc = ctypes.CDLL(None, use_errno=True)
syscall = libc.syscall
syscall.restype = ctypes.c_long
os.chdir('/tmp')
file = os.open('file', os.O_RDWR | os.O_CREAT, 0o600)
reader, writer = os.pipe()
random = os.open('/dev/urandom', os.O_RDONLY)
kept_socket = socket.socketpair()[0] if given['profile'] == 'machines' else socket.socket()
tcp = kept_socket.fileno()
block = ctypes.create_string_buffer(4096)
buffer = ctypes.addressof(block)
one = ctypes.c_int(1)
text = lambda word: ctypes.addressof(kept.setdefault(word, ctypes.create_string_buffer(word.encode())))
kept = {}
allow_all = (ctypes.c_ubyte * 8)(6, 0, 0, 0, 0, 0, 0xff, 0x7f)
class Filter(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('steps', ctypes.c_void_p)]
kept['filter'] = Filter(1, ctypes.addressof(allow_all))
names = {'os': os, 'file': file, 'reader': reader, 'random': random, 'tcp': tcp, 'buffer': buffer, 'text': text,
         'one': ctypes.addressof(one), 'filter': ctypes.addressof(kept['filter'])}
page = libc.mmap
page.restype = ctypes.c_void_p
names['page'] = page(None, ctypes.c_size_t(4096), 3, 0x22, -1, ctypes.c_long(0))
if given['profile'] == 'guests':
    sys.path.insert(0, given['sources'])
    from cloister.isolation.process.seccomp import install
    from cloister.isolation.process.seccomp.calls import Profile
    install.install(Profile(given['profile']))
def attempt(number, arguments):
    values = [ctypes.c_long(value) for value in eval('(' + arguments + ',)', names)] if arguments else []
    ctypes.set_errno(0)
    result = syscall(ctypes.c_long(number), *values)
    if result == 0 and number == given['clone']:
        os._exit(0)
    return errno.errorcode[ctypes.get_errno()] if result == -1 else 'done'
print(json.dumps([attempt(*case) for case in given['cases']]))
"""


def said_by_machine_program(source: str) -> object:
    """Run Python code where programs that run virtual machines are confined."""
    confinement = Confinement()
    try:
        argv = ["/usr/bin/python3", "-I", "-c", source, "mark", "end"]
        with confinement.start(argv, "mark", (), memory_bytes=256 * MIB) as process:
            assert process.has_ended(30), "it goes on"
            return json.loads(process.tail())
    finally:
        confinement.close()


def attempts(bench, profile: Profile, cases: list[tuple[str | int, str]]) -> list[str]:
    """Make calls in a sandbox of programs, or of machines; for guests, with their filter on top of that of programs."""
    numbered = [(NUMBERS[call] if isinstance(call, str) else call, arguments) for call, arguments in cases]
    given = {
        "profile": profile.value,
        "sources": str(SOURCES),
        "clone": NUMBERS["clone"],
        "cases": numbered,
    }
    source = HARNESS.replace("json.load(sys.stdin)", f"json.loads({json.dumps(json.dumps(given))})")
    is_machine = profile is Profile.MACHINES
    answers = said_by_machine_program(source) if is_machine else bench.python(source, read=(SOURCES,))
    assert isinstance(answers, list)
    return answers


PROGRAMS = (
    ("clone", "0x10000000 | 17, 0, 0, 0, 0", "EPERM", "17, 0, 0, 0, 0"),
    ("socket", "1, 1, 0", "EAFNOSUPPORT", "2, 1, 0"),
    ("socket", "16, 3, 9", "EAFNOSUPPORT", "16, 3, 0"),
    ("socket", "2, 2, 136", "EPROTONOSUPPORT", "2, 2, 17"),
    ("socketpair", "2, 1, 0, buffer", "EAFNOSUPPORT", "1, 1, 0, buffer"),
    ("socketpair", "1, 2, 0, buffer", "EPERM", "1, 5, 0, buffer"),
    ("setsockopt", "tcp, 1, 7, one, 4", "EPERM", "tcp, 1, 9, one, 4"),
    ("setsockopt", "tcp, 1, 26, filter, 16", "EPERM", "tcp, 1, 9, one, 4"),
    ("setsockopt", "tcp, 6, 31, text('tls'), 3", "EPERM", "tcp, 6, 1, one, 4"),
    ("ioctl", "reader, 0x5412, buffer", "EPERM", "reader, 0x541B, buffer"),
    ("ioctl", "reader, 0x5423, buffer", "EPERM", "reader, 0x541B, buffer"),
    ("ioctl", "random, 0x80045200, buffer", "ENOTTY", "random, 0x5421, buffer"),
    ("ioctl", "file, 0x40086602, buffer", "ENOTTY", "file, 0x80086601, buffer"),
    ("fcntl", "file, 1024, 0", "EPERM", "file, 1025, 0"),
    ("fcntl", "reader, 1031, 131072", "EPERM", "reader, 1032, 0"),
    ("open", "text('a'), 0o101, 0o4700", "EPERM", "text('a'), 0o101, 0o700"),
    ("openat", "-100, text('b'), 0o101, 0o2700", "EPERM", "-100, text('b'), 0o101, 0o700"),
    ("openat", "-100, text('/tmp'), 0o20200002, 0o4700", "EPERM", "-100, text('/tmp'), 0o20200002, 0o700"),
    ("creat", "text('c'), 0o4700", "EPERM", "text('c'), 0o700"),
    ("chmod", "text('file'), 0o4700", "EPERM", "text('file'), 0o700"),
    ("fchmod", "file, 0o2700", "EPERM", "file, 0o1700"),
    ("fchmodat", "-100, text('file'), 0o6700", "EPERM", "-100, text('file'), 0o700"),
    ("mknod", "text('d'), 0o014700, 0", "EPERM", "text('d'), 0o010700, 0"),
    ("mknod", "text('e'), 0o020600, 0", "EPERM", "text('e'), 0o100600, 0"),
    ("mknodat", "-100, text('f'), 0o012700, 0", "EPERM", "-100, text('f'), 0o010700, 0"),
    ("mknodat", "-100, text('g'), 0o140600, 0", "EPERM", "-100, text('g'), 0o600, 0"),
    ("prctl", "26, 1, 0, 0, 0", "EPERM", "15, text('name'), 0, 0, 0"),
    ("prctl", "47, 4, 0, 0, 0", "EPERM", "47, 1, 0, 0, 0"),
    ("arch_prctl", "0x1012, 1", "EPERM", "0x1003, buffer"),
    ("personality", "0x0040000", "EPERM", "0xFFFFFFFF"),
    ("personality", "8", "EPERM", "0"),
    ("prlimit64", "os.getpid(), 7, 0, buffer", "EPERM", "0, 7, 0, buffer"),
    ("seccomp", "1, 8, filter", "EPERM", "1, 0, filter"),
)
"""Call, arguments that are refused, with what, and arguments that are not."""

GUESTS = (
    ("clone", "17, 0, 0, 0, 0", "EPERM", None),
    ("clone", "0x20000 | 0x3D0F00, 0, 0, 0, 0", "EPERM", None),
    ("ioctl", "reader, 0x5420, buffer", "ENOTTY", "reader, 0x541B, buffer"),
    ("fcntl", "file, 1024, 0", "EPERM", "file, 3, 0"),
    ("fcntl", "reader, 1031, 131072", "EPERM", "reader, 1, 0"),
    ("open", "text('a'), 0o101, 0o4700", "EPERM", "text('a'), 0o101, 0o700"),
    ("openat", "-100, text('b'), 0o101, 0o2700", "EPERM", "-100, text('b'), 0o101, 0o700"),
    ("fchmod", "file, 0o4700", "EPERM", "file, 0o700"),
    ("mmap", "0, 4096, 5, 0x22, -1, 0", "EPERM", "0, 4096, 3, 0x22, -1, 0"),
    ("mprotect", "page, 4096, 5", "EPERM", "page, 4096, 1"),
    ("prctl", "26, 1, 0, 0, 0", "EPERM", "15, text('name'), 0, 0, 0"),
    ("prctl", "22, 2, filter, 0, 0", "EPERM", "21, 0, 0, 0, 0"),
    ("prctl", "1, 0, 0, 0, 0", "EPERM", "1, 9, 0, 0, 0"),
    ("prctl", "4, 1, 0, 0, 0", "EPERM", "4, 0, 0, 0, 0"),
    ("prlimit64", "os.getpid(), 7, 0, buffer", "EPERM", "0, 7, 0, buffer"),
)
"""The same for guests; None where a twin is tried elsewhere."""

MACHINES = (
    *(case for case in PROGRAMS if case[0] not in ("socket", "setsockopt")),
    ("socket", "2, 1, 0", "EAFNOSUPPORT", "1, 1, 0"),
    ("socket", "16, 3, 0", "EAFNOSUPPORT", "1, 5, 0"),
    ("socket", "40, 1, 0", "EAFNOSUPPORT", "1, 1, 0"),
    ("setsockopt", "tcp, 1, 7, one, 4", "EPERM", "tcp, 1, 9, one, 4"),
    ("setsockopt", "tcp, 1, 26, filter, 16", "EPERM", "tcp, 1, 9, one, 4"),
    ("setsockopt", "tcp, 6, 31, text('tls'), 3", "EPERM", None),
)
"""The same for programs that run virtual machines."""

NEEDS_A_LATER_KERNEL = {"fchmodat2"}
"""Linux 6.6; the filter for it is the one for `fchmodat`, which the unit tests run."""

CASES = {Profile.PROGRAMS: PROGRAMS, Profile.GUESTS: GUESTS, Profile.MACHINES: MACHINES}


@pytest.mark.parametrize("profile", Profile)
def test_arguments_that_are_refused_and_their_twins(bench, profile) -> None:
    cases = [case for case in CASES[profile] if NUMBERS[case[0]] is not None]
    refused = attempts(bench, profile, [(name, arguments) for name, arguments, _, _ in cases])
    assert list(zip(cases, refused, strict=True)) == [(case, case[2]) for case in cases]
    twins = [(name, twin) for name, _, _, twin in cases if twin is not None]
    assert list(zip(twins, attempts(bench, profile, twins), strict=True)) == [(twin, "done") for twin in twins]


@pytest.mark.parametrize("profile", Profile)
def test_every_call_with_rules_is_tried(profile) -> None:
    with_rules = {call.name for call in ALLOWED if profile in call.profiles and rules_for(call.name, profile)}
    assert {name for name, *_ in CASES[profile]} == with_rules - NEEDS_A_LATER_KERNEL


@pytest.mark.parametrize("profile", Profile)
def test_calls_that_are_refused_whatever_their_arguments(bench, profile) -> None:
    rows = [refusal for refusal in REFUSALS if NUMBERS[refusal.name] is not None]
    answers = attempts(bench, profile, [(refusal.name, "0, 0, 0, 0, 0, 0") for refusal in rows])
    assert dict(zip([refusal.name for refusal in rows], answers, strict=True)) == {
        refusal.name: errno.errorcode[refusal.error] for refusal in rows
    }
    assert attempts(bench, profile, [("getpid", "")]) == ["done"]


@pytest.mark.parametrize("profile", Profile)
def test_calls_that_are_in_no_table_do_not_exist(bench, profile) -> None:
    unknown = [(number, "0, 0, 0, 0, 0, 0") for number in (336 + 5, 423, 600, 100_000)]
    assert attempts(bench, profile, unknown) == ["ENOSYS"] * len(unknown)


def test_guests_are_refused_what_programs_may(bench) -> None:
    more = [
        ("socket", "2, 1, 0"), ("pipe2", "buffer, 0"), ("getresuid", "buffer, buffer, buffer"), ("eventfd2", "0, 0"),
        ("personality", "0xFFFFFFFF"), ("setpgid", "0, 0"), ("flock", "file, 2"), ("ftruncate", "file, 5"),
        ("symlinkat", "text('x'), -100, text('s')"), ("mlock", "page, 4096"),
    ]  # fmt: skip
    assert attempts(bench, Profile.GUESTS, more) == ["EPERM"] * len(more)
    assert attempts(bench, Profile.PROGRAMS, more) == ["done"] * len(more)


def test_programs_that_run_machines_serve_and_do_not_connect(bench) -> None:
    cases = [("connect", "tcp, buffer, 16"), ("listen", "tcp, 1")]
    assert attempts(bench, Profile.MACHINES, cases) == ["EPERM", "EINVAL"]  # a pair cannot listen, says the kernel
    assert attempts(bench, Profile.PROGRAMS, cases[:1]) != ["EPERM"]


def test_a_guest_starts_threads_and_no_program(bench) -> None:
    source = (
        "import sys, json, threading, os\nsys.path.insert(0, json.load(sys.stdin))\n"
        "from cloister.isolation.process.seccomp import install\n"
        "from cloister.isolation.process.seccomp.calls import Profile\n{}\nseen = []\n"
        "thread = threading.Thread(target=seen.append, args=(1,)); thread.start(); thread.join()\n"
        "acts = {{'exec': lambda: os.execv('/bin/true', ['true']), 'fork': lambda: os.fork() or os._exit(0),\n"
        "        'spawn': lambda: os.posix_spawn('/bin/true', ['true'], {{}})}}\n"
        "for name, act in list(acts.items())[{}:]:\n"
        "    try: act(); seen.append(name)\n    except PermissionError: seen.append('refused')\n"
        "print(json.dumps(seen))"
    )
    guest = source.format("install.install(Profile.GUESTS)", 0)
    assert bench.python(guest, str(SOURCES), read=(SOURCES,)) == [1, "refused", "refused", "refused"]
    assert bench.python(source.format("", 1), str(SOURCES), read=(SOURCES,)) == [1, "fork", "spawn"]


def test_the_guest_itself_is_filtered_as_one(bench) -> None:
    """Its attempt to connect ends before there is a socket; a program has one."""
    address = ["192.0.2.1", 9]
    arguments = {
        "read_path": "/etc/hostname", "tcp": address, "udp": address, "abstract": "none", "host_pid": 1, "granted": "",
        "disk_bytes": 0, "inodes_count": 0,
    }  # fmt: skip
    answers = bench.operate("probe", arguments)
    assert (answers["tcp"], answers["seccomp"], answers["mount"]) == ("EPERM", 2, "EPERM")
    assert bench.python("import socket; socket.socket(); print('made')") == "made\n"
