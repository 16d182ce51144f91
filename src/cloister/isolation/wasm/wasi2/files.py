"""Files of components: `wasi:filesystem`, but for what takes a path.

Owns what is behind a descriptor of a component: a number in the table of the guest's descriptors, the same as modules
have, with the same bounds.
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloister.errors import GuestCrashed
from cloister.isolation.wasm.components.values import Case, Handle
from cloister.isolation.wasm.wasi import abi
from cloister.isolation.wasm.wasi.abi import refusal
from cloister.isolation.wasm.wasi.descriptors import OpenDirectory, OpenFile
from cloister.isolation.wasm.wasi.file_calls import offset_of, sync_directory
from cloister.isolation.wasm.wasi.listing import entries_of
from cloister.isolation.wasm.wasi.namespace import Spot, facts_of
from cloister.isolation.wasm.wasi.paths import chosen_times
from cloister.isolation.wasm.wasi2.handles import Handles
from cloister.isolation.wasm.wasi2.plain import text_of_word
from cloister.isolation.wasm.wasi2.polling import datetime_of
from cloister.isolation.wasm.wasi2.refusals import coded
from cloister.isolation.wasm.wasi2.streams import PIECE_BYTES, Failure, FileReader, FileWriter
from cloister.isolation.wasm.wasi2.surroundings import Surroundings

METHOD: Final = "[method]descriptor."
_SECOND_NS: Final = 1_000_000_000
_TYPES: Final[Mapping[int, str]] = {
    1: "block-device", abi.CHARACTER_DEVICE: "character-device", abi.DIRECTORY: "directory", abi.FILE: "regular-file",
    6: "socket", abi.LINK: "symbolic-link",
}  # fmt: skip
"""By number of preview 1."""


@dataclass(frozen=True, slots=True)
class Numbered:
    """What a handle of `descriptor` stands for: a number of the guest's table."""

    number: int


@dataclass(frozen=True, slots=True)
class Listing:
    """What a handle of `directory-entry-stream` stands for.

    Attributes:
        number: Of a descriptor of its own, so that it counts as modules' listings do.
        entries: Those that were not given yet.
    """

    number: int
    entries: Iterator[tuple[int, int, bytes]]


class Files:
    """These functions for one guest.

    Args:
        around: What it has.
        handles: Its handles.
    """

    def __init__(self, around: Surroundings, handles: Handles) -> None:
        self._descriptors = around.descriptors
        self._times = around.times
        self._limits = around.limits
        self._handles = handles
        handles.when_dropped(Numbered, lambda numbered: self._descriptors.close_one(numbered.number))
        handles.when_dropped(Listing, lambda listing: self._descriptors.close_one(listing.number))

    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """Return them by name."""
        return {
            f"{METHOD}read-via-stream": self.read_via_stream,
            f"{METHOD}write-via-stream": self.write_via_stream,
            f"{METHOD}append-via-stream": self.append_via_stream,
            f"{METHOD}advise": self.advise,
            f"{METHOD}sync-data": self.sync_data,
            f"{METHOD}sync": self.sync,
            f"{METHOD}get-flags": self.get_flags,
            f"{METHOD}get-type": self.get_type,
            f"{METHOD}set-size": self.set_size,
            f"{METHOD}set-times": self.set_times,
            f"{METHOD}read": self.read,
            f"{METHOD}write": self.write,
            f"{METHOD}read-directory": self.read_directory,
            f"{METHOD}stat": self.stat,
            f"{METHOD}is-same-object": self.is_same_object,
            f"{METHOD}metadata-hash": self.metadata_hash,
            "[method]directory-entry-stream.read-directory-entry": self.read_directory_entry,
            "filesystem-error-code": self._error_code,
        }

    def preopened(self) -> list[tuple[Handle, str]]:
        """Return the directories that the guest has from the start: `wasi:filesystem/preopens`.

        Raises:
            InputError: `input.argv`: the name of one is no text.
        """
        named = [(each, text_of_word(os.fsdecode(each.name or b""))) for each in self._descriptors.preopened()]
        return [(self._again(each), name) for each, name in named]

    def _again(self, directory: OpenDirectory) -> Handle:
        """Open a directory once more: the guest may ask for them several times, and gives each handle back."""
        try:
            return self._handles.add("descriptor", Numbered(self._copied(directory)))
        except abi.Refused as refused:
            raise GuestCrashed(
                "the program asks for its directories, and has as many files open as it may",
                hint="close what it does not need any more, or raise the limit open_files_count",
            ) from refused

    def _copied(self, directory: OpenDirectory) -> int:
        """Return the number of a new descriptor of a directory. Raises Refused when there is no room."""
        self._descriptors.require_room()
        spot = directory.spot
        owns = spot.descriptor >= 0
        held = Spot(os.dup(spot.descriptor) if owns else -1, spot.node, spot.grant)
        return self._descriptors.add(OpenDirectory(held, owns))

    def number_of(self, handle: Handle) -> int:
        """Return the number in the guest's table. Raises GuestCrashed as `Handles.get`."""
        return self._handles.get(handle, Numbered).number

    def _file(self, handle: Handle) -> OpenFile:
        return self._descriptors.file(self.number_of(handle))

    @coded
    def read_via_stream(self, handle: Handle, offset: int) -> Handle:
        """Begin to read at an offset."""
        file = self._file(handle)
        if not file.is_readable:
            raise refusal(errno.EBADF)
        return self._handles.add("input-stream", FileReader(file, offset_of(offset)))

    @coded
    def write_via_stream(self, handle: Handle, offset: int) -> Handle:
        """Begin to write at an offset."""
        file = self._file(handle)
        file.require_writable()
        return self._handles.add("output-stream", FileWriter(file, offset_of(offset)))

    @coded
    def append_via_stream(self, handle: Handle) -> Handle:
        """Begin to write at the end."""
        file = self._file(handle)
        file.require_writable()
        return self._handles.add("output-stream", FileWriter(file, None))

    @coded
    def advise(self, handle: Handle, *_: object) -> None:
        """Take advice on how a file is going to be read, and do nothing with it."""
        self._file(handle)

    @coded
    def sync_data(self, handle: Handle) -> None:
        """Make the data of a file durable."""
        self._sync(handle, os.fdatasync)

    @coded
    def sync(self, handle: Handle) -> None:
        """Make a file or directory durable."""
        self._sync(handle, os.fsync)

    def _sync(self, handle: Handle, act: Callable[[int], None]) -> None:
        found = self._descriptors[self.number_of(handle)]
        if isinstance(found, OpenFile):
            act(found.descriptor)
        elif isinstance(found, OpenDirectory):
            sync_directory(found)

    @coded
    def get_flags(self, handle: Handle) -> tuple[str, ...]:
        """Tell what may be done with a descriptor."""
        found = self._descriptors[self.number_of(handle)]
        if isinstance(found, OpenDirectory):
            return ("read", "mutate-directory") if found.spot.is_writable else ("read",)
        file = self._file(handle)
        return tuple(name for name, holds in (("read", file.is_readable), ("write", file.is_writable)) if holds)

    @coded
    def get_type(self, handle: Handle) -> str:
        """Tell what a descriptor is of."""
        return type_name(abi.file_type(self._facts(handle).st_mode))

    @coded
    def set_size(self, handle: Handle, size: int) -> None:
        """Make a file that large."""
        file = self._file(handle)
        file.require_writable()
        file.traffic.require_size(offset_of(size))
        os.ftruncate(file.descriptor, size)

    @coded
    def set_times(self, handle: Handle, access: Case, change: Case) -> None:
        """Set when a file was read and changed."""
        file = self._file(handle)
        file.require_writable()
        os.utime(file.descriptor, ns=chosen_times(os.fstat(file.descriptor), self.asked_times(access, change)))

    def asked_times(self, access: Case, change: Case) -> tuple[int | None, int | None]:
        """Return the times a guest wants a file to have, in nanoseconds since 1970; None for what stays.

        Raises:
            Refused: EINVAL: one is no time.
        """
        now_ns = self._times.now_ns(abi.REALTIME)
        return _asked_time(access, now_ns), _asked_time(change, now_ns)

    @coded
    def read(self, handle: Handle, count: int, offset: int) -> tuple[bytes, bool]:
        """Read at an offset, and tell whether the end was reached."""
        wanted = min(count, PIECE_BYTES)
        data = self._file(handle).read(wanted, offset_of(offset))
        return data, not data and wanted > 0

    @coded
    def write(self, handle: Handle, data: bytes, offset: int) -> int:
        """Write at an offset, and tell how much was written."""
        return self._file(handle).write(data, offset_of(offset))

    @coded
    def read_directory(self, handle: Handle) -> Handle:
        """Begin to list a directory."""
        number = self._copied(self._descriptors.directory(self.number_of(handle)))
        try:
            entries = entries_of(self._descriptors, number, 0, self._limits)
        except BaseException:
            self._descriptors.close_one(number)
            raise
        named = (entry for entry in entries if entry[2] not in {b".", b".."})
        return self._handles.add("directory-entry-stream", Listing(number, named))

    @coded
    def read_directory_entry(self, handle: Handle) -> dict[str, str] | None:
        """Go on with a listing; None at its end."""
        found = next(self._handles.get(handle, Listing).entries, None)
        if found is None:
            return None
        _, kind, name = found
        return {"type": type_name(kind), "name": text_of(name)}

    def _facts(self, handle: Handle) -> os.stat_result:
        found = self._descriptors[self.number_of(handle)]
        return facts_of(found.spot) if isinstance(found, OpenDirectory) else os.fstat(self._file(handle).descriptor)

    @coded
    def stat(self, handle: Handle) -> dict[str, object]:
        """Tell about a file."""
        return told_facts(self._facts(handle))

    def is_same_object(self, handle: Handle, other: Handle) -> bool:
        """Say whether two descriptors are of the same file."""
        try:
            return os.path.samestat(self._facts(handle), self._facts(other))
        except (abi.Refused, OSError):
            return False

    @coded
    def metadata_hash(self, handle: Handle) -> dict[str, int]:
        """Return what tells a file apart from others."""
        return identity(self._facts(handle))

    def _error_code(self, handle: Handle) -> str | None:
        return self._handles.get(handle, Failure).code


def type_name(kind: int) -> str:
    """Return the name of a type of files of preview 1."""
    return _TYPES.get(kind, "unknown")


def told_facts(facts: os.stat_result) -> dict[str, object]:
    """Return what a guest is told of a file. Nothing else of the host is in it."""
    return {
        "type": type_name(abi.file_type(facts.st_mode)),
        "link-count": facts.st_nlink,
        "size": facts.st_size,
        "data-access-timestamp": datetime_of(facts.st_atime_ns),
        "data-modification-timestamp": datetime_of(facts.st_mtime_ns),
        "status-change-timestamp": datetime_of(facts.st_ctime_ns),
    }


def identity(facts: os.stat_result) -> dict[str, int]:
    """Return what tells a file apart from others: a digest of its device and inode."""
    digest = hashlib.sha256(f"{facts.st_dev} {facts.st_ino}".encode("ascii")).digest()
    return {"lower": int.from_bytes(digest[:8], "little"), "upper": int.from_bytes(digest[8:16], "little")}


def text_of(name: bytes) -> str:
    """Return a name of the host as the text that a component must be given.

    Raises:
        Refused: EILSEQ: it is no UTF-8.
    """
    try:
        return name.decode("utf-8")
    except UnicodeDecodeError:
        raise refusal(errno.EILSEQ) from None


def _asked_time(asked: Case, now_ns: int) -> int | None:
    if asked.name == "no-change":
        return None
    if asked.name == "now":
        return now_ns
    if asked.value["nanoseconds"] >= _SECOND_NS:
        raise refusal(errno.EINVAL)
    return offset_of(asked.value["seconds"] * _SECOND_NS + asked.value["nanoseconds"])
