"""Arguments for which allowed system calls are refused.

Owns the rules, one reason each, and the numbers of flags and options they name. A filter sees the six arguments and not
the memory they point to, so calls whose meaning lies in memory have no rule: they are allowed or refused as a whole.
Standard library only; part of the guest set.

Source: the kernel header named at each constant, below include/uapi unless it says otherwise.
"""

from __future__ import annotations

import errno
import signal
from typing import Final

from cloister.isolation.process.seccomp.calls import (
    MACHINES,
    ONLY_PROGRAMS,
    PROGRAMS,
    Profile,
    Rule,
    among,
    has_any,
    outside,
)

_GUESTS: Final = frozenset({Profile.GUESTS})

CLONE_NEW: Final = 0x7E020000
"""linux/sched.h: every CLONE_NEW* that fits `clone`; CLONE_NEWTIME does not, it shares its bit with the end signal."""
CLONE_THREAD: Final = 0x00010000

AF_UNIX: Final = 1
"""Families and types: include/linux/socket.h and net.h."""
AF_INET: Final = 2
AF_INET6: Final = 10
AF_NETLINK: Final = 16
SOCK_STREAM: Final = 1
SOCK_SEQPACKET: Final = 5
SOCK_TYPE_MASK: Final = 0xF
NETLINK_ROUTE: Final = 0
"""linux/netlink.h"""
INET_PROTOCOLS: Final = (0, 1, 6, 17, 58)
"""linux/in.h and in6.h: the default, ICMP, TCP, UDP and ICMPv6."""
SOL_SOCKET: Final = 1
"""Levels and options: asm-generic/socket.h and linux/tcp.h."""
SOL_TCP: Final = 6
BUFFER_OPTIONS: Final = (7, 8, 32, 33)
"""SO_SNDBUF, SO_RCVBUF, SO_SNDBUFFORCE and SO_RCVBUFFORCE."""
FILTER_OPTIONS: Final = (26, 50, 51, 52)
"""SO_ATTACH_FILTER, SO_ATTACH_BPF, SO_ATTACH_REUSEPORT_CBPF and SO_ATTACH_REUSEPORT_EBPF."""
TCP_ULP: Final = 31

IOCTL_TYPE_MASK: Final = 0xFF00
"""asm-generic/ioctl.h: the byte that names the driver."""
IOCTL_TERMINAL: Final = 0x5400
"""asm-generic/ioctls.h: terminals, and what all descriptors have (FIONREAD, FIONBIO, FIOCLEX)."""
IOCTL_SOCKET: Final = 0x8900
"""asm-generic/sockios.h"""
TERMINAL_REFUSED: Final = (0x5412, 0x541C, 0x541D, 0x541F, 0x5423, 0x5437)
"""TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSSERIAL, TIOCSETD and TIOCVHANGUP."""
IOCTL_KVM: Final = 0xAE00
"""linux/kvm.h: KVMIO."""
IOCTL_FILE: Final = (2, 0x40049409, 0x4020940D, 0x80086601, 0x80087601, 0x801C581F, 0xC020660B)
"""linux/fs.h: FIGETBSZ, FICLONE, FICLONERANGE, FS_IOC_GETFLAGS, FS_IOC_GETVERSION, FS_IOC_FSGETXATTR, FS_IOC_FIEMAP."""
IOCTL_GUESTS: Final = (0x5401, 0x541B, 0x5421, 0x5450, 0x5451, 0x802C542A)
"""TCGETS, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX and TCGETS2."""

F_SETLEASE: Final = 1024
"""linux/fcntl.h"""
F_SETPIPE_SZ: Final = 1031
O_CREAT_OR_TMPFILE: Final = 0x00400040
"""asm-generic/fcntl.h: O_CREAT and __O_TMPFILE, with either of which the mode argument counts."""
SET_ID_BITS: Final = 0o6000
"""linux/stat.h: S_ISUID and S_ISGID."""
FILE_TYPE_MASK: Final = 0o170000
FILE_TYPES: Final = (0, 0o100000, 0o010000)
"""Left out, which means a plain file; S_IFREG; S_IFIFO."""
PROT_EXEC: Final = 4
"""asm-generic/mman-common.h"""

PR_SET_PDEATHSIG: Final = 1
"""linux/prctl.h, all of these."""
PR_SET_DUMPABLE: Final = 4
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_IS_SET: Final = 1
PRCTL_CHANGES: Final = (PR_SET_PDEATHSIG, PR_SET_DUMPABLE, 15, 22, 29, 36, 38, 41, 65, 0x53564D41)
"""PDEATHSIG, DUMPABLE, NAME, SECCOMP, TIMERSLACK, CHILD_SUBREAPER, NO_NEW_PRIVS, THP_DISABLE, MDWE, VMA, each SET."""
PRCTL_QUESTIONS: Final = (2, 3, 7, 16, 21, 23, 27, 30, 37, 39, 42, 51, 52, 66, 0x41555856)
"""PDEATHSIG, DUMPABLE, KEEPCAPS, NAME, SECCOMP, CAPBSET_READ, SECUREBITS, TIMERSLACK, CHILD_SUBREAPER, NO_NEW_PRIVS,
THP_DISABLE, SVE_VL, SPECULATION_CTRL, MDWE and AUXV, each GET."""
PRCTL_GUESTS: Final = (PR_SET_PDEATHSIG, 2, 3, PR_SET_DUMPABLE, 15, 16, 21, 38, 39, 0x53564D41)
"""PDEATHSIG, DUMPABLE and NAME, set and get; GET_SECCOMP; NO_NEW_PRIVS, set and get; SET_VMA."""
ARCH_PRCTL: Final = (0x1001, 0x1002, 0x1003, 0x1004, 0x1011, 0x1021, 0x1022, 0x1023, 0x3001, *range(0x5001, 0x5006))
"""arch/x86/include/uapi/asm/prctl.h: ARCH_{SET,GET}_{GS,FS}, ARCH_GET_CPUID, ARCH_GET_XCOMP_SUPP, ARCH_GET_XCOMP_PERM,
ARCH_REQ_XCOMP_PERM and ARCH_SHSTK_*; 0x3001 is the question of glibc whether there is a shadow stack."""
PERSONALITIES: Final = (0, 0xFFFFFFFF)
"""linux/personality.h: PER_LINUX, and the question which one it is."""
FILTER_NEW_LISTENER: Final = 8
"""linux/seccomp.h: SECCOMP_FILTER_FLAG_NEW_LISTENER."""

_NO_TRAP: Final = (
    "a program with such a bit, left in a granted directory, would run for others of the host as whoever started the "
    "sandbox"
)
_NO_BUFFER: Final = "larger buffers hold more memory that no limit counts"

RULES: Final = (
    Rule(
        ("clone",), (has_any(0, CLONE_NEW),), errno.EPERM, "with a CLONE_NEW flag",
        "namespaces come with capabilities inside, and with them a large part of the kernel to attack",
    ),
    Rule(
        ("clone",), (outside(0, CLONE_THREAD, mask=CLONE_THREAD),), errno.EPERM, "without CLONE_THREAD",
        "a guest starts threads at most, never a process", _GUESTS,
    ),
    Rule(
        ("socket",), (outside(0, AF_INET, AF_INET6, AF_NETLINK),), errno.EAFNOSUPPORT,
        "of another family than AF_INET, AF_INET6 and AF_NETLINK",
        "AF_UNIX reaches servers of the host through a socket below a read-only grant, AF_VSOCK the hypervisor; "
        "neither is held by the network namespace, as these three are", ONLY_PROGRAMS,
    ),
    Rule(
        ("socket",), (outside(0, AF_UNIX),), errno.EAFNOSUPPORT, "of another family than AF_UNIX",
        "a machine is reached through sockets in its own directory; it serves on them, and can connect to none",
        MACHINES,
    ),
    Rule(
        ("socket",), (among(0, AF_NETLINK), outside(2, NETLINK_ROUTE)), errno.EAFNOSUPPORT,
        "of AF_NETLINK with another protocol than NETLINK_ROUTE",
        "only the list of network interfaces is asked for that way; the others lead to many parts of the kernel",
        ONLY_PROGRAMS,
    ),
    Rule(
        ("socket",), (among(0, AF_INET, AF_INET6), outside(2, *INET_PROTOCOLS)), errno.EPROTONOSUPPORT,
        "of another protocol than TCP, UDP and ICMP", "asking for one loads its module into the kernel", ONLY_PROGRAMS,
    ),
    Rule(
        ("socketpair",), (outside(0, AF_UNIX),), errno.EAFNOSUPPORT, "of another family than AF_UNIX",
        "no other family is needed for talking within a sandbox",
    ),
    Rule(
        ("socketpair",), (outside(1, SOCK_STREAM, SOCK_SEQPACKET, mask=SOCK_TYPE_MASK),), errno.EPERM,
        "of another type than SOCK_STREAM and SOCK_SEQPACKET",
        "half of a datagram pair can still send to any address, and so to a socket of the host",
    ),
    Rule(
        ("setsockopt",), (among(1, SOL_SOCKET), among(2, *BUFFER_OPTIONS)), errno.EPERM,
        "of the size of a buffer", _NO_BUFFER,
    ),
    Rule(
        ("setsockopt",), (among(1, SOL_SOCKET), among(2, *FILTER_OPTIONS)), errno.EPERM,
        "that attaches a filter", "it would be a program that runs inside the kernel",
    ),
    Rule(
        ("setsockopt",), (among(1, SOL_TCP), among(2, TCP_ULP)), errno.EPERM,
        "of TCP_ULP", "it loads a module into the kernel; TLS libraries do without",
    ),
    Rule(
        ("ioctl",), (among(1, *TERMINAL_REFUSED),), errno.EPERM,
        "of TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSSERIAL, TIOCSETD or TIOCVHANGUP",
        "they type for the user, take over the console, or change the driver behind a terminal", PROGRAMS,
    ),
    Rule(
        ("ioctl",),
        (outside(1, IOCTL_TERMINAL, IOCTL_SOCKET, mask=IOCTL_TYPE_MASK), outside(1, *IOCTL_FILE)), errno.ENOTTY,
        "of anything else than terminals, sockets and questions about files",
        "each driver and file system has calls of its own behind it, some of which lead past the mounts",
        ONLY_PROGRAMS,
    ),
    Rule(
        ("ioctl",),
        (outside(1, IOCTL_TERMINAL, IOCTL_SOCKET, IOCTL_KVM, mask=IOCTL_TYPE_MASK), outside(1, *IOCTL_FILE)),
        errno.ENOTTY, "of anything else than terminals, sockets, KVM and questions about files",
        "a virtual machine is made by calls of /dev/kvm, which is shown only where one is to be", MACHINES,
    ),
    Rule(
        ("ioctl",), (outside(1, *IOCTL_GUESTS),), errno.ENOTTY,
        "of anything else than TCGETS, FIONREAD, FIONBIO, FIOCLEX and FIONCLEX", "Python needs these, and no other",
        _GUESTS,
    ),
    Rule(
        ("fcntl",), (among(1, F_SETLEASE),), errno.EPERM,
        "of F_SETLEASE", "a lease on a granted file keeps programs of the host waiting that open it",
    ),
    Rule(("fcntl",), (among(1, F_SETPIPE_SZ),), errno.EPERM, "of F_SETPIPE_SZ", _NO_BUFFER),
    Rule(
        ("open",), (has_any(1, O_CREAT_OR_TMPFILE), has_any(2, SET_ID_BITS)), errno.EPERM,
        "that makes a file with a set-user-id or set-group-id bit", _NO_TRAP,
    ),
    Rule(
        ("openat",), (has_any(2, O_CREAT_OR_TMPFILE), has_any(3, SET_ID_BITS)), errno.EPERM,
        "that makes a file with a set-user-id or set-group-id bit", _NO_TRAP,
    ),
    Rule(
        ("creat", "chmod", "fchmod", "mknod"), (has_any(1, SET_ID_BITS),), errno.EPERM,
        "with a set-user-id or set-group-id bit", _NO_TRAP,
    ),
    Rule(
        ("fchmodat", "fchmodat2", "mknodat"), (has_any(2, SET_ID_BITS),), errno.EPERM,
        "with a set-user-id or set-group-id bit", _NO_TRAP,
    ),
    Rule(
        ("mknod",), (outside(1, *FILE_TYPES, mask=FILE_TYPE_MASK),), errno.EPERM,
        "of a device or a socket", "a device is a way to hardware, and a socket in a grant a way to the host",
    ),
    Rule(
        ("mknodat",), (outside(2, *FILE_TYPES, mask=FILE_TYPE_MASK),), errno.EPERM,
        "of a device or a socket", "a device is a way to hardware, and a socket in a grant a way to the host",
    ),
    Rule(
        ("mmap", "mprotect"), (has_any(2, PROT_EXEC),), errno.EPERM,
        "with PROT_EXEC", "a guest has all its code when it starts; an intruder brings more", _GUESTS,
    ),
    Rule(
        ("prctl",), (outside(0, *PRCTL_CHANGES, *PRCTL_QUESTIONS, PR_CAP_AMBIENT),), errno.EPERM,
        "of an option that is not listed", "most options are for containers, debuggers and hardware", PROGRAMS,
    ),
    Rule(
        ("prctl",), (among(0, PR_CAP_AMBIENT), outside(1, PR_CAP_AMBIENT_IS_SET)), errno.EPERM,
        "that changes ambient capabilities", "there are none to be had", PROGRAMS,
    ),
    Rule(
        ("prctl",), (outside(0, *PRCTL_GUESTS),), errno.EPERM,
        "of an option that is not listed", "Python and the C library need these, and no other", _GUESTS,
    ),
    Rule(
        ("prctl",), (among(0, PR_SET_PDEATHSIG), outside(1, int(signal.SIGKILL))), errno.EPERM,
        "of PR_SET_PDEATHSIG with another signal than SIGKILL", "a guest must not outlive its launcher", _GUESTS,
    ),
    Rule(
        ("prctl",), (among(0, PR_SET_DUMPABLE), outside(1, 0)), errno.EPERM,
        "of PR_SET_DUMPABLE with another value than 0", "nothing may look into a guest", _GUESTS,
    ),
    Rule(
        ("arch_prctl",), (outside(0, *ARCH_PRCTL),), errno.EPERM,
        "of an option that is not listed", "the C library and runtimes need these, and no other",
    ),
    Rule(
        ("personality",), (outside(0, *PERSONALITIES),), errno.EPERM,
        "of another execution domain", "others switch protections of memory off, or revive obsolete interfaces",
    ),
    Rule(
        ("prlimit64",), (outside(0, 0),), errno.EPERM,
        "of a process by its number", "the limits of others are not one's own, those of the first process above all",
    ),
    Rule(
        ("seccomp",), (has_any(1, FILTER_NEW_LISTENER),), errno.EPERM,
        "with a listener", "a listener decides for others and can hold their calls open; a plain filter only narrows",
    ),
)  # fmt: skip
"""In the order in which they are asked."""
