"""A guest that does nothing but let a test call the functions of WASI by hand."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wasmtime import wat2wasm

from cloister.clock import Clock, SystemClock
from cloister.isolation.provider import Mount, MountMode
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine
from cloister.isolation.wasm.room import Given, Room
from cloister.isolation.wasm.store import Imports, Store
from cloister.isolation.wasm.wasi import abi

READ, WRITE = abi.RIGHT_READ, abi.RIGHT_WRITE
_PATH, _OTHER, _DATA, _RESULT = 1_024, 8_192, 65_536, 0


def module_of(functions: Imports) -> bytes:
    """Return a module that hands its imports on as its exports."""
    lines = []
    for number, ((module, name), function) in enumerate(functions.items()):
        types = f"(param {' '.join(function.parameters)}) (result {' '.join(function.results)})"
        lines.append(f'(import "{module}" "{name}" (func $f{number} {types}))')
    exports = [f'(export "{name}" (func $f{number}))' for number, (_, name) in enumerate(functions)]
    return bytes(wat2wasm(f'(module {" ".join(lines)} (memory (export "memory") 64) {" ".join(exports)})'))


def mounted(*read: Path, write: tuple[Path, ...] = ()) -> tuple[Mount, ...]:
    """Return mounts that show paths where they are."""
    modes = [(path, MountMode.READ_ONLY) for path in read] + [(path, MountMode.READ_WRITE) for path in write]
    return tuple(Mount(source=str(path), target=str(path), mode=mode) for path, mode in modes)


class Driver:
    """The functions of WASI, with texts and bytes in place of addresses. A refusal raises OSError."""

    def __init__(self, store: Store, room: Room) -> None:
        self.store, self.room = store, room
        self.memory = store.memory

    def raw(self, name: str, *numbers: int) -> int:
        """Call a function and return its answer."""
        (answer,) = self.store.call(name, *numbers)
        return int(answer)

    def call(self, name: str, *numbers: int) -> None:
        """Call a function that must answer with success."""
        answer = self.raw(name, *numbers)
        if answer:
            number = abi.FROM_WASI.get(answer, answer)
            raise OSError(number, f"{errno.errorcode.get(number)} ({answer})")

    def put(self, text: str | bytes, place: int = _PATH) -> tuple[int, int]:
        data = text.encode() if isinstance(text, str) else text
        self.memory.write(place, data)
        return place, len(data)

    def result(self, width: int = 4) -> int:
        return self.memory.read_int(_RESULT, width)

    def preopened(self) -> dict[str, int]:
        """Return the directories that are there from the start, with their numbers."""
        found, number = {}, 3
        while self.raw("fd_prestat_get", number, _RESULT) == 0:
            length = self.memory.read_int(_RESULT + 4, 4)
            self.call("fd_prestat_dir_name", number, _DATA, length)
            found[self.memory.read(_DATA, length).decode()] = number
            number += 1
        return found

    def open(
        self, path: str | bytes, rights: int = READ, *, how: int = 0, at: int = 3, follow: int = 1, flags: int = 0
    ) -> int:
        self.call("path_open", at, follow, *self.put(path), how, rights, 0, flags, _RESULT)
        return self.result()

    def read(self, number: int, count: int = 1_000) -> bytes:
        self.memory.write(32, abi.VECTOR.pack(_DATA, count))
        self.call("fd_read", number, 32, 1, _RESULT)
        return self.memory.read(_DATA, self.result())

    def write(self, number: int, data: bytes) -> int:
        self.memory.write(_DATA, data)
        self.memory.write(32, abi.VECTOR.pack(_DATA, len(data)))
        self.call("fd_write", number, 32, 1, _RESULT)
        return self.result()

    def content(self, path: str | bytes, at: int = 3) -> bytes:
        number = self.open(path, at=at)
        content = self.read(number)
        self.call("fd_close", number)
        return content

    def facts(self, path: str | bytes, *, follow: int = 1, at: int = 3) -> tuple[int, ...]:
        self.call("path_filestat_get", at, follow, *self.put(path), 64)
        return tuple(abi.FILESTAT.unpack(self.memory.read(64, abi.FILESTAT.size)))

    def names(self, path: str, at: int = 3) -> list[str]:
        number = self.open(path, how=abi.ONLY_DIRECTORY, at=at)
        self.call("fd_readdir", number, _DATA, 100_000, 0, _RESULT)
        data, names = self.memory.read(_DATA, self.result()), []
        while data:
            _, _, length, _ = abi.DIRENT.unpack_from(data)
            names.append(data[abi.DIRENT.size : abi.DIRENT.size + length].decode())
            data = data[abi.DIRENT.size + length :]
        self.call("fd_close", number)
        return sorted(names)

    def on_path(self, name: str, path: str | bytes, at: int = 3) -> None:
        """Call a function that takes a directory and a path."""
        self.call(name, at, *self.put(path))

    def rename(self, path: str, new: str, at: int = 3, to: int = 3) -> None:
        self.call("path_rename", at, *self.put(path), to, *self.put(new, _OTHER))

    def link(self, path: str, new: str, at: int = 3, to: int = 3) -> None:
        self.call("path_link", at, 0, *self.put(path), to, *self.put(new, _OTHER))

    def symlink(self, target: str, path: str, at: int = 3) -> None:
        self.call("path_symlink", *self.put(target, _OTHER), at, *self.put(path))


@contextmanager
def driven(
    engine: Engine,
    given: Given | None = None,
    *,
    argv: tuple[str, ...] = ("driver",),
    stdin: bytes = b"",
    clock: Clock | None = None,
) -> Iterator[Driver]:
    """Open a room and have its functions called by hand."""
    given, clock = given or Given(), clock or SystemClock()
    deadline = Deadline(given.limits, clock)
    with Room.opened(given, deadline, clock, None) as room:
        functions = room.functions(argv, stdin)
        module = engine.compile(module_of(functions))
        with engine.ticking(), Store(engine, given.limits, deadline) as store:
            store.instantiate(module, list(functions), functions)
            yield Driver(store, room)
