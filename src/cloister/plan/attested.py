"""Attestations that were recorded or handed over: finding one, and verifying it again.

Owns the checks of `cloister attest verify` and their order. A record is believed for the chain's signature. A file
proves nothing by itself: what is in it is compared with what its reader expects, and its quote is verified with a key
that its reader has from somewhere else.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloister.audit.event import EventType, Record
from cloister.audit.query import RecordQuery
from cloister.audit.reader import ChainReader
from cloister.audit.regular_file import open_regular
from cloister.audit.signer import PublicKey
from cloister.audit.verify import verify_chain
from cloister.canonical import sha256_hex
from cloister.errors import AttestationError, AuditError, InputError, KeyUnavailable, quoted
from cloister.isolation.attestation import Attestation, Expectations, mismatch
from cloister.isolation.microvm.tpm.quote import public_key_from_pem, verify_attested

LAST: Final = "last"
"""Names the newest attestation in place of a run."""
FILE_BYTES_MAX: Final = 1024 * 1024
_EVENTS: Final = frozenset({EventType.ATTESTATION_MEASURED, EventType.ATTESTATION_REFUSED})


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordedAttestation:
    """An attestation in a chain.

    Attributes:
        run_id: Of which run.
        sequence: The record.
        at: When it was recorded.
        attestation: What was measured; None when measuring failed.
        expected: What was expected then.
        error: Why it was refused, as the record has it; None when it was not.
    """

    run_id: str
    sequence: int
    at: str
    attestation: Attestation | None
    expected: Expectations
    error: Mapping[str, Any] | None

    def require(self) -> Attestation:
        """Return what was measured.

        Raises:
            AttestationError: `attestation.rejected`: it was refused when it was recorded.
        """
        if self.attestation is None or self.error is not None:
            error = self.error or {}
            why = quoted(f"{error.get('code')}: {error.get('message')}", 500)
            raise AttestationError(
                f"record {self.sequence} of {self.run_id} says that this was refused: {why}",
                code="attestation.rejected",
                hint="nothing was run in it; `cloister attest show` prints what was measured",
            )
        return self.attestation


def find(chain_path: Path, public_key: PublicKey, run: str) -> RecordedAttestation:
    """Return the newest attestation of a run, its record proven by the head of the chain.

    Args:
        chain_path: The chain.
        public_key: Of the chain.
        run: The run, or `LAST` for the newest of all.

    Raises:
        AttestationError: `attestation.absent`: there is none.
        AuditError: `audit.run`: there is no such run.
        ChainBroken: A record was changed.

    Cost: logarithmic in the records.
    """
    run_id = None if run == LAST else run
    newest = RecordQuery(run_id=run_id, event_types=_EVENTS, newest_count=1)
    with ChainReader.open(chain_path, public_key) as reader:
        for record in reader.records(newest):
            return _read(record)
        has_records = any(True for _ in reader.records(RecordQuery(run_id=run_id, newest_count=1)))
    raise _none_of(run, has_records=has_records)


def _none_of(run: str, *, has_records: bool) -> AttestationError | AuditError:
    if run != LAST and not has_records:
        return AuditError(
            f"there is no record of a run {quoted(run)}",
            code="audit.run",
            hint="`cloister audit show` lists every run there is",
        )
    whom = "any run of this chain" if run == LAST else f"the run {quoted(run)}"
    return AttestationError(
        f"nothing was measured before {whom}",
        code="attestation.absent",
        hint="choose a provider of virtual machines with --provider",
    )


def _read(record: Record) -> RecordedAttestation:
    body, data = record.event.body, record.event.body.get("attestation")
    error, expected = body.get("error"), body.get("expected")
    if not isinstance(expected, dict) or not (error is None or isinstance(error, dict)):
        raise AttestationError(
            f"record {record.event.sequence} holds no attestation of this version", code="attestation.format"
        )
    return RecordedAttestation(
        run_id=record.event.run_id,
        sequence=record.event.sequence,
        at=record.event.at,
        attestation=None if data is None else Attestation.from_dict(data),
        expected=Expectations(digests=expected),
        error=error,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What was verified, and how; whatever is wrong is raised instead.

    Attributes:
        attestation: What it is about.
        chain_key_id: The key of the chain that has it; None for a file.
        expected: What it was compared with.
        image: Name of the image here whose manifest agrees with it; None when that image is not here.
        is_quoted: Whether a TPM's quote was verified.
    """

    attestation: Attestation
    chain_key_id: str | None
    expected: Expectations
    image: str | None
    is_quoted: bool


def verify_recorded(
    chain_path: Path, public_key: PublicKey, run: str, expected: Expectations, images: Path
) -> tuple[RecordedAttestation, Verdict]:
    """Verify the attestation of a run: the chain as a whole, then it.

    Args:
        chain_path: The chain.
        public_key: Of the chain.
        run: As in `find`.
        expected: What is demanded now.
        images: Directory of the images of this home.

    Raises:
        ChainBroken: The chain does not verify.
        DigestMismatch: Something else was measured than is expected, or than the image's manifest says.
        AttestationError: It was refused, or its quote is wrong.
    """
    verify_chain(chain_path, public_key)
    found = find(chain_path, public_key, run)
    attestation = found.require()
    found.expected.require(attestation)
    expected.require(attestation)
    if attestation.tpm is not None:
        verify_attested(attestation)
    verdict = Verdict(
        attestation=attestation,
        chain_key_id=public_key.key_id,
        expected=expected,
        image=_image_that_agrees(images, attestation),
        is_quoted=attestation.tpm is not None,
    )
    return found, verdict


def verify_file(path: Path, tpm_key: Path | None, expected: Expectations, images: Path) -> Verdict:
    """Verify an attestation that somebody handed over.

    Args:
        path: A file with what `cloister attest show --json` or `cloister attest quote --json` has printed.
        tpm_key: A file with the TPM's public key in PEM, from somewhere else.
        expected: What is demanded; something must be.
        images: Directory of the images of this home.

    Raises:
        InputError: `input.attestation`: the file cannot be read, or nothing was given to compare it with.
        KeyUnavailable: `attestation.key`: it has a quote, and there is no key to verify that with.
        DigestMismatch: As `verify_recorded`.
        AttestationError: As `verify_recorded`.
    """
    attestation = Attestation.from_dict(_load(path))
    if attestation.tpm is None and not expected:
        raise InputError(
            "nothing is expected of this attestation, and it has no quote; so there is nothing to verify",
            code="input.attestation",
            hint="say what it should be with --expect PART=sha256:HEX",
        )
    expected.require(attestation)
    if attestation.tpm is not None:
        if tpm_key is None:
            raise KeyUnavailable(
                "a quote in a file is verified with a key that did not come with it",
                hint="name the TPM's public key: --public-key FILE; with --run the key is taken from the signed record",
            )
        verify_attested(attestation, public_key=public_key_from_pem(tpm_key.name, _bytes(tpm_key)))
    return Verdict(
        attestation=attestation,
        chain_key_id=None,
        expected=expected,
        image=_image_that_agrees(images, attestation),
        is_quoted=attestation.tpm is not None,
    )


def _load(path: Path) -> object:
    try:
        data = json.loads(_bytes(path))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f'"{quoted(str(path))}" is not JSON',
            code="input.attestation",
            hint="use what `cloister attest show --json` prints",
        ) from error
    return data.get("attestation") if isinstance(data, dict) else data


def _bytes(path: Path) -> bytes:
    try:
        with open_regular(path) as file:
            return file.read(FILE_BYTES_MAX)
    except OSError as error:
        raise InputError(
            f'cannot read "{quoted(str(path))}": {error.strerror}', code="input.attestation", hint="name a file"
        ) from error


def _image_that_agrees(images: Path, attestation: Attestation) -> str | None:
    """Return the name of the image here that the attestation names, after comparing its manifest.

    An image is named by the digest of its manifest, so the bytes that have this digest are the right ones.
    """
    for path in sorted(images.glob("*/manifest.json")):
        data = _bytes(path)
        if sha256_hex(data) != attestation.image_sha256:
            continue
        for part, digest in _digests_of(data, path).items():
            if digest != attestation.measured(part):
                raise mismatch(part, digest, attestation.measured(part), by=f"named by the manifest of {path.parent}")
        return path.parent.name
    return None


def _digests_of(data: bytes, path: Path) -> dict[str, str | None]:
    try:
        manifest = json.loads(data)
        rootfs = manifest["rootfs"]
        return {
            "kernel": manifest["kernel"]["sha256"],
            "initramfs": manifest["initramfs"]["sha256"],
            "rootfs": None if rootfs is None else rootfs["sha256"],
            "agent": manifest["agent"]["sha256"],
            "command-line": manifest["command_line_sha256"],
        }
    except (ValueError, KeyError, TypeError) as error:
        raise AttestationError(f"{path} is not a manifest of this version", code="attestation.format") from error
