"""The context ids (CIDs) of the machines on this host, each held by one at a time.

Owns one file per number in a directory, locked by the process that holds the number; the kernel frees it when that
process ends, however it ends. Firecracker and Cloud Hypervisor never tell the host's kernel of a CID, so two machines
with the same one would still work; but logs and the guest's own address would name two machines alike, and the number
also decides which user a jailed VMM is.

A machine that was restored from a snapshot keeps the CID in it; it holds another number, for its user.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final

from cloister.errors import LaunchError, ProviderUnavailable

CID_MIN: Final = 3
"""0 to 2 are the hypervisor, the machine itself and the host; vsock(7)."""
CIDS_COUNT: Final = 60_000


def default_directory() -> Path:
    """Return where the numbers of this user's machines are held; for root, those of the host."""
    if os.geteuid() == 0:
        return Path("/run/cloister/cids")
    place = os.environ.get("XDG_RUNTIME_DIR") or f"{tempfile.gettempdir()}/cloister-{os.geteuid()}"
    return Path(place) / "cloister-cids"


class HeldCid:
    """A number that is held until it is released; leaving its context releases it.

    Attributes:
        number: The CID.
    """

    def __init__(self, number: int, path: Path, descriptor: int) -> None:
        self.number, self._path, self._descriptor = number, path, descriptor

    def release(self) -> None:
        """Let others have it. Idempotent."""
        if self._descriptor >= 0:
            with contextlib.suppress(FileNotFoundError):
                self._path.unlink()  # while it is locked: whoever opened it before finds that it is not the one there
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> HeldCid:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.release()


class Cids:
    """The numbers of this host.

    Args:
        directory: Where the files are; made when it is missing. All drivers of a host use the same.

    Raises:
        ProviderUnavailable: The directory cannot be made, or others could write to it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            facts = directory.stat()
        except OSError as error:
            raise ProviderUnavailable(f"the directory of machine numbers cannot be made: {error}") from error
        if facts.st_uid != os.geteuid() or stat.S_IMODE(facts.st_mode) & 0o022:
            raise ProviderUnavailable(
                f"others may write to {directory}, where machine numbers are held",
                hint=f"sudo chown root: {directory}; sudo chmod 700 {directory}",
            )

    def hold(self, number: int | None = None) -> HeldCid:
        """Return a number that nobody else holds.

        Args:
            number: That one; None for any.

        Raises:
            LaunchError: `provider.cid`: another run holds it, or all are held.
        """
        if number is not None:
            if not CID_MIN <= number < CID_MIN + CIDS_COUNT:
                raise LaunchError(
                    f"CIDs are {CID_MIN} to {CID_MIN + CIDS_COUNT - 1}, not {number}", code="provider.cid"
                )
            held = self._try(number)
            if held is None:
                raise LaunchError(
                    f"another machine on this host has the CID {number}",
                    code="provider.cid",
                    hint="name another one, or none: then a free one is taken",
                    details={"cid": number},
                )
            return held
        for candidate in range(CID_MIN, CID_MIN + CIDS_COUNT):
            held = self._try(candidate)
            if held is not None:
                return held
        raise LaunchError(f"all {CIDS_COUNT} CIDs of this host are held", code="provider.cid")

    def _try(self, number: int) -> HeldCid | None:
        path = self._directory / str(number)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            there, here = path.stat(), os.fstat(descriptor)
            if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                return HeldCid(number, path, descriptor)
        except (BlockingIOError, FileNotFoundError):
            pass  # held, or it was removed between: its last holder released it and the next one has a new file
        os.close(descriptor)
        return None
