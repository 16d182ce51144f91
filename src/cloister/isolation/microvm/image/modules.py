"""The kernel modules of an image and the order in which they are loaded.

Owns which devices a machine has, and the order that the modules' own words give: each behind those it needs. The guest
has no program that would work it out.

Source: modules.builtin and modinfo(8) of kmod 30; `depends` of include/linux/module.h, Linux 6.1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cloister.errors import ProviderUnavailable, quoted
from cloister.isolation.microvm.image.elf import ElfFile
from cloister.limits import MIB

MODULE_BYTES_MAX: Final = 64 * MIB
SUFFIXES: Final = (".ko", ".ko.xz", ".ko.zst", ".ko.gz")
WANTED: Final = (
    "virtio_ring", "virtio", "virtio_mmio", "virtio_pci", "virtio_console", "virtio_blk", "virtio-rng",
    "virtio_balloon", "vsock", "vmw_vsock_virtio_transport_common", "vmw_vsock_virtio_transport", "erofs", "ext4",
)  # fmt: skip
"""Buses and devices of the VMMs, and the file systems of drives. `virtio_pci` is how Cloud Hypervisor shows devices."""

Read = Callable[[str], bytes | None]


def normal(name: str) -> str:
    """Return a module's name as the kernel compares it: `-` and `_` are the same."""
    return name.replace("-", "_")


def builtin_names(text: str) -> frozenset[str]:
    """Return the normal names of what is part of the kernel itself, from the text of `modules.builtin`."""
    stems = (line.rsplit("/", 1)[-1].removesuffix(".ko") for line in text.splitlines())
    return frozenset(normal(stem) for stem in stems if stem)


def in_load_order(read: Read, builtin: frozenset[str], release: str) -> tuple[tuple[str, bytes], ...]:
    """Return the modules of an image with their contents, each behind those it needs.

    Args:
        read: Returns a module's content by its name, decompressed; None when there is none.
        builtin: Normal names of what is part of the kernel.
        release: Of the kernel, for messages.

    Raises:
        ProviderUnavailable: `provider.image-host`: the kernel has no such module.
        InputError: `input.elf`: a module is damaged.
    """
    found: dict[str, tuple[str, bytes]] = {}
    pending = [(name, False) for name in reversed(WANTED)]
    contents: dict[str, tuple[str, bytes]] = {}
    while pending:
        name, is_ready = pending.pop()
        key = normal(name)
        if key in builtin or key in found:
            continue
        if is_ready:
            found[key] = contents[key]
            continue
        content = read(name)
        if content is None:
            raise _missing(name, release)
        contents[key] = (name, content)
        pending.append((name, True))
        needed = ElfFile(content, f"{name}.ko").module_information().get("depends", "")
        pending.extend((each, False) for each in reversed(needed.split(",")) if each and normal(each) not in contents)
    return tuple(found.values())


def _missing(name: str, release: str) -> ProviderUnavailable:
    return ProviderUnavailable(
        f"the kernel {quoted(release)} has no module {quoted(name)}, which machines need",
        code="provider.image-host",
        hint="take the kernel of the distribution instead: cloister image build --kind vm --from debian",
    )
