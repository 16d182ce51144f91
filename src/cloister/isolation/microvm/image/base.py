"""The base system of an image: what is in a machine before anything of a user is.

Owns which files those are: Python with its standard library as bytecode, the libraries that these are linked with, the
kernel's modules, the agent, and the first process. There is no shell, no package manager, and no other program.

Source: Modules/getpath.py of CPython 3.11 for the standard library, which is found by its landmark `os.pyc`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from cloister.errors import InputError, quoted
from cloister.isolation.microvm.image import agent
from cloister.isolation.microvm.image.bytecode import compiled
from cloister.isolation.microvm.image.debian import lay_links
from cloister.isolation.microvm.image.elf import ElfFile
from cloister.isolation.microvm.image.modules import builtin_names, in_load_order
from cloister.isolation.microvm.image.preparing import HEADER_BYTES, prepared
from cloister.isolation.microvm.image.source import Source
from cloister.isolation.microvm.image.tree import File, Tree

PREPARED: Final = "cloister/isolation/microvm/guest/prepared.pyc"
INIT: Final = f"""#!/usr/bin/python3 -ISEB
import gc
import marshal
import sys

gc.disable()
sys.path.insert(0, "/{agent.PLACE}")
prepared = {{}}
with open("/{agent.PLACE}/{PREPARED}", "rb") as file:
    exec(marshal.loads(file.read()[{HEADER_BYTES}:]), prepared)
prepared["use"]()
from {agent.ENTRY} import main

prepared["finish"]()
gc.freeze()
gc.enable()
main()
"""
"""The first process. The kernel hands a script one argument: isolated, without `site`, no bytecode written. The first
module is not imported, as what looks for modules would be loaded for it alone. Garbage is not looked for in what was
loaded, then or later: it would take time, and write to memory that machines share."""
DIRECTORIES: Final = {
    "capabilities": 0o755, "dev": 0o755, "etc": 0o755, "payload": 0o755, "proc": 0o755, "root": 0o700, "run": 0o755,
    "sys": 0o755, "tmp": 0o1777,
}  # fmt: skip
FILES: Final = {
    "etc/passwd": "root:x:0:0:root:/root:/nonexistent\nnobody:x:65534:65534:nobody:/nonexistent:/nonexistent\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/hosts": "127.0.0.1 localhost\n",
    "etc/nsswitch.conf": "passwd: files\ngroup: files\nhosts: files\n",
}
LOADED_BY_NAME: Final = ("libgcc_s.so.1",)
"""What the C library opens when a thread is ended (pthread_cancel(3)); no file names it as needed."""
_PROGRAM_MODE: Final = 0o755


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a base system was made of.

    Attributes:
        agent_sha256: Digest of the agent's sources, which does not depend on what compiled them.
        agent_files_count: How many modules those are.
        modules: Names of the kernel's modules, in the order of loading.
        compiler: Exact version of the Python that compiled the bytecode.
    """

    agent_sha256: str
    agent_files_count: int
    modules: tuple[str, ...]
    compiler: str


def fill(tree: Tree, source: Source, release: str, agent_sources: Mapping[str, bytes]) -> Base:
    """Put the base system into an empty tree.

    Args:
        tree: Where to.
        source: Where its parts come from.
        release: Of the kernel.
        agent_sources: The agent, as `agent.guest_set` returns it.

    Raises:
        InputError: A part is missing or damaged.
        ProviderUnavailable: Something is missing on this machine.
    """
    lay_links(tree)
    for path, mode in DIRECTORIES.items():
        tree.add_directory(path, mode)
    for path, text in FILES.items():
        tree.add_file(path, [text.encode()])
    tree.add_file("init", [INIT.encode()], _PROGRAM_MODE)
    _add_python(tree, source)
    modules = _add_modules(tree, source, release)
    compiler = _add_agent(tree, agent_sources, source.python)
    _add_prepared(tree, agent_sources, source.python)
    return Base(
        agent_sha256=agent.set_sha256(agent_sources),
        agent_files_count=len(agent_sources),
        modules=modules,
        compiler=compiler,
    )


def _add_python(tree: Tree, source: Source) -> None:
    program = source.executable()
    tree.add_file(f"usr/bin/python{source.python}", [program], _PROGRAM_MODE)
    tree.add_link("usr/bin/python3", f"python{source.python}")
    top = f"usr/lib/python{source.python}"
    files = list(source.library_files())
    _add_compiled(tree, [(f"{top}/{name}", data) for name, data in files if name.endswith(".py")], source.python)
    extensions = [(name, data) for name, data in files if not name.endswith(".py")]
    for name, data in extensions:
        tree.add_file(f"{top}/{name}", [data])
    _add_libraries(tree, source.shared_library, [("python", program), *extensions])


def _add_libraries(
    tree: Tree, find: Callable[[str], tuple[str, bytes] | None], linked: list[tuple[str, bytes]]
) -> None:
    """Add all libraries that some files are linked with, those that these are linked with, and the loader."""
    pending = list(linked)
    seen: set[str] = set()
    loaders: dict[str, str] = {}
    while pending:
        user, data = pending.pop()
        file = ElfFile(data, user)
        loader = (file.interpreter() or "").lstrip("/")
        if loader:
            loaders[loader.rpartition("/")[2]] = loader
        for name in (*file.needed(), *loaders, *LOADED_BY_NAME):
            if name in seen:
                continue
            seen.add(name)
            found = find(name)
            if found is None:
                raise InputError(
                    f"{quoted(user)} needs the library {quoted(name)}, which is not there", code="input.package"
                )
            path, library = found
            tree.add_file(path, [library], _PROGRAM_MODE if name in loaders else 0o644)
            if name in loaders and tree.resolved(loaders[name]) is None:
                tree.add_link(loaders[name], f"/{path}")
            pending.append((name, library))


def _add_modules(tree: Tree, source: Source, release: str) -> tuple[str, ...]:
    modules = in_load_order(source.module, builtin_names(source.builtin_modules()), release)
    for name, content in modules:
        tree.add_file(f"modules/{name}.ko", [content])
    names = tuple(name for name, _ in modules)
    tree.add_directory("modules")
    tree.add_file("modules/order", ["".join(f"{name}\n" for name in names).encode()])
    return names


def _add_agent(tree: Tree, sources: Mapping[str, bytes], python: str) -> str:
    return _add_compiled(tree, [(f"{agent.PLACE}/{path}", data) for path, data in sources.items()], python)


def _add_prepared(tree: Tree, sources: Mapping[str, bytes], python: str) -> None:
    def bytecode(path: str) -> tuple[str, bytes] | None:
        for top in (agent.PLACE, f"usr/lib/python{python}"):
            node = tree.get(f"{top}/{path}c")
            if isinstance(node, File):
                return f"/{top}/{path}", tree.content(node)
        return None

    tree.add_file(f"{agent.PLACE}/prepared", [prepared(sources, agent.ENTRY, python, bytecode)])


def _add_compiled(tree: Tree, sources: list[tuple[str, bytes]], python: str) -> str:
    """Add Python files as bytecode where their sources would be, which is where it is found without them.

    Returns:
        Version of the Python that compiled.
    """
    done = compiled([(f"/{path}", text) for path, text in sources], python)
    for (path, text), code in zip(sources, done.files, strict=True):
        if code is None:
            tree.add_file(path, [text])
        else:
            tree.add_file(f"{path}c", [code])
    return done.compiler
