"""Streams of components: `wasi:io/streams`.

Owns what is behind a stream, how much passes at once, and how failures are told. A stream is always ready: standard
input is all there, and files do not wait, so nothing here blocks.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloister.errors import GuestCrashed
from cloister.isolation.wasm.components.values import Case, Handle
from cloister.isolation.wasm.wasi import abi
from cloister.isolation.wasm.wasi.descriptors import PIECE_BYTES_MAX, OpenFile
from cloister.isolation.wasm.wasi.file_calls import offset_of
from cloister.isolation.wasm.wasi.streams import Input, Output
from cloister.isolation.wasm.wasi.times import Times
from cloister.isolation.wasm.wasi2.handles import Handles
from cloister.isolation.wasm.wasi2.polling import READY
from cloister.isolation.wasm.wasi2.refusals import code_of

PIECE_BYTES: Final = 65_536
"""Of one read, and what a guest is told that it may write at once. While it crosses, a byte has 32."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What a handle of `wasi:io/error` stands for: an error code of files."""

    code: str


@dataclass(slots=True)
class FileReader:
    """A file that is read from an offset on."""

    file: OpenFile
    offset: int

    def read(self, count: int) -> bytes:
        """Return the next bytes, none at the end. Raises as `OpenFile.read`."""
        data = self.file.read(count, offset_of(self.offset))
        self.offset += len(data)
        return data


@dataclass(slots=True)
class FileWriter:
    """A file that is written from an offset on, or at its end when there is none."""

    file: OpenFile
    offset: int | None

    def write(self, data: bytes) -> int:
        """Write bytes; return how many were written. Raises as `OpenFile.write`."""
        self.file.require_writable()
        offset = os.fstat(self.file.descriptor).st_size if self.offset is None else offset_of(self.offset)
        count = self.file.write(data, offset)
        if self.offset is not None:
            self.offset += count
        return count


Reader = Input | FileReader
Writer = Output | FileWriter


class Streams:
    """These functions for one guest.

    Args:
        handles: Its handles.
        times: What ends it while much is written.
    """

    def __init__(self, handles: Handles, times: Times) -> None:
        self._handles = handles
        self._times = times

    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """Return them by name."""
        read, write = "[method]input-stream.", "[method]output-stream."
        return {
            f"{read}read": self._read,
            f"{read}blocking-read": self._read,
            f"{read}skip": self._skip,
            f"{read}blocking-skip": self._skip,
            f"{read}subscribe": self._subscribe,
            f"{write}check-write": self._check_write,
            f"{write}write": self._write,
            f"{write}blocking-write-and-flush": self._write,
            f"{write}flush": self._flush,
            f"{write}blocking-flush": self._flush,
            f"{write}subscribe": self._subscribe,
            f"{write}write-zeroes": self._write_zeroes,
            f"{write}blocking-write-zeroes-and-flush": self._write_zeroes,
            f"{write}splice": self._splice,
            f"{write}blocking-splice": self._splice,
        }

    def _reader(self, handle: Handle) -> Reader:
        found = self._handles.get(handle, object)
        if not isinstance(found, (Input, FileReader)):
            raise GuestCrashed("the program passed a handle of something else", hint="this is a defect of the program")
        return found

    def _writer(self, handle: Handle) -> Writer:
        found = self._handles.get(handle, object)
        if not isinstance(found, (Output, FileWriter)):
            raise GuestCrashed("the program passed a handle of something else", hint="this is a defect of the program")
        return found

    def _told(self, act: Callable[[], Any]) -> Case:
        """Return `ok` with a result, or `err` with what stands for the failure."""
        try:
            return Case("ok", act())
        except (abi.Refused, OSError) as error:
            return Case("err", Case("last-operation-failed", self._handles.add("error", Failure(code_of(error)))))

    def _read(self, handle: Handle, count: int) -> Case:
        reader = self._reader(handle)
        told = self._told(lambda: reader.read(min(count, PIECE_BYTES)))
        return Case("err", Case("closed")) if count and told == Case("ok", b"") else told

    def _skip(self, handle: Handle, count: int) -> Case:
        told = self._read(handle, count)
        return Case("ok", len(told.value)) if told.name == "ok" else told

    def _subscribe(self, handle: Handle) -> Handle:
        self._handles.get(handle, object)
        return self._handles.add("pollable", READY)

    def _check_write(self, handle: Handle) -> Case:
        self._writer(handle)
        return Case("ok", PIECE_BYTES)

    def _write(self, handle: Handle, data: bytes) -> Case:
        writer = self._writer(handle)
        return self._told(lambda: self._write_all(writer, data))

    def _write_all(self, writer: Writer, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            self._times.wait_ns(0)  # looks at the deadline
            count = writer.write(bytes(rest[:PIECE_BYTES_MAX]))
            if not count:
                raise abi.refusal(errno.EIO)
            rest = rest[count:]

    def _write_zeroes(self, handle: Handle, count: int) -> Case:
        if count > PIECE_BYTES:
            raise GuestCrashed(f"the program writes {count} zeroes at once; {PIECE_BYTES} are allowed")
        return self._write(handle, bytes(count))

    def _flush(self, handle: Handle) -> Case:
        self._writer(handle)
        return Case("ok")

    def _splice(self, handle: Handle, source: Handle, count: int) -> Case:
        self._writer(handle)
        told = self._read(source, count)
        if told.name != "ok":
            return told
        written = self._write(handle, told.value)
        return Case("ok", len(told.value)) if written.name == "ok" else written
