"""The guest's fixed operations, as plans use them, done by a module of our own.

Owns the same results and the same errors as `isolation.guest` has, out of what WASI answers; the module is
`operations.wat`. Paths come from a plan, and file contents are anybody's.
"""

from __future__ import annotations

import base64
import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, Final

from cloister.clock import Clock
from cloister.errors import ProviderUnavailable, quoted
from cloister.isolation.guest import directories, environment, files, lines
from cloister.isolation.guest.io_errors import io_error, io_errors
from cloister.isolation.guest.link import require_size
from cloister.isolation.guest.operations import checked_operation
from cloister.isolation.provider import ExecutionResult, GuestOperation
from cloister.isolation.wasm import faults
from cloister.isolation.wasm.binding import binding
from cloister.isolation.wasm.room import Room, Workshop, os_error
from cloister.isolation.wasm.store import Store
from cloister.isolation.wasm.wasi import abi
from cloister.limits import ResourceLimits

_SOURCE: Final = Path(__file__).with_name("operations.wat")
_PATH, _OTHER, _CONTENT = 8_192, 16_384, 65_536
"""Where the module looks for what it is given; its text says the same."""
_FACTS: Final = 64
_COUNT: Final = 16
_DOTS: Final = frozenset((b".", b".."))


@cache
def module_bytes() -> bytes:
    """Return the module."""
    return bytes(binding().api.wat2wasm(_SOURCE.read_text(encoding="utf-8")))


def run_operation(workshop: Workshop, room: Room, operation: GuestOperation) -> ExecutionResult:
    """Do one operation.

    Raises:
        InputError: As `guest.operations.checked_operation`.
        ProviderUnavailable: `provider.wasm-only`: it is one of the self-test of processes.
        CloisterError: As the operation of the same name in `isolation.guest`.
    """
    checked_operation(operation.name, operation.arguments)
    act = _ACTS.get(operation.name)
    if act is None:
        raise ProviderUnavailable(
            f"the operation {quoted(operation.name, 60)} is about the walls of a process, which there are none of here",
            code="provider.wasm-only",
            hint="`cloister doctor` shows what was attempted in this provider",
        )
    limits = room.given.limits
    functions = room.functions(("operations",), whole=True)
    loaded = workshop.modules.load(module_bytes(), room.deadline, granted=functions.keys(), limits=limits)
    wanted = [(each.module, each.name) for each in loaded.outline.imports]
    with Store(workshop.engine, limits, room.deadline) as store:
        store.instantiate(loaded.module, wanted, functions)
        value = act(Files(store, room, workshop.clock), operation.arguments, limits)
        require_size(value, limits, f"the result of {operation.name}")
        return ExecutionResult(value=value, usage=room.usage(store))


class Files:
    """The functions of the module, with paths and content as Python has them.

    Args:
        store: With an instance of the module.
        room: What was granted.
        clock: Gives names to files that are not complete yet.
    """

    def __init__(self, store: Store, room: Room, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._limits = room.given.limits
        self._start = room.given.working_directory or "/"

    def _given(self, path: str, place: int = _PATH) -> int:
        """Hand a path over, and return its length. It starts from the root of what was granted."""
        absolute = posixpath.join(self._start, path)
        data = os.fsencode(absolute).lstrip(b"/") or b"."
        if len(data) > _OTHER - _PATH:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        self._store.memory.write(place, data)
        return len(data)

    def _call(self, name: str, *arguments: int) -> None:
        """Call a function of the module.

        Raises:
            OSError: What it answered.
            LimitExceeded: `limit.memory`.
        """
        (answer,) = self._store.call(name, *arguments)
        if answer == abi.TO_WASI[errno.ENOMEM]:
            raise faults.memory_used_up(self._limits, self._store.memory_peak_bytes)
        if answer:
            raise os_error(int(answer))

    def facts(self, path: str, *, follows: bool = True) -> tuple[int, int]:
        """Return what a path leads to, in WASI's numbers, and its size."""
        self._call("facts", self._given(path), int(follows))
        _, _, kind, _, size, *_ = abi.FILESTAT.unpack(self._store.memory.read(_FACTS, abi.FILESTAT.size))
        return kind, size

    def has(self, path: str, kind: int | None = None) -> bool:
        """Say whether a path leads to something, or to something of that kind."""
        try:
            found, _ = self.facts(path)
        except OSError:
            return False
        return kind in {None, found}

    def require_regular(self, path: str) -> int:
        """Return the size of a regular file.

        Raises:
            GuestError: It is neither a file nor a directory.
            OSError: It is a directory, or is not there.
        """
        kind, size = self.facts(path)
        modes = {number: mode for mode, number in abi.FILE_TYPES.items()}
        files.require_regular(modes.get(kind, stat.S_IFIFO), path)
        return size

    def read(self, path: str, *, offset: int = 0, most: int) -> bytes:
        """Return content from an offset on; more than `most` bytes of it when there are more."""
        self._call("read", self._given(path), offset, most)
        return self._store.memory.read(_CONTENT, self._store.memory.read_int(_COUNT, 4))

    def write(self, path: str, content: bytes, *, how: int = 0, flags: int = 0, mode_of: str | None = None) -> None:
        """Write content to a file, and make it durable; with the permission bits of another when that is named."""
        self._call("reserve", len(content))
        self._store.memory.write(_CONTENT, content)
        length = self._given(path)
        mode_length = 0 if mode_of is None else self._given(mode_of, _OTHER)
        self._call("write", length, len(content), how, flags, mode_length)

    def names_in(self, path: str) -> list[bytes]:
        """Return the names in a directory."""
        self._call("list", self._given(path))
        data = self._store.memory.read(_CONTENT, self._store.memory.read_int(_COUNT, 4))
        names, position = [], 0
        while position < len(data):
            _, _, length, _ = abi.DIRENT.unpack_from(data, position)
            position += abi.DIRENT.size
            names.append(data[position : position + length])
            position += length
        return [name for name in names if name not in _DOTS]

    def name_beside(self, path: str) -> str:
        """Return a path in the same directory that nothing has."""
        return posixpath.join(posixpath.dirname(path) or ".", f".cloister-{self._clock.random_bytes(8).hex()}.tmp")

    def do(self, name: str, path: str) -> None:
        """Call a function that takes a path alone: `make`, `remove`, `unlink` or `sync`."""
        self._call(name, self._given(path))

    def rename(self, path: str, new_path: str) -> None:
        """Give something another name."""
        length = self._given(path)
        self._call("rename", length, self._given(new_path, _OTHER))

    def variables(self) -> list[bytes]:
        """Return the variables, as `name=value`."""
        self._call("variables")
        data = self._store.memory.read(_CONTENT, self._store.memory.read_int(_COUNT, 4))
        return data.split(b"\0")[:-1]


def _exists(given: Files, arguments: Mapping[str, Any], _: ResourceLimits) -> bool:
    path = arguments["path"]
    try:
        given.facts(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise io_error(error, "look at", path) from error
    return True


def _content(given: Files, path: str, limits: ResourceLimits) -> bytes:
    with io_errors("read", path, limits):
        files.require_readable_size(path, given.require_regular(path), limits)
        content = given.read(path, most=limits.value_bytes)
        files.require_readable_size(path, len(content), limits)
        return content


def _read(given: Files, arguments: Mapping[str, Any], limits: ResourceLimits) -> str:
    return files.text_of(_content(given, arguments["path"], limits), arguments["path"])


def _read_base64(given: Files, arguments: Mapping[str, Any], limits: ResourceLimits) -> str:
    return base64.b64encode(_content(given, arguments["path"], limits)).decode("ascii")


def _write(given: Files, arguments: Mapping[str, Any], limits: ResourceLimits) -> dict[str, int]:
    return _replace(given, arguments["path"], files.content_of(arguments), limits)


def _write_base64(given: Files, arguments: Mapping[str, Any], limits: ResourceLimits) -> dict[str, int]:
    return _replace(given, arguments["path"], files.content_of_base64(arguments), limits)


def _replace(given: Files, path: str, content: bytes, limits: ResourceLimits) -> dict[str, int]:
    """Write a file beside the one that is there, and put it in its place: others see the old content or the new."""
    files.require_writable_size(path, len(content), limits)
    with io_errors("write", path, limits):
        temporary = given.name_beside(path)
        try:
            given.require_regular(path)
            mode_of: str | None = path
        except FileNotFoundError:
            mode_of = None
        try:
            given.write(temporary, content, how=abi.CREATE | abi.EXCLUSIVE, mode_of=mode_of)
            given.rename(temporary, path)
        except BaseException:
            _remove_if_there(given, temporary)
            raise
        given.do("sync", posixpath.dirname(path) or ".")
    return {"bytes": len(content)}


def _remove_if_there(given: Files, path: str) -> None:
    try:
        given.facts(path, follows=False)
    except OSError:
        return
    given.do("unlink", path)


def _delete(given: Files, arguments: Mapping[str, Any], limits: ResourceLimits) -> bool:
    path = arguments["path"]
    with io_errors("delete", path, limits):
        if given.facts(path, follows=False)[0] != abi.DIRECTORY:
            given.do("unlink", path)
        elif arguments.get("recursive", False):
            _delete_tree(given, path)
        else:
            given.do("remove", path)
    return True


def _delete_tree(given: Files, path: str) -> None:
    """Delete a directory without following links and without recursion, which a deep tree would exhaust."""
    pending, emptied = [path], []
    while pending:
        directory = pending.pop()
        emptied.append(directory)
        for name in given.names_in(directory):
            entry = posixpath.join(directory, os.fsdecode(name))
            if given.facts(entry, follows=False)[0] == abi.DIRECTORY:
                pending.append(entry)
            else:
                given.do("unlink", entry)
    for directory in reversed(emptied):
        given.do("remove", directory)


def _read_line(given: Files, arguments: Mapping[str, Any], limits: ResourceLimits) -> dict[str, Any]:
    path, offset = arguments["path"], arguments["offset_bytes"]
    allowed = min(lines.LINE_BYTES_MAX, limits.value_bytes)
    with io_errors("read", path, limits):
        given.require_regular(path)
        content = given.read(path, offset=offset, most=allowed)
    raw = content[: content.find(b"\n") + 1] or content
    return lines.line_of(raw[: allowed + 1], path, offset, allowed)


def _append_line(given: Files, arguments: Mapping[str, Any], limits: ResourceLimits) -> int:
    path = arguments["path"]
    data = lines.data_of(arguments)
    with io_errors("write", path, limits):
        files.require_writable_size(path, given.require_regular(path) + len(data), limits)
        given.write(path, data, flags=abi.APPEND)
    return len(data)


def _make(given: Files, arguments: Mapping[str, Any], limits: ResourceLimits) -> bool:
    path = arguments["path"]
    with io_errors("make directory", path, limits):
        if not arguments.get("recursive", False):
            given.do("make", path)
            return True
        names = [name for name in path.split("/") if name]
        root = "/" if path.startswith("/") else ""
        for count in range(1, len(names)):
            above = root + "/".join(names[:count])
            if not given.has(above):
                with contextlib.suppress(FileExistsError):  # somebody else made it meanwhile
                    given.do("make", above)
        try:
            given.do("make", path)
        except OSError:
            if not given.has(path, abi.DIRECTORY):
                raise
    return True


def _list(given: Files, arguments: Mapping[str, Any], limits: ResourceLimits) -> list[dict[str, Any]]:
    path = arguments["path"]
    listed: list[tuple[bytes, dict[str, Any]]] = []
    used = 0
    with io_errors("list", path, limits):
        for name in given.names_in(path):
            used = directories.require_listing_size(path, name, used, limits)
            shown = os.fsdecode(name)
            try:
                kind, size = given.facts(posixpath.join(path, shown), follows=False)
            except FileNotFoundError:  # deleted by somebody since: then it is not in the listing
                continue
            entry = directories.described(
                shown, posixpath.join(path, shown), is_dir=kind == abi.DIRECTORY, is_file=kind == abi.FILE, size=size
            )
            listed.append((name, entry))
    return [shown for _, shown in sorted(listed, key=lambda pair: pair[0])]


def _variable(given: Files, arguments: Mapping[str, Any], _: ResourceLimits) -> str | None:
    variables = dict(text.split(b"=", 1) for text in given.variables())
    value = variables.get(os.fsencode(arguments["name"]))
    return None if value is None else environment.text_of(os.fsdecode(value), arguments["name"])


_Act = Callable[[Files, Mapping[str, Any], ResourceLimits], Any]

_ACTS: Final[Mapping[str, _Act]] = {
    "file_exists": _exists,
    "read_file": _read,
    "read_file_base64": _read_base64,
    "write_file": _write,
    "write_file_base64": _write_base64,
    "delete_file": _delete,
    "read_line": _read_line,
    "append_line": _append_line,
    "make_directory": _make,
    "list_directory": _list,
    "get_environment": _variable,
}
