"""Making in advance what Python would make at each start of an agent.

Owns the process that loads an agent once and tells what was made, and the form of the file, which
`guest.prepared` uses. Equal files of a base system give an equal one.
"""

from __future__ import annotations

import marshal
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from cloister.errors import ProviderError, quoted
from cloister.isolation.microvm.guest.prepared import LENGTH_BYTES
from cloister.isolation.microvm.image.bytecode import interpreter

HEADER_BYTES: Final = 16
"""Of a bytecode file, before its code. Source: PEP 552."""
MARSHAL_VERSION: Final = 2
"""The last one without references between objects: equal things have equal bytes. Source: the manual of `marshal`."""
_TIMEOUT_S: Final = 120
_SCRIPT: Final = r"""
import sys
place, entry, version = sys.argv[1], sys.argv[2], int(sys.argv[3])
sys.path.insert(0, place)
from cloister.isolation.microvm.guest import prepared
sys.modules["inspect"] = type(sys)("inspect")
import _sre, builtins, dataclasses, marshal, re._compiler
methods, patterns = {}, {}

def execute(text, names, found):
    methods[text] = compile(text, "<string>", "exec", dont_inherit=True)
    builtins.exec(methods[text], names, found)

def program(pattern, flags):
    seen = []
    class Spy:
        def __getattr__(self, name):
            return getattr(_sre, name)
        def compile(self, *arguments):
            seen.append(arguments)
    re._compiler._sre = Spy()
    try:
        make(pattern, flags)
    finally:
        re._compiler._sre = _sre
    text, all_flags, steps, groups, names, places = seen[0]
    return text, int(all_flags), [int(step) for step in steps], groups, dict(names), tuple(places)

def compiled(pattern, flags=0):
    if isinstance(pattern, (str, bytes)):
        patterns[pattern, int(flags)] = program(pattern, flags)
    return make(pattern, flags)

make = re._compiler.compile
dataclasses.exec, re._compiler.compile = execute, compiled
__import__(entry)
modules = sorted(
    (name, spec.submodule_search_locations is not None)
    for name, module in sys.modules.items()
    if name != "__main__" and (spec := getattr(module, "__spec__", None)) and (spec.origin or "").endswith(".py")
)
table = (
    prepared.tag(), modules, dict(sorted(methods.items())), dict(sorted(patterns.items(), key=repr))
)
sys.stdout.buffer.write(marshal.dumps(table, version))
"""


def prepared(
    agent_sources: Mapping[str, bytes], entry: str, python: str, bytecode: Callable[[str], tuple[str, bytes] | None]
) -> bytes:
    """Return the file.

    Args:
        agent_sources: The agent, by paths below the place it is put.
        entry: The module that the first process imports.
        python: Version of the image's Python, such as `3.11`.
        bytecode: Given the path of a module's source below where modules are found, such as `json/decoder.py`, returns
            the source's path in the image, from `/` on, and the bytecode file; None where the image has none.

    Raises:
        ProviderError: `provider.image-build`: the agent could not be loaded.
        ProviderUnavailable: `provider.image-python`: there is no interpreter of that version.
    """
    with tempfile.TemporaryDirectory(prefix="cloister-agent-") as place:
        for path, source in agent_sources.items():
            file = Path(place) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(source)
        command = [interpreter(python), "-I", "-S", "-B", "-c", _SCRIPT, place, entry, str(MARSHAL_VERSION)]
        done = subprocess.run(command, capture_output=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603
    if done.returncode != 0:
        last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it ended early"])[-1]
        raise ProviderError(f"loading the image's agent failed: {quoted(last, 300)}", code="provider.image-build")
    tag, names, methods, patterns = marshal.loads(done.stdout)  # noqa: S302 - of our own process
    modules, codes = _gathered(names, bytecode)
    head = marshal.dumps((tag, modules, methods, patterns), MARSHAL_VERSION)
    return len(head).to_bytes(LENGTH_BYTES, "big") + head + codes


def _gathered(
    names: list[tuple[str, bool]], bytecode: Callable[[str], tuple[str, bytes] | None]
) -> tuple[dict[str, tuple[int, int, str, bool]], bytes]:
    modules: dict[str, tuple[int, int, str, bool]] = {}
    codes = bytearray()
    for name, is_package in names:
        path = name.replace(".", "/") + ("/__init__.py" if is_package else ".py")
        found: Any = bytecode(path)
        if found is not None:
            origin, data = found
            modules[name] = (len(codes), len(data) - HEADER_BYTES, origin, is_package)
            codes += data[HEADER_BYTES:]
    return modules, bytes(codes)
