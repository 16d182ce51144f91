"""Snapshots of machines on disk: saved once, verified whenever they are loaded.

Owns their directory, their signed description, and what they are bound to. A snapshot goes with one image, one kind of
hardware, one VMM and one processor; it is found by the digest of all of that, so one that does not fit is not found.
One whose bytes are not those that were described is refused. Bytes are measured in sealed memory, where nobody can
change them between the measuring and the use.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

from cloister.audit.signer import PublicKey, Signer
from cloister.canonical import encode, sha256_hex
from cloister.errors import AttestationError, ConfigError, DigestMismatch, LaunchError, SignatureInvalid, quoted
from cloister.isolation.microvm import memory
from cloister.isolation.microvm.vmm import STATE_BYTES_MAX, Drive, Machine, MachineSpec, SavedState

DIRECTORY: Final = "snapshots"
"""Of a home."""
FORMAT: Final = "cloister-vm-snapshot/1"
ID_CHARS: Final = 16
_PURPOSE: Final = FORMAT.encode("ascii") + b"\0"
"""Stands before what is signed: the key of the home signs other things too, and none of them can pass for this."""
_ID: Final = re.compile(r"[0-9a-f]{16}")
DESCRIPTION_BYTES_MAX: Final = 64 * 1024
_MEMORY: Final = "memory"
_STATE: Final = "state"
_DESCRIPTION: Final = "snapshot.json"
_SIGNATURE: Final = "snapshot.sig"
_UNFINISHED: Final = ".new-"
_REMEDY: Final = "remove it with `cloister snapshot rm`, and the next run makes another"


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What a snapshot is of, and what it goes with.

    Attributes:
        image_id: Digest of the image's manifest.
        command_line_sha256: Of the kernel's command line, whole.
        spec: The hardware.
        vmm: `Vmm.identity`.
        drives: SHA-256 of each drive's content, by name.
    """

    image_id: str
    command_line_sha256: str
    spec: MachineSpec
    vmm: Mapping[str, str]
    drives: Mapping[str, str]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "image_id": self.image_id,
            "command_line_sha256": self.command_line_sha256,
            "vcpus": self.spec.vcpus,
            "memory_mib": self.spec.memory_mib,
            "vmm": dict(self.vmm),
            "drives": dict(self.drives),
        }

    @property
    def snapshot_id(self) -> str:
        """The name of the snapshot that goes with it."""
        return sha256_hex(encode(self.to_dict()))[:ID_CHARS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One that lies on disk.

    Attributes:
        snapshot_id: Its name.
        directory: Where it lies.
        bound_to: `Binding.to_dict` of what it goes with.
        memory_sha256: `memory.digest` of its memory.
        state_sha256: SHA-256 of its state.
        created_at: When it was made.
        size_bytes: What it takes on disk.
    """

    snapshot_id: str
    directory: Path
    bound_to: Mapping[str, Any]
    memory_sha256: str
    state_sha256: str
    created_at: datetime
    size_bytes: int

    @property
    def digest(self) -> str:
        """What identifies its content."""
        return sha256_hex(encode(_described(self.bound_to, self.memory_sha256, self.state_sha256, self.created_at)))


class LoadedSnapshot:
    """A verified snapshot in sealed memory. Leaving its context gives the memory back.

    Args:
        snapshot: Which one.
        saved: What machines are restored from.
    """

    def __init__(self, snapshot: Snapshot, saved: SavedState) -> None:
        self.snapshot = snapshot
        self.saved = saved
        self._is_closed = False

    def __repr__(self) -> str:
        return f"LoadedSnapshot({self.snapshot.snapshot_id})"

    def close(self) -> None:
        """Close it; machines that were restored from it go on. Idempotent."""
        if not self._is_closed:
            self._is_closed = True
            os.close(self.saved.memory_fd)
            os.close(self.saved.state_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class SnapshotStore:
    """The snapshots below one directory; several processes may use it at once.

    Args:
        directory: Made when it is first needed, for its owner alone.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def __repr__(self) -> str:
        return f"SnapshotStore({self._directory})"

    def save(self, machine: Machine, binding: Binding, signer: Signer, now: datetime) -> Snapshot:
        """Save a paused machine; when another process was first, its snapshot stays.

        Raises:
            LaunchError: `provider.snapshot`: it could not be written.
        """
        with self._alone():
            self._sweep()
            self._save(machine, binding, signer, now)
        return self.get(binding.snapshot_id, signer.public_key)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep other processes from saving here meanwhile."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise _unwritable(self._directory, error) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _sweep(self) -> None:
        """Remove what processes have left that were killed while they saved."""
        for place in self._directory.glob(f"{_UNFINISHED}*"):
            shutil.rmtree(place, ignore_errors=True)

    def _save(self, machine: Machine, binding: Binding, signer: Signer, now: datetime) -> None:
        try:
            temporary = Path(tempfile.mkdtemp(dir=self._directory, prefix=_UNFINISHED))
        except OSError as error:
            raise _unwritable(self._directory, error) from error
        try:
            with _files(temporary) as (memory_fd, state_fd):
                machine.save(memory_fd, state_fd)
                memory_sha256, state_sha256 = memory.digest(memory_fd), _plain_digest(state_fd)
            data = encode(_described(binding.to_dict(), memory_sha256, state_sha256, now))
            (temporary / _DESCRIPTION).write_bytes(data)
            (temporary / _SIGNATURE).write_bytes(signer.sign(_PURPOSE + data))
            if not (self._directory / binding.snapshot_id).exists():
                temporary.rename(self._directory / binding.snapshot_id)
        except OSError as error:
            raise _unwritable(temporary, error) from error
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    def find(self, binding: Binding, key: PublicKey) -> Snapshot | None:
        """Return the snapshot that goes with a binding, or None when there is none.

        Raises:
            SignatureInvalid, DigestMismatch: As `get`.
        """
        if not (self._directory / binding.snapshot_id).exists():
            return None
        found = self.get(binding.snapshot_id, key)
        if encode(found.bound_to) != encode(binding.to_dict()):
            raise _altered(found.directory, "its description is that of another snapshot")
        return found

    def get(self, snapshot_id: str, key: PublicKey) -> Snapshot:
        """Return a snapshot's description, verified.

        Raises:
            ConfigError: `config.snapshot`: there is none of this name.
            SignatureInvalid: The description was not signed with this key.
            DigestMismatch: It is not in the format, or a file of it is missing.
        """
        directory = self._existing(snapshot_id)
        data, signature = _read(directory, _DESCRIPTION), _read(directory, _SIGNATURE)
        if not key.verify(signature, _PURPOSE + data):
            raise SignatureInvalid(
                f"the snapshot {directory} was not signed with the key {key.key_id}, or was altered", hint=_REMEDY
            )
        return _parsed(directory, data)

    def names(self) -> tuple[str, ...]:
        """Return the names of all, those that are broken too, sorted."""
        if not self._directory.is_dir():
            return ()
        return tuple(sorted(each.name for each in self._directory.iterdir() if _ID.fullmatch(each.name)))

    def load(self, snapshot: Snapshot, drives: tuple[Drive, ...] = ()) -> LoadedSnapshot:
        """Read a snapshot into sealed memory, measuring what arrives there.

        Raises:
            DigestMismatch: It is not what was saved.
        """
        bound = snapshot.bound_to
        spec = MachineSpec(vcpus=bound["vcpus"], memory_mib=bound["memory_mib"])
        with contextlib.ExitStack() as undo:
            memory_fd = _sealed(snapshot.directory / _MEMORY, spec.memory_bytes, undo)
            state_fd = _sealed(snapshot.directory / _STATE, STATE_BYTES_MAX, undo)
            for part, found, expected in (
                (_MEMORY, memory.digest(memory_fd), snapshot.memory_sha256),
                (_STATE, _plain_digest(state_fd), snapshot.state_sha256),
            ):
                if found != expected:
                    raise _altered(snapshot.directory / part, f"its digest is {found}, not {expected}")
            undo.pop_all()
        saved = SavedState(memory_fd=memory_fd, state_fd=state_fd, spec=spec, drives=drives)
        return LoadedSnapshot(snapshot, saved)

    def remove(self, snapshot_id: str) -> None:
        """Remove a snapshot, also one that is broken.

        Raises:
            ConfigError: `config.snapshot`: there is none of this name.
        """
        directory = self._existing(snapshot_id)
        shutil.rmtree(directory)

    def prune(self, image_ids: Collection[str], key: PublicKey) -> None:
        """Remove the snapshots of images that are not there any more; one that is broken stays, to be looked at.

        Args:
            image_ids: Of those that are there.
            key: Of whoever signed the snapshots.
        """
        for name in self.names():
            try:
                found = self.get(name, key)
            except AttestationError:
                continue
            if found.bound_to["image_id"] not in image_ids:
                shutil.rmtree(found.directory, ignore_errors=True)  # another process may be at it

    def _existing(self, snapshot_id: str) -> Path:
        directory = self._directory / snapshot_id
        if not _ID.fullmatch(snapshot_id) or not directory.is_dir():
            raise ConfigError(
                f'there is no snapshot "{quoted(snapshot_id)}"',
                code="config.snapshot",
                hint="see `cloister snapshot list`",
            )
        return directory


def _described(
    bound_to: Mapping[str, Any], memory_sha256: str, state_sha256: str, created_at: datetime
) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "bound_to": dict(bound_to),
        "memory_sha256": memory_sha256,
        "state_sha256": state_sha256,
        "created_at": created_at.astimezone(UTC).isoformat(),
    }


def _parsed(directory: Path, data: bytes) -> Snapshot:
    try:
        fields = json.loads(data)
        found = Snapshot(
            snapshot_id=directory.name,
            directory=directory,
            bound_to=fields["bound_to"],
            memory_sha256=fields["memory_sha256"],
            state_sha256=fields["state_sha256"],
            created_at=datetime.fromisoformat(fields["created_at"]),
            size_bytes=sum((directory / name).stat().st_blocks * 512 for name in (_MEMORY, _STATE)),
        )
    except (ValueError, KeyError, TypeError) as error:
        raise _altered(directory, "its description is not in the format of this version") from error
    except OSError as error:
        raise _altered(directory, f"a file of it cannot be read: {error.strerror}") from error
    if fields["format"] != FORMAT:
        raise _altered(directory, "its description is in the format of another version")
    return found


def _read(directory: Path, name: str) -> bytes:
    try:
        with (directory / name).open("rb") as file:
            return file.read(DESCRIPTION_BYTES_MAX)
    except OSError as error:
        raise _altered(directory / name, f"it cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def _files(directory: Path) -> Iterator[tuple[int, int]]:
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    memory_fd = os.open(directory / _MEMORY, flags, 0o600)
    state_fd = os.open(directory / _STATE, flags, 0o600)
    try:
        yield memory_fd, state_fd
    finally:
        os.close(memory_fd)
        os.close(state_fd)


def _sealed(path: Path, size_bytes_max: int, undo: contextlib.ExitStack) -> int:
    try:
        source = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError as error:
        raise _altered(path, f"it cannot be read: {error.strerror}") from error
    try:
        size = os.fstat(source).st_size
        if size > size_bytes_max:
            raise _altered(path, f"it has {size} bytes, which is more than {size_bytes_max}")
        target = memory.new_file(path.name)
        undo.callback(os.close, target)
        memory.copy(source, target)
    except OSError as error:
        raise _altered(path, f"it cannot be read: {error.strerror}") from error
    finally:
        os.close(source)
    memory.seal(target)
    return target


def _plain_digest(descriptor: int) -> str:
    return sha256_hex(os.pread(descriptor, STATE_BYTES_MAX, 0))


def _altered(path: Path, why: str) -> DigestMismatch:
    return DigestMismatch(f"the snapshot at {quoted(str(path), 300)} is not what was saved: {why}", hint=_REMEDY)


def _unwritable(path: Path, error: OSError) -> LaunchError:
    return LaunchError(
        f"the snapshot could not be written to {quoted(str(path), 300)}: {error.strerror}",
        code="provider.snapshot",
        hint="make room there, or choose another home with CLOISTER_HOME",
    )
