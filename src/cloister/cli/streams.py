"""Standard streams whose failures are noticed once and told once.

Owns what `sys.stdout` and `sys.stderr` are while a command runs. Text always prints: what an encoding
lacks is written as an escape. Standard output that cannot be written ends the command; standard error is commentary, so
its loss never ends a run, but is known afterwards.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, Final, TextIO

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

EXIT_OUTPUT_LOST: Final = 74
"""EX_IOERR. Source: sysexits.h of 4.3BSD."""
EXIT_PIPE_CLOSED: Final = 141
"""128 and the number of SIGPIPE: what a shell reports for a command that wrote to a pipe nobody reads."""

_STANDARD: Final = ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY))


class OutputLost(BaseException):
    """Standard output cannot be written. Not an `Exception`, so that nothing between here and `main` swallows it."""


class Sink(io.FileIO):
    """A descriptor whose first failure is kept; whatever follows is dropped.

    Args:
        descriptor: Where to write.
        is_open: Whether it was open when the command started; if not, the first byte fails.
        is_result: Whether losing it ends the command.
    """

    def __init__(self, descriptor: int, *, is_open: bool, is_result: bool) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self.failure: OSError | None = None
        self._is_open = is_open
        self._is_result = is_result

    def write(self, data: ReadableBuffer, /) -> int:
        """Write, or fail once."""
        size = memoryview(data).nbytes
        if self.failure is not None:
            return size
        if self._is_open:
            try:
                return self._write_waiting(data)
            except OSError as error:
                self.failure = error
        else:
            self.failure = OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self._is_result:
            raise OutputLost
        return size

    def _write_waiting(self, data: ReadableBuffer) -> int:
        """Write also where somebody who shares the pipe made it non-blocking."""
        while (written := super().write(data)) is None:
            select.select((), (self.fileno(),), ())
        return written


def _filled() -> frozenset[int]:
    """Open /dev/null wherever a standard descriptor is closed; return those that were.

    Otherwise the next file that is opened, the chain or a sandbox's connection, would become standard output.
    """
    closed = set()
    for descriptor, mode in _STANDARD:
        try:
            os.fstat(descriptor)
        except OSError:
            closed.add(descriptor)
            opened = os.open(os.devnull, mode | os.O_CLOEXEC)
            if opened != descriptor:
                os.dup2(opened, descriptor, inheritable=False)
                os.close(opened)
    return frozenset(closed)


def _text(sink: Sink, like: TextIO | None) -> io.TextIOWrapper:
    return io.TextIOWrapper(
        io.BufferedWriter(sink),
        encoding=like.encoding if like is not None else "utf-8",
        errors="backslashreplace",
        line_buffering=sink.isatty(),
    )


class Streams:
    """The standard streams of this process, put in place when it is made."""

    def __init__(self) -> None:
        closed = _filled()
        self._out = Sink(1, is_open=1 not in closed, is_result=True)
        # Closing standard error is how one asks for silence
        self._err = Sink(2, is_open=True, is_result=False)
        sys.stdout = _text(self._out, sys.stdout)
        sys.stderr = _text(self._err, sys.stderr)

    def flush(self) -> None:
        """Write what is still held back.

        Raises:
            OutputLost: Standard output cannot be written.
        """
        sys.stderr.flush()
        sys.stdout.flush()

    @property
    def failure(self) -> OSError | None:
        """Why output was lost, standard output first; None when all was written."""
        return self._out.failure or self._err.failure


def lost_status(failure: OSError) -> int:
    """Return the exit status for output that was lost."""
    return EXIT_PIPE_CLOSED if failure.errno == errno.EPIPE else EXIT_OUTPUT_LOST


def lost_message(failure: OSError) -> str | None:
    """Return the line that tells of lost output; None when its reader went away, who wants to hear nothing."""
    return None if failure.errno == errno.EPIPE else f"cloister: cannot write the output: {failure.strerror}"
