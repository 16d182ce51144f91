"""What Python makes anew at each start, made once when an image is built.

Owns the use of a file with three things: the code of all modules that the agent loads, that of the methods which
`dataclasses` writes as text, and the programs of regular expressions. Without it all is the same but takes longer, by
most of a second where a processor is translated. The file is part of the base system and measured with it; what this
Python would make otherwise is not used. What this module itself imports is there without it: nothing but what is built
into the interpreter. Runs in the machine only. Part of the guest set.

Source: `_create_fn` of dataclasses.py, which calls `exec`; `compile` of re/_compiler.py, which ends in `_sre.compile`;
CPython 3.11. PEP 451 on finders and loaders.
"""

from __future__ import annotations

import _sre  # type: ignore[import-not-found]  # what the module `re` is made of
import builtins
import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

PATH = "/cloister/prepared"
LENGTH_BYTES = 8
DISPENSABLE = ("_bz2", "_hashlib", "_lzma")
"""Libraries that nothing of the agent's needs: it compresses nothing, and the interpreter digests by itself. In the
agent's process and its copies, which run plans and file operations, they are not there from then on: importing one is
an `ImportError`, which `hashlib`, `shutil` and `tarfile` expect. Programs and scripts have an interpreter of their own.
"""
_undo: list[Any] = []


def tag() -> list[Any]:
    """Return what must be equal where the file is made and where it is used."""
    return [sys.implementation.cache_tag, sys.hexversion >> 16, _sre.MAGIC, _sre.CODESIZE]


def use(path: str = PATH) -> None:
    """Have imports find made what the file has; `finish` ends that for all but modules.

    Without the file, or with one that another Python made, nothing changes.
    """
    try:
        descriptor = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        return
    length = int.from_bytes(posix.pread(descriptor, LENGTH_BYTES, 0), "big")
    made_with, modules, methods, patterns = marshal.loads(posix.pread(descriptor, length, LENGTH_BYTES))  # noqa: S302
    if made_with != tag():
        posix.close(descriptor)
        return
    sys.meta_path.insert(0, Finder(descriptor, LENGTH_BYTES + length, modules))
    modules_of_all: dict[str, Any] = sys.modules
    modules_of_all.update(dict.fromkeys(DISPENSABLE))
    # `dataclasses` loads it to describe classes without a docstring; ours have one
    sys.modules["inspect"] = type(sys)("inspect")
    _give(methods, patterns)


def _give(methods: dict[str, Any], patterns: dict[Any, Any]) -> None:
    import dataclasses  # noqa: PLC0415 - found by the finder
    import re._compiler  # type: ignore[import-not-found]  # noqa: PLC0415

    compiler: Any = re._compiler  # noqa: SLF001 - the only place where programs can be given
    given: Any = dataclasses
    make = compiler.compile

    def execute(text: str, names: dict[str, Any], found: dict[str, Any]) -> None:
        builtins.exec(methods.get(text) or text, names, found)  # noqa: S102 - what `dataclasses` does

    def compiled(pattern: Any, flags: int = 0) -> Any:
        made = patterns.get((pattern, int(flags))) if isinstance(pattern, (str, bytes)) else None
        return make(pattern, flags) if made is None else _sre.compile(*made)

    def undo() -> None:
        given.exec, compiler.compile = builtins.exec, make
        sys.modules.pop("inspect")

    given.exec, compiler.compile = execute, compiled
    _undo.append(undo)


def finish() -> None:
    """Let Python make everything itself again."""
    while _undo:
        _undo.pop()()


class Finder:
    """Finds modules in the file.

    Args:
        descriptor: The file.
        begin: Where the code begins in it.
        modules: By name: where its code is from there on, how long it is, the path of its source, and whether it is a
            package.
    """

    def __init__(self, descriptor: int, begin: int, modules: dict[str, tuple[int, int, str, bool]]) -> None:
        self._descriptor = descriptor
        self._begin = begin
        self._modules = modules

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return where a module comes from; None when not from here."""
        del path, target
        found = self._modules.get(name)
        if found is None:
            return None
        _, _, origin, is_package = found
        spec: Any = type(sys.__spec__)(name, self, origin=origin, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations.append(origin.rpartition("/")[0])
        return spec  # type: ignore[no-any-return]

    def create_module(self, spec: ModuleSpec) -> None:
        """Have the usual kind of module made."""

    def exec_module(self, module: ModuleType) -> None:
        """Run a module's code."""
        offset, size, _, _ = self._modules[module.__name__]
        code = posix.pread(self._descriptor, size, self._begin + offset)
        exec(marshal.loads(code), module.__dict__)  # noqa: S102, S302 - part of the measured image
