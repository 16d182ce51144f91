"""The images of a home: where they lie, how one appears, is opened and goes.

Owns the directory and who may use it. An image appears whole or not at all, and one that is open stays readable when
it is replaced or removed meanwhile. What it is made of is `building`'s.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from cloister.audit.home import AuditHome
from cloister.audit.signer import PublicKey
from cloister.errors import AttestationError, ProviderError, ProviderUnavailable, quoted
from cloister.isolation.microvm.image import measuring
from cloister.isolation.microvm.image.manifest import (
    MANIFEST_BYTES_MAX,
    MANIFEST_FILE,
    REMEDY,
    SIGNATURE_FILE,
    Manifest,
    require_name,
    verified,
)

DIRECTORY: Final = "images"
SIGNATURE_BYTES: Final = 64
DEFAULT_NAME: Final = "base"
_PENDING: Final = ".building-"
_DISCARDED: Final = ".discarded-"
_DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_RENAME_EXCHANGE: Final = 2
"""Source: renameat2(2), include/uapi/linux/fs.h."""


class Image:
    """An image that is open: its manifest was signed by the home. Leaving its context closes it.

    Attributes:
        manifest: What it is.
        directory: Where it lies.
    """

    def __init__(self, manifest: Manifest, directory: Path, descriptor: int) -> None:
        self.manifest = manifest
        self.directory = directory
        self._descriptor = descriptor

    def __enter__(self) -> Image:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Image({self.manifest.name!r}, {self.manifest.image_id[:12]})"

    @property
    def image_id(self) -> str:
        """Digest of its manifest."""
        return self.manifest.image_id

    @property
    def descriptor(self) -> int:
        """Of its directory."""
        return self._descriptor

    def load_parts(self) -> measuring.Parts:
        """Read and measure its parts.

        Raises:
            DigestMismatch: `attestation.digest`: a part is not what the manifest says.
            AttestationError: `attestation.image`: a part is missing, or others may write to it.
            ProviderError: `provider.image-memory`: there is no memory for it.
        """
        return measuring.load(self.manifest, self._descriptor, str(self.directory))

    def close(self) -> None:
        """Let it go; parts that were loaded stay. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class ImageStore:
    """The images of a home.

    Args:
        home: The home directory.
        key: Verifies manifests; the home's public key when left out.
    """

    def __init__(self, home: Path, key: PublicKey | None = None) -> None:
        self.home = home
        self.directory = home / DIRECTORY
        self._key = key

    @property
    def packages(self) -> Path:
        """Where fetched packages are kept."""
        return self.directory / ".packages"

    def names(self) -> tuple[str, ...]:
        """Return the names of the images there are, sorted."""
        if not self.directory.is_dir():
            return ()
        return tuple(sorted(each.name for each in self.directory.iterdir() if each.name[0] != "." and each.is_dir()))

    def open(self, name: str = DEFAULT_NAME) -> Image:
        """Open an image.

        Raises:
            ConfigError: `config.image`: no name of an image.
            ProviderUnavailable: `provider.image`: there is no image of that name.
            ProviderError: `provider.image-store`: others may write to the store.
            SignatureInvalid: `attestation.signature`: the home's key did not sign its manifest.
            AttestationError: `attestation.manifest`, `attestation.image`: its manifest is none, or a file is missing.
            KeyUnavailable: The home's key cannot be read.
        """
        path = self.directory / require_name(name)
        descriptor = self._open_directory(path, name)
        try:
            _require_private(self.directory)
            manifest = self._read_manifest(descriptor, path)
        except BaseException:
            os.close(descriptor)
            raise
        return Image(manifest, path, descriptor)

    def require(self, name: str) -> None:
        """Refuse a name of which there is no image.

        Raises:
            ConfigError: `config.image`: no name of an image.
            ProviderUnavailable: `provider.image`: there is no image of that name.
        """
        if not (self.directory / require_name(name)).is_dir():
            raise self._absent(name)

    def remove(self, name: str) -> None:
        """Remove an image; whoever has it open keeps it until it is closed.

        Raises:
            ConfigError: `config.image`: no name of an image.
            ProviderUnavailable: `provider.image`: there is no image of that name.
            ProviderError: `provider.image-store`: it cannot be removed.
        """
        self.require(name)
        path = self.directory / name
        with self._prepared():
            place = self._fresh(_DISCARDED)
            path.rename(place)
            self._sweep()

    @contextmanager
    def pending(self) -> Iterator[Path]:
        """Yield a new directory for an image that is being made; what is not published is removed at the end."""
        with self._prepared():
            self._sweep()
            place = self._fresh(_PENDING)
            descriptor = os.open(place, _DIRECTORY_FLAGS)
            # As long as it is locked nobody takes it for one that was left behind
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        try:
            yield place
        except OSError as error:
            raise _failed(f"cannot write the image: {error.strerror}") from error
        finally:
            shutil.rmtree(place, ignore_errors=True)
            os.close(descriptor)

    def publish(self, pending: Path, name: str) -> Path:
        """Give a finished image its name, in one step; one that is there is replaced.

        Raises:
            ProviderError: `provider.image-store`: it cannot be done.
        """
        path = self.directory / require_name(name)
        _synchronize(pending)
        with self._prepared():
            if path.exists():
                _exchange(pending, path)
                pending.rename(self._fresh(_DISCARDED))
            else:
                pending.rename(path)
            self._sweep()
        return path

    def _open_directory(self, path: Path, name: str) -> int:
        """Open and lock the directory that has the name; one that loses it before it is locked may be swept away."""
        while True:
            try:
                descriptor = os.open(path, _DIRECTORY_FLAGS)
            except OSError as error:
                raise self._absent(name) from error
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            facts = os.fstat(descriptor)
            with suppress(FileNotFoundError):
                if os.path.samestat(facts, path.stat(follow_symlinks=False)):
                    return descriptor
            os.close(descriptor)

    def _absent(self, name: str) -> ProviderUnavailable:
        option = "" if name == DEFAULT_NAME else f" --name {name}"
        return ProviderUnavailable(
            f"there is no image {quoted(name)}",
            code="provider.image",
            hint=f"cloister image build --kind vm{option}",
        )

    def _read_manifest(self, descriptor: int, path: Path) -> Manifest:
        data = _read(descriptor, MANIFEST_FILE, path, MANIFEST_BYTES_MAX)
        signature = _read(descriptor, SIGNATURE_FILE, path, SIGNATURE_BYTES)
        key = self._key or PublicKey.load(AuditHome(self.home).public_key_path)
        manifest = verified(data, signature, key, str(path / MANIFEST_FILE))
        if manifest.name != path.name:  # one image of the home in the place of another
            raise AttestationError(
                f"{path} holds the image {quoted(manifest.name)}", code="attestation.manifest", hint=REMEDY
            )
        return manifest

    @contextmanager
    def _prepared(self) -> Iterator[None]:
        """Make the store when it is missing, and keep other processes from changing it."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.directory, _DIRECTORY_FLAGS)
        except OSError as error:
            raise _failed(f"cannot use the store of images {self.directory}: {error.strerror}") from error
        try:
            _require_private(self.directory)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        except OSError as error:
            raise _failed(f"cannot change the store of images {self.directory}: {error.strerror}") from error
        finally:
            os.close(descriptor)

    def _fresh(self, prefix: str) -> Path:
        """Return the path of a new directory of ours; an empty one can be renamed over."""
        return Path(tempfile.mkdtemp(dir=self.directory, prefix=prefix))

    def _sweep(self) -> None:
        """Remove what was replaced, removed or left behind, but for what somebody holds open."""
        for place in self.directory.iterdir():
            if place.name.startswith((_PENDING, _DISCARDED)):
                self._remove_unused(place)

    def _remove_unused(self, place: Path) -> None:
        descriptor = os.open(place, _DIRECTORY_FLAGS)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        else:
            shutil.rmtree(place)
        finally:
            os.close(descriptor)


def _failed(message: str) -> ProviderError:
    return ProviderError(message, code="provider.image-store")


def _require_private(directory: Path) -> None:
    facts = directory.lstat()
    if facts.st_mode & _OTHERS or facts.st_uid not in {0, os.geteuid()}:
        raise ProviderError(
            f"the store of images {directory} is open to others (mode {stat.S_IMODE(facts.st_mode):04o}), or not yours",
            code="provider.image-store",
            hint=f"if nobody has changed it, run: chmod 700 {directory}",
        )


def _read(directory_fd: int, name: str, directory: Path, bytes_max: int) -> bytes:
    descriptor = measuring.open_part(directory_fd, name, str(directory))
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        data = file.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise AttestationError(
            f"{directory / name} has more than the {bytes_max} bytes it may", code="attestation.manifest", hint=REMEDY
        )
    return data


def _synchronize(directory: Path) -> None:
    """Have the disk hold what is in a directory before its name says that it does."""
    for place in (*directory.iterdir(), directory):
        descriptor = os.open(place, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _exchange(first: Path, second: Path) -> None:
    """Exchange two directories in one step, so that at any time one of them has the name."""
    at_working_directory = -100
    libc = ctypes.CDLL(None, use_errno=True)
    names = (os.fsencode(first), os.fsencode(second))
    if libc.renameat2(at_working_directory, names[0], at_working_directory, names[1], _RENAME_EXCHANGE) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
