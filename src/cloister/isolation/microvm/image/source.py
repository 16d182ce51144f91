"""Where the parts of an image come from.

Owns the contract behind which packages of a distribution and the files of the host look alike.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

from cloister.isolation.microvm.image.packages import Package

LEFT_OUT: Final = frozenset({
    "__pycache__", "config", "ensurepip", "venv", "idlelib", "tkinter", "turtledemo", "turtle", "lib2to3", "test",
    "pydoc_data", "pydoc", "distutils", "site-packages", "dist-packages", "sitecustomize", "sqlite3", "curses", "crypt",
    "nis", "_distutils_system_mod", "__phello__", "doctest", "_pydecimal", "_pyio", "_aix_support", "_osx_support",
    "_bootsubprocess",
})  # fmt: skip
"""First parts of names in the standard library that stay out of the base: installers, tests, what needs a screen,
what stands in for extension modules that are there, and what needs libraries that nothing else needs. A payload drive
may bring them."""
EXTENSIONS_LEFT_OUT: Final = (
    "_sqlite3", "_dbm", "_gdbm", "_curses", "_curses_panel", "readline", "nis", "ossaudiodev", "_tkinter", "_crypt",
    "_ctypes_test", "_xxtestfuzz", "_xxsubinterpreters", "_test", "xxlimited",
)  # fmt: skip
"""Beginnings of the names of extension modules that stay out, for the same reasons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelFile:
    """A kernel as a distribution ships it.

    Attributes:
        release: As `uname -r` says it.
        name: Of the file, for messages.
        data: Its content.
    """

    release: str
    name: str
    data: bytes


class Source(Protocol):
    """Where kernel, Python and libraries of an image come from."""

    @property
    def python(self) -> str:
        """Version of its Python, such as `3.11`."""

    def kernel(self) -> KernelFile:
        """Return the kernel."""

    def builtin_modules(self) -> str:
        """Return the text of the kernel's `modules.builtin`."""

    def module(self, name: str) -> bytes | None:
        """Return a module of the kernel, decompressed; None when there is none of that name."""

    def executable(self) -> bytes:
        """Return the Python interpreter."""

    def library_files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the files of Python's standard library that go into an image, with their paths below it, sorted."""

    def shared_library(self, name: str) -> tuple[str, bytes] | None:
        """Return where a shared library lies in the image, and its content; None when there is none of that name."""

    def packages(self) -> tuple[Package, ...]:
        """Return all that was taken from, sorted."""


def is_in_base(path: str) -> bool:
    """Say whether a file of the standard library, by its path below it, belongs in the base."""
    parts = path.split("/")
    first = parts[0].partition(".")[0]
    if first.startswith("config-") or first in LEFT_OUT or {"__pycache__", "tests", "test"} & set(parts[:-1]):
        return False
    if parts[0] == "lib-dynload":
        return len(parts) == 2 and parts[1].endswith(".so") and not parts[1].startswith(EXTENSIONS_LEFT_OUT)
    return path.endswith(".py") and parts[-1] != "_sysconfigdata__.py"
