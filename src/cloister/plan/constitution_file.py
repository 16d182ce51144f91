"""The file of a constitution and its signature.

Owns reading, checking and signing such files, and where their key lies. The file is TOML; its signature lies beside it
in a file of its own, over exactly the bytes of the file. Nothing of a file is used before its signature was checked by
the key that the home pins, and the bytes that were checked are the ones that are read. Whoever can write the file but
has not the key can at most make it refused.
"""

from __future__ import annotations

import base64
import errno
import json
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloister.audit.regular_file import open_regular
from cloister.audit.signer import PublicKey, Signer
from cloister.authority.constitution import Constitution, builtin_constitution, parse_constitution
from cloister.canonical import Plain, sha256_hex
from cloister.errors import AttestationError, ConfigError, InputError, KeyUnavailable, SignatureInvalid, quoted

FILE_BYTES_MAX: Final = 1024 * 1024
SIGNATURE_BYTES_MAX: Final = 4096
SIGNATURE_FORMAT: Final = "cloister/constitution-signature/v1"
_DOMAIN: Final = b"cloister/constitution/v1\n"
CONSTITUTION_FILE: Final = "constitution.toml"
_SUFFIX: Final = ".sig"


@dataclass(frozen=True, slots=True)
class ConstitutionKeys:
    """Where the key of a home's constitution lies. The public half is the pin: only what it signed is used.

    Attributes:
        home: The home directory.
    """

    home: Path

    @property
    def private_path(self) -> Path:
        """The private key, which only whoever writes the constitution needs; made by the first signature."""
        return self.home / "keys" / "constitution.key"

    @property
    def public_path(self) -> Path:
        """The pinned public key."""
        return self.home / "keys" / "constitution.pub"


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConstitution:
    """A constitution whose signature was checked.

    Attributes:
        constitution: Its rules.
        path: Where it was read.
        file_sha256: Digest of the bytes that were signed.
        key_id: The key that signed them.
    """

    constitution: Constitution
    path: Path
    file_sha256: str
    key_id: str

    def facts(self) -> dict[str, Plain]:
        """Return what the record says of it: the body of a `policy.loaded` record."""
        return {
            "policy": "constitution",
            "version": self.constitution.version,
            "sha256": self.constitution.sha256,
            "rules_count": len(self.constitution.rules),
            "path": quoted(str(self.path), 1_000),
            "file_sha256": self.file_sha256,
            "key_id": self.key_id,
        }


def builtin_facts(constitution: Constitution) -> dict[str, Plain]:
    """Return what the record says of a constitution that no file was read for; it has the same fields."""
    return {
        "policy": "constitution",
        "version": constitution.version,
        "sha256": constitution.sha256,
        "rules_count": len(constitution.rules),
        "path": None,
        "file_sha256": None,
        "key_id": None,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class HomeConstitution:
    """The constitution of a home.

    Attributes:
        constitution: Its rules.
        facts: What the record says of it.
    """

    constitution: Constitution
    facts: dict[str, Plain]


def home_constitution(home: Path) -> HomeConstitution:
    """Return the constitution of a home: that of its `constitution.toml`, else the built-in rules.

    Raises:
        CloisterError: As `load_constitution`, when there is one that cannot be used: a run never goes on without it.
    """
    path = home / CONSTITUTION_FILE
    if not os.path.lexists(path):
        builtin = builtin_constitution()
        return HomeConstitution(constitution=builtin, facts=builtin_facts(builtin))
    loaded = load_constitution(path, home)
    return HomeConstitution(constitution=loaded.constitution, facts=loaded.facts())


def signature_path(path: Path) -> Path:
    """Return where the signature of a file lies: `rules.toml.sig` beside `rules.toml`."""
    return path.with_name(path.name + _SUFFIX)


def load_constitution(path: Path, home: Path) -> LoadedConstitution:
    """Read a constitution that the home's key signed.

    Args:
        path: The file; its signature lies beside it.
        home: The home directory, which pins the key.

    Raises:
        InputError: `input.constitution` when it cannot be read.
        KeyUnavailable: The home pins no key.
        SignatureInvalid: `attestation.unsigned`, `attestation.signer` or `attestation.signature`: it has no signature,
            one by another key, or one over other bytes.
        AttestationError: `attestation.format` when what lies in the place of the signature is none.
        ConfigError: `config.constitution`, `config.pattern` or `config.condition` when it is signed but wrong.
    """
    data = _read(path, FILE_BYTES_MAX)
    pin = ConstitutionKeys(home).public_path
    if not pin.exists():
        raise KeyUnavailable(
            f"this home trusts no key for constitutions: there is no {quoted(str(pin))}",
            hint=f"read {quoted(str(path))}, then `cloister constitution sign FILE`; or put the public key there",
        )
    key = PublicKey.load(pin)
    signature, key_id = _signature(path)
    if key_id != key.key_id:
        raise SignatureInvalid(
            f"the constitution {quoted(str(path))} was signed with key {quoted(key_id)}; this home trusts {key.key_id}",
            code="attestation.signer",
            hint=f"if the other key is the right one, put its public half at {ConstitutionKeys(home).public_path}",
        )
    if not key.verify(signature, _DOMAIN + data):
        raise SignatureInvalid(
            f"the constitution {quoted(str(path))} is not what key {key_id} signed",
            hint="find out who changed it; whoever may change it signs it again with `cloister constitution sign`",
        )
    return LoadedConstitution(
        constitution=_parsed(data, path), path=path, file_sha256=sha256_hex(data), key_id=key.key_id
    )


def read_unverified(path: Path) -> Constitution:
    """Read a constitution without looking at its signature, to show or sign it; never to rule by it.

    Raises:
        InputError: `input.constitution` when it cannot be read.
        ConfigError: As `load_constitution`.
    """
    return _parsed(_read(path, FILE_BYTES_MAX), path)


def sign_constitution(path: Path, home: Path) -> LoadedConstitution:
    """Sign a constitution with the home's key, which is made when there is none.

    Raises:
        InputError: `input.constitution` when it cannot be read, or its signature cannot be written.
        ConfigError: As `load_constitution`: what could not be loaded is not signed.
        KeyUnavailable: The key cannot be used or made.
    """
    data = _read(path, FILE_BYTES_MAX)
    constitution = _parsed(data, path)
    keys = ConstitutionKeys(home)
    _make_home(home)
    signer = Signer.open(keys.private_path)
    body = {
        "format": SIGNATURE_FORMAT,
        "key_id": signer.key_id,
        "signature": base64.b64encode(signer.sign(_DOMAIN + data)).decode("ascii"),
    }
    _write(signature_path(path), json.dumps(body, indent=2).encode("ascii") + b"\n")
    return LoadedConstitution(constitution=constitution, path=path, file_sha256=sha256_hex(data), key_id=signer.key_id)


def _parsed(data: bytes, path: Path) -> Constitution:
    try:
        plain = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(
            f"the constitution {quoted(str(path))} is no TOML: {quoted(str(error))}",
            code="config.constitution",
            hint="docs/governance.md shows one",
        ) from error
    return parse_constitution(plain)


def _signature(path: Path) -> tuple[bytes, str]:
    place = signature_path(path)
    if not os.path.lexists(place):
        raise SignatureInvalid(
            f"the constitution {quoted(str(path))} is not signed: there is no {quoted(place.name)} beside it",
            code="attestation.unsigned",
            hint=f"read it, then run: cloister constitution sign {quoted(str(path))}",
        )
    try:
        plain: Any = json.loads(_read(place, SIGNATURE_BYTES_MAX))
        written, key_id = plain["format"], plain["key_id"]
        signature = base64.b64decode(plain["signature"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _no_signature(place) from error
    if written != SIGNATURE_FORMAT or not isinstance(key_id, str):
        raise _no_signature(place)
    return signature, key_id


def _no_signature(place: Path) -> AttestationError:
    return AttestationError(
        f"{quoted(str(place))} is no signature of a constitution",
        code="attestation.format",
        hint="sign it again with `cloister constitution sign`",
    )


def _read(path: Path, bytes_max: int) -> bytes:
    try:
        with open_regular(path) as file:
            data = file.read(bytes_max + 1)
    except OSError as error:
        hint = "write one as docs/governance.md shows, or name it" if error.errno == errno.ENOENT else None
        raise InputError(
            f"cannot read {quoted(str(path))}: {error.strerror}",
            code="input.constitution",
            hint=hint or "name a regular file that this user may read",
        ) from error
    if len(data) > bytes_max:
        raise InputError(
            f"{quoted(str(path))} has more than {bytes_max} bytes", code="input.constitution", hint="say it shorter"
        )
    return data


def _make_home(home: Path) -> None:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"cannot use the home directory {home}: {error.strerror}", code="input.constitution"
        ) from error


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        temporary.write_bytes(data)
        temporary.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {quoted(str(path))}: {error.strerror}", code="input.constitution") from error
