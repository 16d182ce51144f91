"""The runtime support as a module.

Owns which sources it is made of, and what of it plans may call. Pure: the same sources always give the same bytes,
which is what caches go by. Making it takes a fraction of a second, so that whoever keeps it need not make it again:
nothing is read or translated before it is asked for.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from threading import Lock
from types import ModuleType
from typing import Final

from cloister.lang.wasm_engine.binary.module import Signature
from cloister.lang.wasm_engine.layout import PAGE, STATIC_START

_PACKAGE: Final = "cloister.lang.wasm_engine"
_RUNTIME: Final = f"{_PACKAGE}.runtime"
_HOST: Final = "host"

SOURCES: Final = (
    "asking_functions", "base", "calls", "collector", "crossed", "crossing_in", "crossing_out", "cutting",
    "display", "elements", "entries", "equality", "fallback", "folding", "gathering", "hashing", "higher_order",
    "host", "keys", "kinds", "lookups", "made_functions", "making", "map_changes", "maps", "marking", "memory",
    "names", "numbers", "ordering", "patterns", "plan_support", "predicates", "prefixes", "ranges", "rounding",
    "scratch", "sequences", "sorting", "stack", "text_building", "text_case", "text_cutting", "text_items",
    "text_numbers", "text_parts", "text_search", "texts", "updates", "values", "vector_growth", "vector_views",
    "vectors", "wide_maps",
)  # fmt: skip
"""Every module in the dialect, by its name in the package; no two functions in them have the same name."""

_MADE_WITH: Final = ("binary", "dialect", "runtime")
"""Packages whose files decide what the module is, besides those of this package itself."""

_MAKING: Final = Lock()
"""Held while the sources are parsed: CPython 3.11 counts the depth of `ast.parse` in one place for all threads, and two
that parse at once can fail with a SystemError (CPython issue 106905)."""


@dataclass(frozen=True, slots=True)
class RuntimeSupport:
    """The runtime support, ready to be compiled.

    Attributes:
        wasm: The module; it exports every function it defines.
        signatures: Types of those functions, by name.
    """

    wasm: bytes
    signatures: Mapping[str, Signature]

    def encode(self) -> bytes:
        """Return it as bytes, for `decode`."""
        head = json.dumps(self.signatures, separators=(",", ":")).encode("ascii")
        return len(head).to_bytes(4, "big") + head + self.wasm

    @classmethod
    def decode(cls, data: bytes) -> RuntimeSupport:
        """Return what was encoded; the bytes are our own."""
        end = 4 + int.from_bytes(data[:4], "big")
        signatures = {
            name: (tuple(parameters), tuple(results)) for name, (parameters, results) in json.loads(data[4:end]).items()
        }
        return cls(data[end:], signatures)


def runtime_support() -> RuntimeSupport:
    """Return the runtime support, made from its sources; one thread makes it, and the others wait.

    Cost:
        About a quarter of a second the first time.
    """
    with _MAKING:
        return _made()


@lru_cache(maxsize=1)
def _made() -> RuntimeSupport:
    from cloister.lang.wasm_engine.dialect.translator import signatures, translate  # noqa: PLC0415 - rarely needed
    from cloister.lang.wasm_engine.native_tables import add_table  # noqa: PLC0415

    sources = [importlib.import_module(f"{_RUNTIME}.{name}") for name in SOURCES]
    own = [source for source in sources if not source.__name__.endswith(f".{_HOST}")]
    exported = [name for source in own for name in _defined(source)]
    module = translate("runtime", sources, exported, pages_min=STATIC_START // PAGE)
    add_table(module)
    return RuntimeSupport(
        module.encode(), {name: found for source in own for name, found in signatures(source).items()}
    )


@lru_cache(maxsize=1)
def sources_sha256() -> str:
    """Return a digest of every file that decides what the runtime support is, in hexadecimal."""
    digest = hashlib.sha256()
    root = resources.files(_PACKAGE)
    for folder in (root, *(root / name for name in _MADE_WITH)):
        for file in sorted(folder.iterdir(), key=lambda each: each.name):
            if file.name.endswith(".py"):
                data = file.read_bytes()
                digest.update(f"{folder.name}/{file.name} {len(data)}\n".encode())
                digest.update(data)
    return digest.hexdigest()


def runtime_module() -> bytes:
    """Return the runtime support in the binary format."""
    return runtime_support().wasm


def _defined(source: ModuleType) -> list[str]:
    tree = ast.parse(inspect.getsource(source))
    return [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
