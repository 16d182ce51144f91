"""Verification of a quote, on the host.

Owns the challenge, the reading of the guest's answer, and every check of a quote in its order. What comes from the
guest is taken for an attacker's. A quote is worth what its key is worth: the key must have been obtained from the TPM
itself before the machine was started, or on another trusted way, never from the guest.

What it proves is that the registers of that TPM hold what the log says. That what was measured is what runs rests on
the code that measured, in the initramfs, which the host has measured itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

from cloister.errors import AttestationError, KeyUnavailable, SignatureInvalid, WireError, quoted
from cloister.isolation.attestation import Attestation, MeasuredEvent, TpmQuote, events_from, mismatch
from cloister.isolation.microvm.tpm import wire
from cloister.isolation.microvm.tpm.log import PCR_OF, PCRS, pcr_sha256, replayed
from cloister.isolation.microvm.tpm.wire import DIGEST_BYTES

NONCE_BYTES: Final = 32
_SHA256_NAME: Final = b"\x00\x0b"
"""A name begins with the algorithm that made it (TPM 2.0 part 1, 16)."""


def challenge(nonce: bytes, policy_sha256: str) -> dict[str, str]:
    """Return what the guest is asked.

    Args:
        nonce: 32 random bytes, used once.
        policy_sha256: The policy that the machine runs under.
    """
    return {"nonce": nonce.hex(), "policy_sha256": policy_sha256}


def answered(answer: Mapping[str, Any], *, nonce: bytes, public_key: bytes, resets_count: int) -> TpmQuote:
    """Return the quote in a guest's answer; nothing of it is verified yet.

    Args:
        answer: What the guest said.
        nonce: What it was asked with.
        public_key: Public area of the key, from the TPM itself.
        resets_count: How often the TPM was reset before the machine started.

    Raises:
        AttestationError: `attestation.format`: it is no answer.
    """
    attested, signature = answer.get("attested"), answer.get("signature")
    if answer.keys() != {"attested", "signature", "events"} or not (_is_hex(attested) and _is_hex(signature)):
        raise AttestationError("the guest's answer is not a quote", code="attestation.format")
    return TpmQuote(
        nonce=nonce.hex(),
        public_key=public_key.hex(),
        resets_count=resets_count,
        attested=str(attested),
        signature=str(signature),
        events=events_from(answer["events"]),
    )


def _is_hex(text: object) -> bool:
    if not isinstance(text, str) or len(text) > 2 * wire.MESSAGE_BYTES_MAX or text != text.lower():
        return False
    try:
        return len(bytes.fromhex(text)) * 2 == len(text) > 0
    except ValueError:
        return False


def verify_quote(quote: TpmQuote, *, public_key: bytes, nonce: bytes, expected: Mapping[str, str | None]) -> None:
    """Verify a quote.

    Args:
        quote: The quote.
        public_key: Public area of the key it must be signed with, from a trusted place.
        nonce: The challenge it must answer.
        expected: Digest by part of `PCR_OF`; None for a part that must not have been measured.

    Raises:
        SignatureInvalid: `attestation.signature`: the key did not sign it.
        DigestMismatch: `attestation.digest`: something else was measured than expected.
        AttestationError: `attestation.quote`: anything else is not as it must be; the message names it.
    """
    try:
        point = wire.public_point(public_key)
        attested = bytes.fromhex(quote.attested)
        _require_signature(point, attested, bytes.fromhex(quote.signature))
        stated = wire.statement(attested)
    except WireError as error:
        raise _refused(error.message) from error
    if bytes.fromhex(quote.public_key) != public_key:
        raise _refused("it names another key than the given one")
    if stated.signer != _qualified_name(public_key):
        raise _refused("the key is not a primary one of the endorsement hierarchy")
    if stated.nonce != nonce or bytes.fromhex(quote.nonce) != nonce:
        raise _refused("it does not answer this challenge")
    if (stated.resets_count, stated.restarts_count) != (quote.resets_count + 1, 0):
        raise _refused("the TPM was not reset exactly once, for the start of the machine")
    if stated.pcrs != PCRS:
        raise _refused("it is about other registers")
    _require_events(quote.events, expected)
    values = replayed((event.pcr, bytes.fromhex(event.sha256)) for event in quote.events)
    if stated.pcr_sha256 != pcr_sha256(values):
        raise _refused("the registers do not hold what the log says")


def verify_attested(attestation: Attestation, *, public_key: bytes | None = None, nonce: bytes | None = None) -> None:
    """Verify the quote of an attestation against the rest of it.

    Args:
        attestation: With a quote, from a trusted place.
        public_key: The key, where it is known from somewhere else than the attestation.
        nonce: The challenge, where it is known from somewhere else.

    Raises:
        AttestationError: As `verify_quote`.
    """
    quote = attestation.tpm
    if quote is None:
        raise AttestationError("there is no quote in this attestation", code="attestation.quote")
    verify_quote(
        quote,
        public_key=bytes.fromhex(quote.public_key) if public_key is None else public_key,
        nonce=bytes.fromhex(quote.nonce) if nonce is None else nonce,
        expected=measured_parts(attestation),
    )


def measured_parts(attestation: Attestation) -> dict[str, str | None]:
    """Return the digests that a guest must have measured, by part of `PCR_OF`."""
    return {
        "command-line": attestation.boot_line_sha256,
        "agent": attestation.agent_tree_sha256,
        "policy": attestation.policy_sha256,
        "rootfs": attestation.rootfs_sha256,
        "capabilities": attestation.capabilities_sha256,
    }


def public_key_pem(public_key: bytes) -> bytes:
    """Return an attestation key as PEM (SubjectPublicKeyInfo, RFC 5480).

    Raises:
        WireError: `provider.tpm-wire`: it is none.
    """
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat  # noqa: PLC0415 - loaded on use

    key = _key(wire.public_point(public_key))
    pem: bytes = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return pem


def public_key_from_pem(name: str, pem: bytes) -> bytes:
    """Return the public area of an attestation key that is kept as PEM.

    Everything of the area but the point is the same for all such keys, so the point says all.

    Args:
        name: What the error calls it.
        pem: What `public_key_pem` has made.

    Raises:
        KeyUnavailable: It is not a P-256 public key.
    """
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey  # noqa: PLC0415
    from cryptography.hazmat.primitives.serialization import load_pem_public_key  # noqa: PLC0415

    unusable = KeyUnavailable(
        f"{quoted(name)} does not hold the public key of a TPM: P-256, in PEM",
        hint="`cloister attest show --json` prints it; get it over a way that you trust",
    )
    try:
        key = load_pem_public_key(pem)
    except ValueError as error:
        raise unusable from error
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise unusable
    numbers = key.public_numbers()
    return wire.public_area_of(numbers.x.to_bytes(DIGEST_BYTES, "big"), numbers.y.to_bytes(DIGEST_BYTES, "big"))


def _key(point: tuple[bytes, bytes]) -> Any:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicNumbers  # noqa: PLC0415

    x, y = (int.from_bytes(each, "big") for each in point)
    try:
        return EllipticCurvePublicNumbers(x, y, SECP256R1()).public_key()
    except ValueError as error:
        raise _refused("the point of its key is not on the curve") from error


def _require_signature(point: tuple[bytes, bytes], attested: bytes, signature: bytes) -> None:
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.ec import ECDSA  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature  # noqa: PLC0415
    from cryptography.hazmat.primitives.hashes import SHA256  # noqa: PLC0415

    encoded = encode_dss_signature(*wire.signature_numbers(signature))
    try:
        _key(point).verify(encoded, attested, ECDSA(SHA256()))
    except InvalidSignature as error:
        raise SignatureInvalid(
            "the quote was not signed by the attestation key",
            hint="do not trust the machine; run it again, and keep the record as evidence",
        ) from error


def _qualified_name(public_key: bytes) -> bytes:
    """Return the qualified name of a primary key of the endorsement hierarchy (TPM 2.0 part 1, 26.5)."""
    name = _SHA256_NAME + hashlib.sha256(public_key).digest()
    parent = wire.ENDORSEMENT.to_bytes(4, "big")
    return _SHA256_NAME + hashlib.sha256(parent + name).digest()


def _require_events(events: tuple[MeasuredEvent, ...], expected: Mapping[str, str | None]) -> None:
    """Require each part once, in its register, with its digest, and no other measurement."""
    found: dict[str, str] = {}
    for event in events:
        if PCR_OF.get(event.part) != event.pcr or event.part in found:
            raise _refused("its log has a measurement that does not belong there")
        found[event.part] = event.sha256
    for part in PCR_OF:
        if found.get(part) != expected.get(part):
            raise mismatch(part, expected.get(part), found.get(part))


def _refused(why: str) -> AttestationError:
    return AttestationError(
        f"the quote is refused: {why}",
        code="attestation.quote",
        hint="do not trust the machine; run it again, and keep the record as evidence",
    )
