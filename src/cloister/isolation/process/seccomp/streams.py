"""Descriptors: reading, writing, waiting, pipes and sockets.

Owns the rows and the reason of each. Which sockets there can be at all is decided by the argument rules of `socket` and
`socketpair`; where they lead, by the network namespace. Standard library only; part of the guest set.

Source: numbers as in `calls`; what each call does is in section 2 of the manual, man-pages 6.x.
"""

from __future__ import annotations

from typing import Final

from cloister.isolation.process.seccomp.calls import ALL, ONLY_PROGRAMS, PROGRAMS, Call

_IO: Final = "moves bytes through descriptors it holds"
_COPY: Final = "moves bytes from one descriptor to another inside the kernel"
_CLOSE: Final = "closes and copies descriptors it holds"
_CONTROL: Final = "asks and sets what a descriptor does; argument rules say what"
_PIPE: Final = "makes a pipe of the default size"
_WAIT: Final = "waits until descriptors are ready"
_EVENT: Final = "makes a descriptor that counts events, timers or signals"
_SOCKET: Final = "makes sockets of the families its argument rules name"
_ADDRESS: Final = "uses sockets within the network namespace of the sandbox, which has no way out"
_TALK: Final = "talks over a socket it holds; a guest and its first process have theirs from the launcher"
_OPTIONS: Final = "asks about a socket it holds"
_SETTINGS: Final = (
    "changes settings of a socket it holds; argument rules keep large buffers and programs for the kernel out"
)

STREAMS: Final = (
    Call("read", 0, 63, ALL, _IO),
    Call("write", 1, 64, ALL, _IO),
    Call("readv", 19, 65, PROGRAMS, _IO),
    Call("writev", 20, 66, PROGRAMS, _IO),
    Call("pread64", 17, 67, ALL, _IO),
    Call("pwrite64", 18, 68, PROGRAMS, _IO),
    Call("preadv", 295, 69, PROGRAMS, _IO),
    Call("pwritev", 296, 70, PROGRAMS, _IO),
    Call("preadv2", 327, 286, PROGRAMS, _IO),
    Call("pwritev2", 328, 287, PROGRAMS, _IO),
    Call("lseek", 8, 62, ALL, _IO),
    Call("sendfile", 40, 71, PROGRAMS, _COPY),
    Call("copy_file_range", 326, 285, PROGRAMS, _COPY),
    Call("splice", 275, 76, PROGRAMS, _COPY),
    Call("tee", 276, 77, PROGRAMS, _COPY),
    Call("close", 3, 57, ALL, _CLOSE),
    Call("close_range", 436, 436, ALL, _CLOSE),
    Call("dup", 32, 23, ALL, _CLOSE),
    Call("dup2", 33, None, ALL, _CLOSE),
    Call("dup3", 292, 24, ALL, _CLOSE),
    Call("fcntl", 72, 25, ALL, _CONTROL),
    Call("ioctl", 16, 29, ALL, _CONTROL),
    Call("pipe", 22, None, PROGRAMS, _PIPE),
    Call("pipe2", 293, 59, PROGRAMS, _PIPE),
    Call("poll", 7, None, ALL, _WAIT),
    Call("ppoll", 271, 73, ALL, _WAIT),
    Call("select", 23, None, ALL, _WAIT),
    Call("pselect6", 270, 72, ALL, _WAIT),
    Call("epoll_create", 213, None, PROGRAMS, _WAIT),
    Call("epoll_create1", 291, 20, PROGRAMS, _WAIT),
    Call("epoll_ctl", 233, 21, PROGRAMS, _WAIT),
    Call("epoll_wait", 232, None, PROGRAMS, _WAIT),
    Call("epoll_pwait", 281, 22, PROGRAMS, _WAIT),
    Call("epoll_pwait2", 441, 441, PROGRAMS, _WAIT),
    Call("eventfd", 284, None, PROGRAMS, _EVENT),
    Call("eventfd2", 290, 19, PROGRAMS, _EVENT),
    Call("timerfd_create", 283, 85, PROGRAMS, _EVENT),
    Call("timerfd_settime", 286, 86, PROGRAMS, _EVENT),
    Call("timerfd_gettime", 287, 87, PROGRAMS, _EVENT),
    Call("signalfd", 282, None, PROGRAMS, _EVENT),
    Call("signalfd4", 289, 74, PROGRAMS, _EVENT),
    Call("socket", 41, 198, PROGRAMS, _SOCKET),
    Call("socketpair", 53, 199, PROGRAMS, _SOCKET),
    Call("bind", 49, 200, PROGRAMS, _ADDRESS),
    Call("listen", 50, 201, PROGRAMS, _ADDRESS),
    Call("accept", 43, 202, PROGRAMS, _ADDRESS),
    Call("accept4", 288, 242, PROGRAMS, _ADDRESS),
    Call("connect", 42, 203, ONLY_PROGRAMS, _ADDRESS),
    Call("sendto", 44, 206, ALL, _TALK),
    Call("recvfrom", 45, 207, ALL, _TALK),
    Call("sendmsg", 46, 211, ALL, _TALK),
    Call("recvmsg", 47, 212, ALL, _TALK),
    Call("sendmmsg", 307, 269, PROGRAMS, _TALK),
    Call("recvmmsg", 299, 243, PROGRAMS, _TALK),
    Call("shutdown", 48, 210, ALL, _TALK),
    Call("getsockname", 51, 204, ALL, _OPTIONS),
    Call("getpeername", 52, 205, ALL, _OPTIONS),
    Call("getsockopt", 55, 209, ALL, _OPTIONS),
    Call("setsockopt", 54, 208, PROGRAMS, _SETTINGS),
)
"""Calls on descriptors, whatever is behind them."""
