"""Kernel, Python and libraries out of the host's own files.

Owns where they lie on common distributions. The Python is the one that runs Cloister. Nothing is run to find anything
out: what a file is linked with is read from it.
"""

from __future__ import annotations

import hashlib
import io
import os
import posixpath
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from cloister.errors import ConfigError, ProviderUnavailable, quoted
from cloister.isolation.microvm.image.agent import set_sha256
from cloister.isolation.microvm.image.compression import decoded_bytes
from cloister.isolation.microvm.image.debian import machine_here
from cloister.isolation.microvm.image.modules import MODULE_BYTES_MAX, SUFFIXES, normal
from cloister.isolation.microvm.image.packages import Package
from cloister.isolation.microvm.image.source import KernelFile, is_in_base

_KERNELS: Final = ("boot/vmlinuz-{}", "lib/modules/{}/vmlinuz", "usr/lib/modules/{}/vmlinuz")
_LIBRARIES: Final = (
    "lib/{}-linux-gnu", "usr/lib/{}-linux-gnu", "lib64", "usr/lib64", "lib", "usr/lib",
)  # fmt: skip
_RELEASE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+~-]{0,127}")
_DEBIAN: Final = "take them from packages instead: cloister image build --kind vm --from debian"


class HostSource:
    """The parts of an image out of the host's files.

    Args:
        release: Of the kernel to take; the running one when left out.
        root: Where kernel and libraries are looked for.

    Raises:
        ConfigError: `config.image`: a release that cannot be one.
        ProviderUnavailable: `provider.image-machine`: images are not built for this kind of machine.
    """

    def __init__(self, release: str | None = None, root: Path = Path("/")) -> None:
        machine_here()
        self._release = release or os.uname().release
        if not _RELEASE.fullmatch(self._release):
            raise ConfigError(f"{quoted(self._release)} cannot be the release of a kernel", code="config.image")
        self._root = root
        self.python = f"{sys.version_info.major}.{sys.version_info.minor}"
        self._used: dict[str, str] = {}
        self._modules: dict[str, Path] | None = None

    def kernel(self) -> KernelFile:
        """Return the kernel."""
        for pattern in _KERNELS:
            path = self._root / pattern.format(self._release)
            if path.is_file():
                return KernelFile(release=self._release, name=str(path), data=self._read(path))
        raise self._missing("kernel", "boot", "only root can read it on some systems; or " + _DEBIAN)

    def builtin_modules(self) -> str:
        """Return the text of the kernel's `modules.builtin`."""
        path = self._module_directory() / "modules.builtin"
        return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""

    def module(self, name: str) -> bytes | None:
        """Return a module of the kernel, decompressed; None when there is none of that name."""
        if self._modules is None:
            files = (path for path in self._module_directory().rglob("*.ko*") if path.name.endswith(SUFFIXES))
            self._modules = {normal(path.name.partition(".ko")[0]): path for path in files}
        path = self._modules.get(normal(name))
        if path is None:
            return None
        return decoded_bytes(io.BytesIO(self._read(path)), f"the module {name}", MODULE_BYTES_MAX)

    def executable(self) -> bytes:
        """Return the Python interpreter."""
        return self._read((Path(sys.base_exec_prefix) / "bin" / f"python{self.python}").resolve())

    def library_files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the files of Python's standard library that go into an image, with their paths below it, sorted."""
        top = Path(sysconfig.get_path("stdlib"))
        dynamic = Path(sysconfig.get_path("platstdlib")) / "lib-dynload"
        places = {str(path.relative_to(top)): path for path in top.rglob("*.py")}
        places |= {f"lib-dynload/{path.name}": path for path in dynamic.glob("*.so")}
        contents = {name: path.read_bytes() for name, path in sorted(places.items()) if is_in_base(name)}
        self._used[str(top)] = set_sha256(contents)
        yield from contents.items()

    def shared_library(self, name: str) -> tuple[str, bytes] | None:
        """Return where a shared library lies in the image, and its content; None when there is none of that name."""
        if posixpath.basename(name) != name:
            return None
        machine = os.uname().machine
        for pattern in _LIBRARIES:
            directory = pattern.format(machine)
            path = self._root / directory / name
            if path.is_file():
                return f"{_in_usr(directory)}/{name}", self._read(path.resolve())
        own = Path(sys.base_exec_prefix) / "lib" / name
        return (f"usr/lib/{name}", self._read(own.resolve())) if own.is_file() else None

    def packages(self) -> tuple[Package, ...]:
        """Return all files that were taken, as packages of their paths; the standard library is one of them."""
        version, machine = sys.version.split()[0], os.uname().machine
        return tuple(
            Package(
                name=f"host:{path}",
                version=version if path == sysconfig.get_path("stdlib") else "",
                architecture=machine,
                sha256=sha256,
            )
            for path, sha256 in sorted(self._used.items())
        )

    def _module_directory(self) -> Path:
        for directory in ("lib/modules", "usr/lib/modules"):
            path = self._root / directory / self._release
            if path.is_dir():
                return path
        raise self._missing("modules", "lib/modules", _DEBIAN)

    def _read(self, path: Path) -> bytes:
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ProviderUnavailable(
                f"cannot read {path}: {error.strerror}", code="provider.image-host", hint=_DEBIAN
            ) from error
        self._used[str(path)] = hashlib.sha256(data).hexdigest()
        return data

    def _missing(self, what: str, directory: str, hint: str) -> ProviderUnavailable:
        return ProviderUnavailable(
            f"there is no {what} of Linux {quoted(self._release)} below {self._root / directory}",
            code="provider.image-host",
            hint=f"name another one with --kernel; {hint}",
        )


def _in_usr(directory: str) -> str:
    return directory if directory.startswith("usr/") else f"usr/{directory}"
