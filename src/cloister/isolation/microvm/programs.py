"""What tells one program and one processor from another.

Owns digests, the description of the processor, on which a snapshot depends, and the proof that a program which runs is
the one that was measured: between measuring it and starting it, its name may have become another file's.

Source: proc_cpuinfo(5); proc_pid_exe(5), which leads to the file that was executed, whatever its name is now.
"""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.errors import CloisterError, DigestMismatch, ProviderUnavailable
from cloister.isolation.microvm.confinement import ConfinedProcess

VERSION_TIMEOUT_S: Final = 20.0
VERSION_BYTES_MAX: Final = 4096
FIND_TIMEOUT_S: Final = 5.0
POLL_S: Final = 0.001
_REMEDY: Final = "start Cloister anew when the program was just updated; else find out who changed it"


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """What tells one file from another, and from itself after somebody wrote to it."""

    device: int
    inode: int
    size_bytes: int
    written_ns: int
    changed_ns: int
    """Of anything about it. Whoever writes to a file can set the other time, and not this one."""

    @classmethod
    def of(cls, facts: os.stat_result) -> _File:
        return cls(
            device=facts.st_dev,
            inode=facts.st_ino,
            size_bytes=facts.st_size,
            written_ns=facts.st_mtime_ns,
            changed_ns=facts.st_ctime_ns,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Measured:
    sha256: str
    version_text: str
    file: _File


class Program:
    """A program that runs machines. It is measured once, when that is first asked for.

    Args:
        path: Where it lies.
        what: It, in words, for example `QEMU`.
    """

    def __init__(self, path: Path, what: str) -> None:
        self.path: Final = path
        self._what = what

    def __repr__(self) -> str:
        return f"Program({self.path})"

    @property
    def sha256(self) -> str:
        """Its digest, in hexadecimal digits.

        Raises:
            ProviderUnavailable, DigestMismatch: As `version_text`.
        """
        return self._measured.sha256

    @property
    def version_text(self) -> str:
        """What it says when it is asked for its version.

        Raises:
            ProviderUnavailable: `provider.vmm`: it cannot be read, or does not answer.
            DigestMismatch: It was changed meanwhile.
        """
        return self._measured.version_text

    @functools.cached_property
    def _measured(self) -> _Measured:
        try:
            with self.path.open("rb") as file:
                found = _File.of(os.fstat(file.fileno()))
                sha256 = hashlib.file_digest(file, "sha256").hexdigest()
                said = self._ask(file.fileno())
                before, found = found, _File.of(os.fstat(file.fileno()))
                file.seek(0)
                if found != before and hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                    raise self._changed("was changed while it was measured", {})
        except (OSError, subprocess.SubprocessError) as error:
            raise ProviderUnavailable(f"{self.path} does not tell its version: {error}", code="provider.vmm") from error
        return _Measured(sha256=sha256, version_text=said, file=found)

    def _ask(self, descriptor: int) -> str:
        """Ask the very file that was read, not what has its name now."""
        done = subprocess.run(  # noqa: S603 - the program that will run the machines
            [self.path, "--version"],
            executable=f"/proc/self/fd/{descriptor}",
            pass_fds=(descriptor,),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=VERSION_TIMEOUT_S,
            env={},
        )
        return done.stdout[:VERSION_BYTES_MAX].decode("utf-8", "replace")

    def require_in(self, process: ConfinedProcess) -> None:
        """Make sure that a process runs what was measured. Nothing foreign may have run in it yet: it could lie.

        Args:
            process: One that this program was started in, and that has answered.

        Raises:
            DigestMismatch: `attestation.digest`: it runs something else.
            ProviderUnavailable: `provider.confinement`: it cannot be looked at.
            CloisterError: It has ended; the error of its end.
        """
        path = Path("/proc") / str(self._pid_of(process)) / "exe"
        try:
            if _File.of(path.stat()) == self._measured.file:
                return
            sha256 = digest_of(path)  # the same bytes under another name or time are the same program
        except OSError as error:
            if process.has_ended():
                raise process.end_error(self._what) from error
            raise self._unseen(f"what it executes cannot be read: {error.strerror}") from error
        if sha256 != self.sha256:
            how = "that was started is not the one that was measured; it was ended"
            raise self._changed(how, {"expected": self.sha256, "measured": sha256})

    def _pid_of(self, process: ConfinedProcess) -> int:
        until_s = time.monotonic() + FIND_TIMEOUT_S
        while (pid := process.pid) is None:  # the kernel may leave one out of a list that changes meanwhile
            if process.has_ended(POLL_S):
                raise process.end_error(self._what)
            if time.monotonic() > until_s:
                raise self._unseen("its process was not found")
        return pid

    def _unseen(self, why: str) -> CloisterError:
        return ProviderUnavailable(
            f"it cannot be proven that {self._what} is the program that was measured: {why}",
            code="provider.confinement",
        )

    def _changed(self, how: str, digests: dict[str, str]) -> CloisterError:
        return DigestMismatch(
            f"the program {self.path} {how}",
            hint=_REMEDY,
            details={"part": "vmm", "path": str(self.path), **digests},
        )


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def processor() -> str:
    """Return what the host's kernel says of the first processor that does not change while it runs."""
    wanted = {"vendor_id", "cpu family", "model", "model name", "stepping", "flags", "Features", "CPU part"}
    first = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    return "\n".join(line for line in first.splitlines() if line.partition(":")[0].strip() in wanted)
