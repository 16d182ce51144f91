"""Which Firecracker this is, and whether this process may jail it.

Owns versions, digests and the first checks. `--version` is the only thing Firecracker is ever asked outside a jail.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from pathlib import Path
from typing import Final

from cloister.errors import ProviderUnavailable, quoted
from cloister.isolation.microvm.firecracker.settings import FirecrackerSettings
from cloister.isolation.microvm.programs import digest_of, processor

VERSION_TIMEOUT_S: Final = 20.0
OLDEST: Final = (1, 8)
"""The first that describes its devices to the guest with ACPI tables. Source: Firecracker's CHANGELOG, 1.8.0."""
_VERSION: Final = re.compile(r"^(?:Firecracker|Jailer) v(\d+)\.(\d+)\.(\d+)\S*", re.MULTILINE | re.IGNORECASE)
_NEEDED_CAPABILITIES: Final = {
    0: "CHOWN", 1: "DAC_OVERRIDE", 6: "SETGID", 7: "SETUID", 18: "SYS_CHROOT", 19: "SYS_PTRACE", 21: "SYS_ADMIN",
    27: "MKNOD",
}  # fmt: skip
"""capabilities(7). The jailer makes devices, namespaces and groups; the proof of filters traces threads."""


def check_rights() -> None:
    """Make sure that this process may do what a jail needs.

    Raises:
        ProviderUnavailable: `provider.confinement`: it may not; the message names what is missing.
    """
    if os.geteuid() != 0:
        raise ProviderUnavailable(
            "Firecracker's jailer needs root; without its jail Firecracker is not run",
            code="provider.confinement",
            hint="run Cloister as root on this host, or use QEMU, which is confined without root",
        )
    found = re.search(r"^CapEff:\s+([0-9a-f]+)$", Path("/proc/self/status").read_text(encoding="utf-8"), re.MULTILINE)
    held = int(found[1], 16) if found else 0
    missing = [name for bit, name in _NEEDED_CAPABILITIES.items() if not held >> bit & 1]
    if missing:
        raise ProviderUnavailable(
            f"Firecracker's jailer lacks the capabilities {', '.join(missing)}",
            code="provider.confinement",
            hint="in a container, they are added with --cap-add; or use QEMU",
        )


def of(settings: FirecrackerSettings) -> dict[str, str]:
    """Return what is to be known of the programs and the processor.

    Raises:
        ProviderUnavailable: A program does not tell its version, is too old, or the two do not belong together.
    """
    version, jailer_version = version_of(settings.firecracker), version_of(settings.jailer)
    if version != jailer_version:
        raise ProviderUnavailable(
            f"Firecracker is {version} and its jailer {jailer_version}; they have to be of one version",
            hint="use both from one release",
        )
    if tuple(map(int, version.split(".")[:2])) < OLDEST:
        raise ProviderUnavailable(
            f"Firecracker {version} is too old", hint=f"use {'.'.join(map(str, OLDEST))} or newer"
        )
    return {
        "vmm": "firecracker",
        "version": version,
        "program_sha256": digest_of(settings.firecracker),
        "jailer_sha256": digest_of(settings.jailer),
        "processor_sha256": hashlib.sha256(processor().encode()).hexdigest(),
    }


def version_of(program: Path) -> str:
    """Return the version a program tells, as three numbers.

    Raises:
        ProviderUnavailable: It cannot be started or tells none.
    """
    try:
        answer = subprocess.run(  # noqa: S603 - a program the operator named
            [program, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            timeout=VERSION_TIMEOUT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ProviderUnavailable(f"{program} does not tell its version: {error}") from error
    text = answer.stdout[:4096].decode("utf-8", "replace").strip()
    found = _VERSION.search(text)
    if found is None:
        raise ProviderUnavailable(f"{program} does not tell its version but {quoted(text) or 'nothing'}")
    return ".".join(found.groups())
