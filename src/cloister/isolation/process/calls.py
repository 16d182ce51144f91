"""System calls that build a sandbox, whether they are made at once or written down to be made later (`batch`).

Owns how they are said, what their answers may be, and making them at once. Standard library only; part of the guest
set.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeAlias

from cloister.isolation.process import reports, syscalls
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.steps import Failure

Word: TypeAlias = int | str | bytes | ctypes.Structure | ctypes.Array[Any] | None
"""An argument: a number, text or bytes that the kernel reads up to a NUL, memory that it reads or writes, or NULL."""

Memory: TypeAlias = Callable[[int], ctypes.Array[ctypes.c_char]]
WORDS_MAX: Final = 6
"""Arguments of a system call."""


class Calls(Protocol):
    """Whoever makes system calls, now or later."""

    def step(self, name: str) -> None:
        """Begin a step of the building, under whose name failures are reported."""

    def make(
        self, name: str, *words: Word, answer: int = 0, about: str | None = None, wall: Mechanism | None = None
    ) -> None:
        """Make one.

        Args:
            name: Of the system call.
            *words: Its arguments; those that are missing are 0.
            answer: What the kernel says when it has done it, `ANY`, `IF_THERE` or `refused`; else it has failed.
            about: What a failure is told to be about; the name of the call when it is None.
            wall: The mechanism that does not hold when the answer is another one; None for calls that are no look.

        Raises:
            OSError: It failed; `filename` is what it was about.
            Failure: A wall does not hold.
        """

    def open(self, name: str, *words: Word, about: str | None = None, is_optional: bool = False) -> int:
        """Make one that opens a descriptor, and return that.

        Args:
            name: Of the system call.
            *words: Its arguments.
            about: As above.
            is_optional: Whether it is no failure that there is no such thing; then the descriptor is none.

        Raises:
            OSError: As above.
        """

    def close(self, descriptor: int, *, is_optional: bool = False) -> None:
        """Close a descriptor, or what may be none."""


ANY: Final = -2
"""In place of the kernel's answer: whatever is no failure."""
IF_THERE: Final = -3
"""In place of the kernel's answer: that, or that there is no such thing here, or that it cannot be changed."""
_NOT_THERE: Final = frozenset({errno.ENOENT, errno.EROFS, errno.EACCES, errno.EBADF})
"""EBADF is what follows when it could not be opened."""
_REFUSED: Final = -(1 << 16)


def refused(code: int) -> int:
    """Return what stands for the kernel's answer that it does not do it, for the reason of this error number."""
    return _REFUSED - code


def is_expected(answer: int, result: int) -> bool:
    """Return whether a result that is not the answer itself is what the answer stands for."""
    if answer == ANY:
        return result >= 0
    if answer == IF_THERE:
        return result >= 0 or ctypes.get_errno() in _NOT_THERE
    return result < 0 and answer == _REFUSED - ctypes.get_errno()


class _AtOnce:
    def step(self, name: str) -> None:
        pass

    def make(
        self, name: str, *words: Word, answer: int = 0, about: str | None = None, wall: Mechanism | None = None
    ) -> None:
        kept: list[Word] = []
        result: int = syscalls.invoke(syscalls.number_of(name), *numbers(words, kept, ctypes.create_string_buffer))
        if result == answer or is_expected(answer, result):
            return
        if wall is not None:
            raise broken(wall, about or name, result)
        code = ctypes.get_errno() if result < 0 else 0
        raise OSError(code, os.strerror(code) if code else f"the answer was {result}", about or name)

    def open(self, name: str, *words: Word, about: str | None = None, is_optional: bool = False) -> int:
        kept: list[Word] = []
        result: int = syscalls.invoke(syscalls.number_of(name), *numbers(words, kept, ctypes.create_string_buffer))
        if result < 0 and not (is_optional and is_expected(IF_THERE, result)):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), about or name)
        return result

    def close(self, descriptor: int, *, is_optional: bool = False) -> None:
        if descriptor >= 0 or not is_optional:
            os.close(descriptor)


AT_ONCE: Final = _AtOnce()
"""Makes them now. Who uses it says with `steps.step` what is being done."""


def write_file(calls: Calls, path: str, text: str, directory_fd: int = syscalls.AT_FDCWD) -> None:
    """Write a text to a file of the kernel, in one piece.

    Args:
        calls: Makes the system calls.
        path: Of the file.
        text: What is written.
        directory_fd: Where the path begins.
    """
    data = text.encode()
    descriptor = calls.open("openat", directory_fd, path, os.O_WRONLY | os.O_CLOEXEC, about=path)
    calls.make("write", descriptor, data, len(data), answer=len(data), about=path)
    calls.close(descriptor)


class _Piece(ctypes.Structure):
    """`struct iovec` of include/uapi/linux/uio.h."""

    _fields_ = [("base", ctypes.c_char_p), ("size", ctypes.c_size_t)]


class _Rights(ctypes.Structure):
    """`struct cmsghdr` of include/linux/socket.h with one descriptor, and what fills it up to a word."""

    _fields_ = [
        ("size", ctypes.c_size_t), ("level", ctypes.c_int), ("kind", ctypes.c_int), ("descriptor", ctypes.c_int),
        ("fill", ctypes.c_int),
    ]  # fmt: skip


class _Message(ctypes.Structure):
    """`struct user_msghdr` of include/linux/socket.h."""

    _fields_ = [
        ("name", ctypes.c_void_p), ("name_size", ctypes.c_int), ("pieces", ctypes.POINTER(_Piece)),
        ("pieces_count", ctypes.c_size_t), ("control", ctypes.POINTER(_Rights)), ("control_size", ctypes.c_size_t),
        ("flags", ctypes.c_uint),
    ]  # fmt: skip


def send_descriptor(calls: Calls, connection_fd: int, data: bytes, descriptor: int) -> None:
    """Send a descriptor with a message on a connection between processes. Source: sendmsg(2), unix(7), cmsg(3)."""
    size = _Rights.fill.offset  # what fills it up is not counted
    rights = _Rights(size=size, level=socket.SOL_SOCKET, kind=socket.SCM_RIGHTS, descriptor=descriptor)
    message = _Message(
        pieces=ctypes.pointer(_Piece(data, len(data))),
        pieces_count=1,
        control=ctypes.pointer(rights),
        control_size=ctypes.sizeof(rights),
    )
    calls.make("sendmsg", connection_fd, message, 0, answer=len(data))


def numbers(words: tuple[Word, ...], kept: list[Word], memory: Memory) -> tuple[int, ...]:
    """Return six numbers for the arguments of a system call.

    Args:
        words: The arguments; those that are missing are 0.
        kept: Gets what the numbers point to, which has to stay for as long as they are used.
        memory: Returns memory for what is not in memory of its own.
    """
    return tuple(_number(word, kept, memory) for word in words) + (0,) * (WORDS_MAX - len(words))


def _number(word: Word, kept: list[Word], memory: Memory) -> int:
    if word is None:
        return 0
    if isinstance(word, int):
        return int(word)
    kept.append(word)  # a structure may point to others
    if isinstance(word, str):
        word = word.encode("utf-8", "surrogateescape")
    if isinstance(word, (bytes, ctypes.Structure)):
        data = bytes(word)
        word = memory(len(data) + 1)
        ctypes.memmove(word, data, len(data))
        kept.append(word)
    return ctypes.addressof(word)


def broken(wall: Mechanism, about: str, result: int) -> Failure:
    """Return the failure of a wall that does not hold.

    Args:
        wall: It.
        about: What was looked at.
        result: What the kernel said just now.
    """
    said = result if result >= 0 else errno.errorcode.get(ctypes.get_errno(), "a failure")
    return Failure(reports.failure("wall", mechanism=wall.value, observed=f"{about}: {said}"))
