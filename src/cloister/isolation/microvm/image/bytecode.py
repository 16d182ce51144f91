"""Compiling Python files for an image: equal sources give equal bytes.

Owns the process that compiles, and the form of its output. It is a fresh interpreter each time, since what else a
process has loaded shows in what it marshals; it knows each file only by its path inside the image.

Source: PEP 552 (deterministic pycs), "unchecked hash-based": the file is used without looking at its source again.
"""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cloister.errors import ProviderError, ProviderUnavailable, quoted

_SCRIPT: Final = r"""
import importlib.util, marshal, struct, sys, warnings
warnings.simplefilter("ignore")
source, sink, size = sys.stdin.buffer, sys.stdout.buffer, struct.Struct("<I")
version = "%d.%d.%d" % sys.version_info[:3]
sink.write(size.pack(len(version)) + version.encode())
while head := source.read(4):
    path = source.read(size.unpack(head)[0]).decode()
    data = source.read(size.unpack(source.read(4))[0])
    try:
        code = compile(data, path, "exec", dont_inherit=True, optimize=0)
    except (SyntaxError, ValueError):
        sink.write(size.pack(0))
        continue
    unchecked = size.pack(1)
    output = importlib.util.MAGIC_NUMBER + unchecked + importlib.util.source_hash(data) + marshal.dumps(code)
    sink.write(size.pack(len(output)) + output)
"""
_SIZE: Final = struct.Struct("<I")
_TIMEOUT_S: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Compiled:
    """What came of some files.

    Attributes:
        files: The bytecode file of each source; None for a file that is not Python of this version.
        compiler: Exact version of the Python that compiled. Another one may give other bytecode.
    """

    files: list[bytes | None]
    compiler: str


def compiled(files: Sequence[tuple[str, bytes]], python: str) -> Compiled:
    """Compile Python files.

    Args:
        files: Each source's path inside the image, from `/` on, and its text.
        python: Version of the image's Python, such as `3.11`.

    Raises:
        ProviderUnavailable: `provider.image-python`: there is no interpreter of that version to compile with.
        ProviderError: `provider.image-build`: it failed.
    """
    request = b"".join(
        _SIZE.pack(len(name := path.encode())) + name + _SIZE.pack(len(source)) + source for path, source in files
    )
    command = [interpreter(python), "-I", "-S", "-B", "-c", _SCRIPT]
    done = subprocess.run(command, input=request, capture_output=True, timeout=_TIMEOUT_S, check=False)  # noqa: S603
    version, *outputs = _parted(done.stdout) or [None]
    if done.returncode != 0 or version is None or len(outputs) != len(files):
        last = (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["it ended early"])[-1]
        raise ProviderError(f"compiling the image's Python failed: {quoted(last, 300)}", code="provider.image-build")
    return Compiled(files=outputs, compiler=version.decode("ascii", "replace"))


def _parted(data: bytes) -> list[bytes | None]:
    outputs: list[bytes | None] = []
    position = 0
    while position + _SIZE.size <= len(data):
        (size,) = _SIZE.unpack_from(data, position)
        position += _SIZE.size
        outputs.append(data[position : position + size] if size else None)
        position += size
    return outputs


def interpreter(python: str) -> str:
    """Return an interpreter of a version.

    Raises:
        ProviderUnavailable: `provider.image-python`: there is none.
    """
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    program = sys.executable if own == python else shutil.which(f"python{python}")
    if not program:
        raise ProviderUnavailable(
            f"the image's Python is {python}, and only the same version can compile for it; this is {own}",
            code="provider.image-python",
            hint=f"apt-get install python{python}-minimal",
        )
    return program
