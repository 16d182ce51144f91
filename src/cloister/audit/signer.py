"""The keys of a causal chain.

Owns key files and Ed25519; imports `cryptography` only when a key is used. The private key is
readable to its owner alone. Public keys may come from anywhere and prove nothing about who handed them over: an auditor
gets the public key on another way than the chain.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloister.audit.regular_file import open_regular
from cloister.errors import KeyUnavailable

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_ID_CHARS: Final = 16
_KEY_FILE_BYTES_MAX: Final = 4096
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


class PublicKey:
    """The checking half of a key.

    Args:
        raw: The 32 bytes of an Ed25519 public key (RFC 8032, section 5.1.5).

    Raises:
        KeyUnavailable: When they are not a key.
    """

    __slots__ = ("_key", "key_id", "raw")

    def __init__(self, raw: bytes) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415 - loaded on use

        try:
            self._key: Ed25519PublicKey = Ed25519PublicKey.from_public_bytes(raw)
        except ValueError as error:
            raise KeyUnavailable("these bytes are not an Ed25519 public key") from error
        self.raw = raw
        self.key_id = hashlib.sha256(raw).hexdigest()[:KEY_ID_CHARS]

    def __repr__(self) -> str:
        return f"PublicKey({self.key_id})"

    @classmethod
    def load(cls, path: Path) -> PublicKey:
        """Read a public key from a PEM file.

        Raises:
            KeyUnavailable: When it cannot be read or is not an Ed25519 public key.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

        data = _read(path, "verification", private=False)
        try:
            key = load_pem_public_key(data)
        except ValueError as error:
            raise _not_a_public_key(path) from error
        if not isinstance(key, Ed25519PublicKey):
            raise _not_a_public_key(path)
        return cls(key.public_bytes_raw())

    def verify(self, signature: bytes, message: bytes) -> bool:
        """Return whether the signature was made by this key over these bytes."""
        from cryptography.exceptions import InvalidSignature  # noqa: PLC0415

        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True

    def to_pem(self) -> bytes:
        """Return the key as PEM, SubjectPublicKeyInfo (RFC 8410)."""
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415

        return self._key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


class Signer:
    """The signing half of a key. Get one with `Signer.open` or `Signer.load`."""

    __slots__ = ("_key", "public_key")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public_key = PublicKey(key.public_key().public_bytes_raw())

    def __repr__(self) -> str:
        return f"Signer({self.key_id})"

    @property
    def key_id(self) -> str:
        """First 16 hexadecimal digits of the SHA-256 of the raw public key."""
        return self.public_key.key_id

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte Ed25519 signature over the bytes."""
        return self._key.sign(message)

    @classmethod
    def open(cls, path: Path) -> Signer:
        """Load the private key, or make one when there is none, and see that its public key lies beside it.

        Several processes may do this at once; all get the same key.

        Args:
            path: File of the private key, ending in `.key`; the public key's file ends in `.pub`.

        Raises:
            KeyUnavailable: As `load`; also when the file cannot be made, or the public key beside it is another one.
        """
        try:
            if not os.path.lexists(path):
                _create(path)
            signer = cls.load(path)
            public_path = path.with_suffix(".pub")
            if not os.path.lexists(public_path):
                place_file(public_path, signer.public_key.to_pem(), mode=0o644)
        except OSError as error:
            raise KeyUnavailable(f"cannot make the signing key {path}: {error.strerror}") from error
        if PublicKey.load(public_path).raw != signer.public_key.raw:
            raise KeyUnavailable(
                f"{public_path} is not the public key of {path}",
                hint=f"find out who replaced it; then remove {public_path} and it is written again",
            )
        return signer

    @classmethod
    def create(cls, path: Path) -> Signer:
        """Make a new private key; when this returns, it is on the disk.

        Raises:
            KeyUnavailable: When there is a file already, or it cannot be made.
        """
        if os.path.lexists(path):
            raise KeyUnavailable(f"there is a key at {path} already", hint="find out where it comes from")
        try:
            _create(path)
            sync_directory(path.parent)
        except OSError as error:
            raise KeyUnavailable(f"cannot make the signing key {path}: {error.strerror}") from error
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> Signer:
        """Load a private key that only its owner can read.

        Raises:
            KeyUnavailable: When it cannot be read, belongs to somebody else, others may read it, or it is not an
                Ed25519 private key.
        """
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
        from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415

        data = _read(path, "signing", private=True)
        try:
            key = load_pem_private_key(data, password=None)
        except (ValueError, TypeError) as error:
            raise _not_a_private_key(path) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise _not_a_private_key(path)
        return cls(key)


def _not_a_private_key(path: Path) -> KeyUnavailable:
    return KeyUnavailable(
        f"{path} does not hold an Ed25519 private key in PEM", hint="restore the file from where it was kept"
    )


def _not_a_public_key(path: Path) -> KeyUnavailable:
    return KeyUnavailable(
        f"{path} does not hold an Ed25519 public key in PEM",
        hint="name a file with a public key, such as keys/chain.pub of a home; if it is one of this home, restore it",
    )


def _read(path: Path, purpose: str, *, private: bool) -> bytes:
    # The checks are made on the opened file, so that it cannot be exchanged between looking and reading
    try:
        with open_regular(path, follows=not private) as file:
            facts = os.fstat(file.fileno())
            if private:
                _check_private(path, facts)
            return file.read(_KEY_FILE_BYTES_MAX)
    except OSError as error:
        raise KeyUnavailable(f"cannot read the {purpose} key {path}: {error.strerror}") from error


def _check_private(path: Path, facts: os.stat_result) -> None:
    if facts.st_mode & _OTHERS:
        raise KeyUnavailable(
            f"the signing key {path} is open to others (mode {stat.S_IMODE(facts.st_mode):04o}); expected 0600",
            hint=f"if nobody has read it, run: chmod 600 {path}",
        )
    if os.geteuid() not in {0, facts.st_uid}:
        raise KeyUnavailable(f"the signing key {path} belongs to user {facts.st_uid}, not to {os.geteuid()}")


def _create(path: Path) -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat  # noqa: PLC0415

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    place_file(path, pem, mode=0o600)


def place_file(path: Path, data: bytes, *, mode: int) -> None:
    """Make a file appear whole, or leave the one that is already there: linking, unlike renaming, never replaces.

    Raises:
        OSError: When it cannot be made.
    """
    temporary = _written(path, data, mode)
    try:
        os.link(temporary, path)
    except FileExistsError:
        return  # another process was first; its key is the key
    finally:
        os.unlink(temporary)  # noqa: PTH108 - a text path


def replace_file(path: Path, data: bytes, *, mode: int) -> None:
    """Make a file appear whole in the place of the one that is there.

    Raises:
        OSError: When it cannot be made.
    """
    temporary = _written(path, data, mode)
    try:
        os.replace(temporary, path)  # noqa: PTH105 - a text path
    except OSError:
        os.unlink(temporary)  # noqa: PTH108 - a text path
        raise


def sync_directory(path: Path) -> None:
    """Wait until the disk has the names in a directory.

    Raises:
        OSError: When it does not take them.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _written(path: Path, data: bytes, mode: int) -> str:
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
            file.write(data)
            os.fchmod(file.fileno(), mode)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        os.unlink(temporary)  # noqa: PTH108 - a text path
        raise
    return temporary
