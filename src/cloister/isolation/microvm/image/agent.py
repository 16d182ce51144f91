"""The agent of an image: the closed set of Cloister's own modules that runs inside a machine.

Owns finding that set by reading imports, without running anything, and refusing what does not belong in a guest. Its
digest names the set in the image's manifest and in attestations.
"""

from __future__ import annotations

import ast
import hashlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

from cloister.errors import InternalError

ENTRY: Final = "cloister.isolation.microvm.guest.init"
ROOTS: Final = (ENTRY, "cloister.isolation.microvm.guest.prepared", "cloister.isolation.guest.main")
"""Where the search begins; the last is what the first becomes for each execution."""
PLACE: Final = "cloister"
"""Directory of the set inside the image."""
PACKAGES: Final = (
    "lang", "isolation.copying", "isolation.guest", "isolation.microvm.guest", "isolation.process.seccomp"
)  # fmt: skip
"""Packages that belong to the guest with all that is in them."""
MODULES: Final = frozenset({
    "spans", "errors", "version", "clock", "limits", "isolation", "isolation.wire", "isolation.wire_messages",
    "isolation.wire_errors", "isolation.wire_values", "isolation.microvm", "isolation.process",
    *(f"isolation.process.{name}" for name in (
        "calls", "cgroup", "cgroup.files", "mechanisms", "privileges", "reports", "steps", "syscalls", "terminals",
    )),
    *(f"isolation.microvm.{name}" for name in ("tpm", "tpm.client", "tpm.log", "tpm.wire")),
})  # fmt: skip
"""Single modules that belong to the guest; of the process provider those that run inside its sandboxes."""


def guest_set(package: Path | None = None, roots: Iterable[str] = ROOTS) -> dict[str, bytes]:
    """Return the sources of the agent by their paths below the place it is put, sorted.

    Args:
        package: Directory of the package `cloister`; that of this one when left out.
        roots: Modules to begin with.

    Raises:
        InternalError: `internal.agent`: a module is missing, or one is imported that does not belong in a guest.
    """
    directory = package or Path(str(files("cloister")))
    found: dict[str, bytes] = {}
    pending = [("", root) for root in roots]
    while pending:
        importer, name = pending.pop()
        for each in _with_packages(name):
            path = _path(directory, each)
            if path is None:
                raise InternalError(f"the agent has no module {each}", code="internal.agent")
            inside = str(path.relative_to(directory.parent))
            if inside in found:
                continue
            _require_allowed(each, importer)
            found[inside] = path.read_bytes()
            pending.extend((each, other) for other in _imports(found[inside], directory, each))
    return dict(sorted(found.items()))


def set_sha256(contents: Mapping[str, bytes]) -> str:
    """Return the digest of a set of files: SHA-256 over a line `SHA256  PATH` for each, sorted by path."""
    lines = (f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(contents.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _with_packages(name: str) -> Iterator[str]:
    """Yield a module behind the packages it is in."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        yield ".".join(parts[:count])


def _path(directory: Path, name: str) -> Path | None:
    """Return the file of a module; None when there is none."""
    place = directory.joinpath(*name.split(".")[1:])
    package, module = place / "__init__.py", place.with_suffix(".py")
    if package.is_file():
        return package
    return module if name != "cloister" and module.is_file() else None


def _require_allowed(name: str, importer: str) -> None:
    inside = name.removeprefix("cloister").removeprefix(".")
    is_member = any(inside == package or inside.startswith(f"{package}.") for package in PACKAGES)
    if inside and not is_member and inside not in MODULES:
        raise InternalError(
            f"{importer or 'the agent'} imports {name}, which does not belong in a guest", code="internal.agent"
        )


def _imports(source: bytes, directory: Path, name: str) -> Iterator[str]:
    """Yield the modules of Cloister that a module imports, in functions too; what only types need is not imported."""
    for node in _executed(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            submodules = (f"{module}.{alias.name}" for alias in node.names)
            names = [module, *(each for each in submodules if _is_own(each) and _path(directory, each))]
        else:
            continue
        for each in names:
            if _is_own(each):
                yield each
            elif each.split(".")[0] not in sys.stdlib_module_names:
                raise InternalError(f"{name} imports {each}, which is not in an image", code="internal.agent")


def _is_own(name: str) -> bool:
    return name == "cloister" or name.startswith("cloister.")


def _executed(tree: ast.AST) -> Iterator[ast.AST]:
    pending: list[ast.AST] = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            pending.extend(node.orelse)
            continue
        yield node
        pending.extend(ast.iter_child_nodes(node))
