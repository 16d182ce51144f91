"""Granted paths in a machine: copied in before an execution, and what it changed copied back.

Owns the copies of one machine. A machine shares no file system with its host, so that no defect of one can be a way
out; what is granted is sent as a stream and laid out at its path. What may be written comes back after the execution,
and `writeback` decides what of it the host's files become.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from cloister.errors import CloisterError, GuestError, PathDenied, quoted
from cloister.isolation.copying.archive import Bounds, Copied, CopyRefused, pack, pack_bytes
from cloister.isolation.microvm.parcel import Parcel, as_record, record_of
from cloister.isolation.microvm.writeback import ChangedOnHost, Original
from cloister.isolation.process import outcome
from cloister.isolation.process.grants import grants_for
from cloister.isolation.process.spec import SCRIPT_PATH, Grant
from cloister.isolation.provider import Mount
from cloister.limits import ResourceLimits

if TYPE_CHECKING:
    from cloister.isolation.microvm.link import MachineLink

PIPE_BYTES: Final = 64 * 1024
ERRORS_BYTES_MAX: Final = 4096
_HINT_SIZE: Final = (
    "a machine gets copies of what is granted: grant less, or raise the limits disk_bytes and inodes_count"
)
_HINT_CONFLICT: Final = "change granted files on one side at a time; a session goes on once both sides have the same"


class Pack(Protocol):
    """Writes something as a stream."""

    def __call__(self, sink: _Pipe, bounds: Bounds) -> Copied:
        """Write all of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Given:
    """What was sent.

    Attributes:
        index: Its number in the machine.
        original: The host's file or directory, as the machine has it.
    """

    index: int
    original: Original


class Granting:
    """The granted paths of one execution, or of one session.

    Args:
        link: To the machine's agent.
        mounts: What is granted.
        limits: `disk_bytes` and `inodes_count` of them bound each copy.
        deadline_s: When whatever happens is ended, on the monotonic clock.

    Raises:
        PathDenied: As `process.grants.grants_for`.
    """

    def __init__(self, link: MachineLink, mounts: tuple[Mount, ...], limits: ResourceLimits, deadline_s: float) -> None:
        self._link = link
        self._grants = sorted(grants_for(mounts), key=lambda grant: grant.target.count("/"))
        self._limits = limits
        self._deadline_s = deadline_s
        self._given: list[_Given] = []
        self._count = 0
        self._foreign = tuple(grant.source for grant in self._grants if grant.is_writable)

    def give(self, *, script: str | None = None) -> None:
        """Send everything that is granted, and a script.

        Raises:
            PathDenied: `denied.path-changed`: something else is there than was granted.
            GuestError: `guest.copy`: it cannot be sent, or is more than the limits allow.
        """
        for grant in self._grants:
            self._give_one(grant)
        if script is not None:
            text = script.encode("utf-8", "surrogatepass")
            self._send(SCRIPT_PATH, lambda sink, _: pack_bytes("script", text, sink, _room(len(text))))

    def _give_one(self, grant: Grant) -> None:
        _require_same(grant)
        identity = (grant.device, grant.inode)
        original = self._looked_at(grant.source) if grant.is_writable else None
        if original is not None and original.identity != identity:
            raise _replaced(grant)
        index = self._count
        self._send(
            grant.target,
            lambda sink, bounds: pack(grant.source, sink, bounds, self._foreign, identity),
            is_writable=grant.is_writable,
        )
        _require_same(grant)
        if original is not None:
            self._given.append(_Given(index=index, original=original))

    def _looked_at(self, path: str) -> Original:
        with _refused("in", path):
            return Original.look(path, self._bounds)

    def take_back(self) -> None:
        """Bring back what was changed in the machine since this was done last, or since it was given.

        What was refused stays in the machine, and is brought back with the next that can be.

        Raises:
            GuestError: `guest.copy`: it cannot be brought back, or the host's files were changed meanwhile.
        """
        for place, given in enumerate(self._given):
            path = given.original.path
            with _refused("back", path), given.original.staging(self._bounds) as staged:
                self._receive({"do": "give-back", "index": given.index}, staged.read)
                self._given[place] = _Given(index=given.index, original=staged.apply())

    @property
    def _bounds(self) -> Bounds:
        return Bounds(content_bytes=self._limits.disk_bytes, entries_count=self._limits.inodes_count)

    def _send(self, target: str, fill: Pack, *, is_writable: bool = False) -> None:
        order = {"do": "grant", "index": self._count, "target": target, "is_writable": is_writable}
        self._count += 1
        theirs, ours = os.pipe2(os.O_CLOEXEC)
        with self._begun(order, input_fd=theirs) as carried:
            refused: CopyRefused | OSError | None = None
            try:
                with _Pipe(ours) as sink:
                    fill(sink, self._bounds)
            except (CopyRefused, OSError) as error:
                refused = error
            carried.require(target, None if isinstance(refused, BrokenPipeError) else refused, "in")

    def _receive(self, order: dict[str, Any], take: Callable[[_Pipe], object]) -> None:
        ours, theirs = os.pipe2(os.O_CLOEXEC)
        with self._begun(order, output_fd=theirs) as carried:
            refused: CopyRefused | OSError | None = None
            with _Pipe(ours) as source:
                try:
                    take(source)
                    while source.read(PIPE_BYTES):
                        pass  # what pads the end of the stream
                except (CopyRefused, OSError) as error:
                    refused = error
            carried.require(f"what was granted as number {order['index'] + 1}", refused, "back")

    def _begun(self, order: dict[str, Any], *, input_fd: int = -1, output_fd: int = -1) -> _Carried:
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        errors, their_errors = os.pipe2(os.O_CLOEXEC)
        parcel = Parcel(
            order={**order, "limits": self._limits.to_dict()},
            input_fd=input_fd,
            output_fd=output_fd,
            errors_fd=their_errors,
            control=theirs,
            finish=as_record,
            deadline_s=self._deadline_s,
        )
        self._link.porter.begin(parcel)
        return _Carried(self._link, control, errors, self._limits)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._given.clear()


class _Carried:
    """A copy on its way."""

    def __init__(self, link: MachineLink, control: socket.socket, errors: int, limits: ResourceLimits) -> None:
        self._link = link
        self._control = control
        self._errors = errors
        self._limits = limits

    def require(self, what: str, refused: CopyRefused | OSError | None, direction: str) -> None:
        """Wait for its end, and raise why it failed, if it did."""
        if refused is not None:
            with contextlib.suppress(OSError):
                self._control.shutdown(socket.SHUT_WR)
        record = record_of(self._control, self._link.porter)
        if refused is not None:
            raise copy_error(direction, what, refused)
        failed = outcome.set_up_failure(record) or outcome.limit_reached(record, self._limits)
        if record.get("status") == 0:
            return
        said = os.read(self._errors, ERRORS_BYTES_MAX)
        raise (
            copy_error(direction, what, CopyRefused(said.decode("utf-8", "replace")))
            if said
            else (failed or outcome.crash(record, b""))
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._control.close()
        os.close(self._errors)


class _Pipe:
    """One end of a pipe, which its context closes."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, size: int) -> bytes:
        """Return up to that many bytes; none at the end."""
        return os.read(self._descriptor, size)

    def write(self, data: bytes) -> None:
        """Write all of it."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def _room(size: int) -> Bounds:
    return Bounds(content_bytes=size, entries_count=1)


def _require_same(grant: Grant) -> None:
    try:
        seen = os.lstat(grant.source)
    except OSError as error:
        raise _replaced(grant) from error
    if (seen.st_dev, seen.st_ino) != (grant.device, grant.inode):
        raise _replaced(grant)


def _replaced(grant: Grant) -> PathDenied:
    return PathDenied(
        f'the granted path "{quoted(grant.source)}" was replaced by something else after it was granted',
        code="denied.path-changed",
        hint="find out who replaced it, then run again",
    )


@contextlib.contextmanager
def _refused(direction: str, path: str) -> Iterator[None]:
    """Raise what keeps a path from being copied as the error for it."""
    try:
        yield
    except (CopyRefused, OSError) as error:
        raise copy_error(direction, path, error) from error


def copy_error(direction: str, what: str, error: CopyRefused | OSError) -> CloisterError:
    """Return the error for a copy that was not made.

    Args:
        direction: `in` or `back`.
        what: What was to be copied.
        error: Why it was not.
    """
    words = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return GuestError(
        f'cannot copy {direction}, "{quoted(what)}": {quoted(words, 400)}',
        code="guest.copy",
        kind="IoError",
        hint=_HINT_CONFLICT if isinstance(error, ChangedOnHost) else _HINT_SIZE,
    )
