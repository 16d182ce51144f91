"""Kernel, Python and libraries out of Debian's packages.

Owns which packages those are, and where in them the parts lie. They are unpacked into a tree in memory; nothing of them
touches the host's files, and nothing is run.
"""

from __future__ import annotations

import io
import platform
import posixpath
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.errors import InputError, ProviderUnavailable
from cloister.isolation.microvm.image.apt import Apt, Offer
from cloister.isolation.microvm.image.compression import decoded_bytes
from cloister.isolation.microvm.image.modules import MODULE_BYTES_MAX, SUFFIXES, normal
from cloister.isolation.microvm.image.packages import Package, unpack
from cloister.isolation.microvm.image.source import KernelFile, is_in_base
from cloister.isolation.microvm.image.tree import File, Tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What Debian calls things on one kind of machine.

    Attributes:
        kernel_package: The package that depends on the newest kernel made for virtual machines.
        library_directory: Where shared libraries lie.
    """

    kernel_package: str
    library_directory: str


MACHINES: Final = {
    "x86_64": Machine(kernel_package="linux-image-cloud-amd64", library_directory="usr/lib/x86_64-linux-gnu"),
}
"""Machines that images are built for, by the name the kernel gives them."""
PYTHON_PACKAGE: Final = "python3-minimal"
"""What depends on the release's own Python."""
NOT_NEEDED: Final = frozenset({
    "media-types", "mime-support", "libdb5.3", "libdb5.3t64", "libncursesw6", "libnsl2", "libreadline8",
    "libreadline8t64", "libsqlite3-0", "libtinfo6", "libtirpc3", "libtirpc3t64", "libcrypt1", "tzdata", "netbase",
    "readline-common",
})  # fmt: skip
"""Dependencies of Python for what stays out of the base (`source.LEFT_OUT`)."""
_PYTHON: Final = re.compile(r"python(3\.\d+)-minimal")
_LINKS: Final = {"bin": "usr/bin", "lib": "usr/lib", "lib64": "usr/lib64", "sbin": "usr/sbin"}
"""Directories of packages that lie in `usr` since Debian 12; the links are laid before anything is unpacked."""


def lay_links(tree: Tree) -> None:
    """Lay the links of a merged `/usr` into an empty tree, so that packages unpack to where they are used."""
    for name, target in _LINKS.items():
        tree.add_directory(target)
        tree.add_link(name, target)


def machine_here() -> Machine:
    """Return the kind of machine this is.

    Raises:
        ProviderUnavailable: `provider.image-machine`: one that images are not built for.
    """
    name = platform.machine()
    if name not in MACHINES:
        raise ProviderUnavailable(
            f"images are built for {', '.join(MACHINES)}, and this machine is {name}",
            code="provider.image-machine",
            hint="build and run them on a machine of that kind",
        )
    return MACHINES[name]


class DebianSource:
    """The parts of an image out of packages. Leaving its context removes what was unpacked.

    Args:
        apt: Where packages come from.

    Raises:
        InputError: `input.package`: apt does not offer a package that is needed.
        ProviderError: `provider.image-fetch`: one cannot be fetched.
    """

    def __init__(self, apt: Apt) -> None:
        self._machine = machine_here()
        self.python = python_version(apt)
        names = (f"python{self.python}-minimal", f"libpython{self.python}-stdlib")
        base = apt.closure(names, without=NOT_NEEDED)
        kernel = _kernel_offer(apt, self._machine)
        paths = apt.fetch((*base, kernel))
        self._packages = tuple(sorted(offer.package for offer in (*base, kernel)))
        self._base, self._kernel = Tree(), Tree()
        self._unpack_base(base, paths)
        unpack(paths[kernel.package.name], self._kernel, _is_of_kernel)
        self._modules = self._module_files()

    def __enter__(self) -> DebianSource:
        return self

    def __exit__(self, *exception: object) -> None:
        for tree in (self._base, self._kernel):
            tree.__exit__(None, None, None)

    def kernel(self) -> KernelFile:
        """Return the kernel."""
        for path, file in self._kernel.files_below("boot"):
            if path.startswith("boot/vmlinuz-"):
                return KernelFile(
                    release=path.removeprefix("boot/vmlinuz-"), name=path, data=self._kernel.content(file)
                )
        raise InputError("the package of the kernel holds none", code="input.package")

    def builtin_modules(self) -> str:
        """Return the text of the kernel's `modules.builtin`."""
        for path, file in self._kernel.walk():
            if path.endswith("/modules.builtin") and isinstance(file, File):
                return self._kernel.content(file).decode("utf-8", "replace")
        raise InputError("the package of the kernel does not say what is built in", code="input.package")

    def module(self, name: str) -> bytes | None:
        """Return a module of the kernel, decompressed; None when there is none of that name."""
        file = self._modules.get(normal(name))
        if file is None:
            return None
        data = self._kernel.content(file)
        return decoded_bytes(io.BytesIO(data), f"the module {name}", MODULE_BYTES_MAX)

    def executable(self) -> bytes:
        """Return the Python interpreter."""
        return self._content(f"usr/bin/python{self.python}")

    def library_files(self) -> Iterator[tuple[str, bytes]]:
        """Yield the files of Python's standard library that go into an image, with their paths below it, sorted."""
        top = f"usr/lib/python{self.python}"
        for path, file in self._base.files_below(top):
            inside = path.removeprefix(f"{top}/")
            if is_in_base(inside):
                yield inside, self._base.content(file)

    def shared_library(self, name: str) -> tuple[str, bytes] | None:
        """Return where a shared library lies in the image, and its content; None when there is none of that name."""
        for directory in (self._machine.library_directory, "usr/lib64"):
            path = self._base.resolved(f"{directory}/{name}")
            if path is not None:
                return f"{directory}/{name}", self._content(path)
        return None

    def packages(self) -> tuple[Package, ...]:
        """Return all that was taken from, sorted."""
        return self._packages

    def _unpack_base(self, offers: tuple[Offer, ...], paths: Mapping[str, Path]) -> None:
        lay_links(self._base)
        wanted = (f"usr/lib/python{self.python}/", "usr/lib/", "lib/", "lib64/", "usr/lib64/", "usr/bin/python3")
        for offer in offers:
            unpack(paths[offer.package.name], self._base, lambda path: path.startswith(wanted))

    def _module_files(self) -> dict[str, File]:
        found: dict[str, File] = {}
        for path, file in self._kernel.walk():
            name = posixpath.basename(path)
            if isinstance(file, File) and name.endswith(SUFFIXES):
                found[normal(name.partition(".ko")[0])] = file
        return found

    def _content(self, path: str) -> bytes:
        file = self._base.get(self._base.resolved(path) or "")
        if not isinstance(file, File):
            raise InputError(f"the packages of the base do not hold {path}", code="input.package")
        return self._base.content(file)


def python_version(apt: Apt) -> str:
    """Return the version of the distribution's own Python, such as `3.11`."""
    for group in apt.offer(PYTHON_PACKAGE).depends:
        for name in group:
            if match := _PYTHON.fullmatch(name):
                return match[1]
    raise InputError(f"{PYTHON_PACKAGE} depends on no Python", code="input.package")


def _kernel_offer(apt: Apt, machine: Machine) -> Offer:
    names = (name for group in apt.offer(machine.kernel_package).depends for name in group)
    name = next((name for name in names if name.startswith("linux-image-")), machine.kernel_package)
    return apt.offer(name)


def _is_of_kernel(path: str) -> bool:
    return path.startswith("boot/vmlinuz-") or path.endswith(("/modules.builtin", *SUFFIXES))
