"""Which compiler this is.

Owns the digest that says whether two compilers give the same module for the same core: of the sources of the language,
all of them, because the compiler asks most of them something.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

PACKAGE: Final = "cloister.lang"
_SUFFIX: Final = ".py"


@lru_cache(maxsize=1)
def compiler_sha256() -> str:
    """Return the digest of this compiler. The same sources give the same, wherever they are installed.

    Cost:
        Reads every source of the language once in a process: some milliseconds.
    """
    digest = hashlib.sha256(b"cloister/compiler/v1\n")
    for path, source in sorted(_sources(files(PACKAGE), ""), key=lambda pair: pair[0]):
        data = source.read_bytes()
        digest.update(f"{len(path)}:{path}{len(data)}:".encode())
        digest.update(data)
    return digest.hexdigest()


def _sources(directory: Traversable, path: str) -> list[tuple[str, Traversable]]:
    found: list[tuple[str, Traversable]] = []
    for entry in directory.iterdir():
        inner = f"{path}/{entry.name}"
        if entry.is_dir():
            found += _sources(entry, inner)
        elif entry.name.endswith(_SUFFIX):
            found.append((inner, entry))
    return found
