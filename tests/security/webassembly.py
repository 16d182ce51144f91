"""What the tests of WebAssembly share: a provider over a home of its own, and modules written as text."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.security.conftest import Bench
from wasmtime import wat2wasm

from cloister.authority.token import TokenIssuer
from cloister.clock import SystemClock
from cloister.isolation.provider import ExecutionResult, ExternalProgram, WasmFunction, WireValue
from cloister.isolation.wasm.provider import WasmProvider

WASI = {
    "fd_write": "i32 i32 i32 i32", "fd_read": "i32 i32 i32 i32", "fd_close": "i32", "fd_prestat_get": "i32 i32",
    "path_open": "i32 i32 i32 i32 i32 i64 i64 i32 i32", "path_filestat_get": "i32 i32 i32 i32 i32",
    "path_unlink_file": "i32 i32 i32", "path_rename": "i32 i32 i32 i32 i32 i32", "path_symlink": "i32 i32 i32 i32 i32",
    "path_link": "i32 i32 i32 i32 i32 i32 i32", "path_create_directory": "i32 i32 i32",
    "environ_sizes_get": "i32 i32", "environ_get": "i32 i32", "args_sizes_get": "i32 i32", "args_get": "i32 i32",
    "clock_time_get": "i32 i64 i32", "random_get": "i32 i32", "poll_oneoff": "i32 i32 i32 i32",
    "sock_accept": "i32 i32 i32",
}  # fmt: skip
"""Parameters of the functions that the tests use."""
HEAD = b"\0asm\x01\0\0\0"
"""What the binary of a module begins with."""


def module(body: str, *imports: str, pages: int = 2, data: str = "") -> str:
    """Return a module as text, with functions of WASI under their names, a memory, and `exit`."""
    lines = [
        f'(import "wasi_snapshot_preview1" "{name}" (func ${name} (param {WASI[name]}) (result i32)))'
        for name in imports
    ]
    return (
        f'(module {" ".join(lines)} (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
        f' (memory (export "memory") {pages}) {data} {body})'
    )


def command(body: str, *imports: str, pages: int = 2, data: str = "") -> str:
    """Return a command whose `_start` has that body."""
    return module(f'(func (export "_start") {body})', *imports, pages=pages, data=data)


def section(kind: int, body: bytes) -> bytes:
    """Return a section of a module or component."""
    return bytes([kind]) + leb(len(body)) + body


def leb(number: int) -> bytes:
    """Return a number of at least 0 as the binary format writes it, without help of what is tested."""
    found = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        found.append(low | (0x80 if number else 0))
        if not number:
            return bytes(found)


def granted_beside_secret(root: Path) -> None:
    """Make a directory `granted` with files, and beside it one with a secret whose name begins the same."""
    (root / "granted" / "inner").mkdir(parents=True)
    (root / "granted-not").mkdir()
    (root / "granted" / "file").write_text("granted")
    (root / "granted" / "inner" / "deep").write_text("deep")
    (root / "granted-not" / "secret").write_text("secret")


class WasmBench(Bench):
    """A provider of WebAssembly and short ways to run things in it."""

    def __init__(self, home: Path) -> None:
        self._issuer = TokenIssuer(bytes(range(32)), SystemClock())
        self.verifier = self._issuer.verifier()
        self.provider: WasmProvider = WasmProvider(self.verifier, home / "home", SystemClock())  # type: ignore[assignment]
        self.place = home / "modules"
        self.place.mkdir()
        self._count = 0

    def put(self, source: str | bytes) -> Path:
        """Put a module, as text or as bytes, where it can be granted."""
        path = self.place / f"module-{len(list(self.place.iterdir()))}.wasm"
        path.write_bytes(wat2wasm(source) if isinstance(source, str) else source)
        return path.resolve()

    def command(self, source: str | bytes, *words: str, stdin: bytes = b"", **facts: object) -> ExecutionResult:
        """Run a module as a command, with itself granted."""
        path = self.put(source)
        read = (path, *facts.pop("read", ()))  # type: ignore[misc]
        return self.execute(ExternalProgram(argv=(str(path), *words), stdin=stdin), read=read, **facts)  # type: ignore[arg-type]

    def seeded(self, source: str | bytes, seed: int) -> bytes:
        """Run a module as a command with a seed; return what it printed."""
        path = self.put(source)
        context = self.permitted(ExternalProgram(argv=(str(path),)), read=(path,))
        return self.provider.execute(replace(context, seed=seed)).stdout

    def call(self, source: str | bytes, name: str, *arguments: str | float, **facts: object) -> WireValue:
        """Call a function of a module, with the module granted."""
        path = self.put(source)
        function = WasmFunction(module=str(path), function=name, arguments=arguments)
        read = (path, *facts.pop("read", ()))  # type: ignore[misc]
        return self.execute(function, read=read, **facts).value  # type: ignore[arg-type]


@contextmanager
def wasm_bench(home: Path) -> Iterator[WasmBench]:
    bench = WasmBench(home)
    try:
        yield bench
    finally:
        bench.provider.close()
