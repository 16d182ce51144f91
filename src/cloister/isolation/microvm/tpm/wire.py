"""Commands and answers of a TPM 2.0 as bytes, of the few that a measured boot needs.

Owns the encoding of commands, and reading of answers and of the structures in them. Standard library only: the guest
uses it too. What is read may come from a TPM, or from a guest that was taken over: sizes are bounded, and nothing may
be left over.

Source: TCG, Trusted Platform Module Library Specification, Family 2.0, revision 1.59 (2019-11-08): part 2, Structures,
for the numbers and shapes; part 3, Commands, for commands and answers. Integers are big-endian (part 2, 4.2).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from cloister.errors import ProviderError, WireError

HEADER_BYTES: Final = 10
"""Tag, size and code, of commands and answers (part 3, 4.1 and 4.2)."""
MESSAGE_BYTES_MAX: Final = 4096
"""The buffer of the TPM interface of a machine; a TPM answers no more."""
DIGEST_BYTES: Final = 32
PCRS_COUNT: Final = 24
"""PCRs of a PC Client platform; the selection of a bank has three bytes (PC Client Platform TPM Profile, 4.6)."""

# Part 2, 6.9: TPM_ST
_NO_SESSIONS: Final = 0x8001
_SESSIONS: Final = 0x8002
ATTEST_QUOTE: Final = 0x8018
# Part 2, 6.2: TPM_GENERATED, which no outside data signed by a restricted key can begin with
GENERATED: Final = 0xFF544347
# Part 2, 6.5.2: TPM_CC
_EVICT_CONTROL: Final = 0x120
_CREATE_PRIMARY: Final = 0x131
_STARTUP: Final = 0x144
_QUOTE: Final = 0x158
_FLUSH_CONTEXT: Final = 0x165
_READ_PUBLIC: Final = 0x173
_PCR_READ: Final = 0x17E
_PCR_EXTEND: Final = 0x182
# Part 2, 6.3: TPM_ALG_ID
_SHA256: Final = 0x000B
_NULL: Final = 0x0010
_ECDSA: Final = 0x0018
_ECC: Final = 0x0023
# Part 2, 6.4: TPM_ECC_CURVE
_NIST_P256: Final = 0x0003
# Part 2, 7.4: TPM_RH
OWNER: Final = 0x40000001
ENDORSEMENT: Final = 0x4000000B
_PASSWORD: Final = 0x40000009
# Part 2, 6.6: TPM_RC
_SUCCESS: Final = 0
_INITIALIZE: Final = 0x100
"""To Startup: the TPM has been started already."""

_ATTRIBUTES: Final = 1 << 1 | 1 << 4 | 1 << 5 | 1 << 6 | 1 << 10 | 1 << 16 | 1 << 18
"""Part 2, 8.3: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, restricted, sign: a key that never
leaves its TPM, was made in it, and signs only what the TPM itself states."""

_KEY_HEAD: Final = struct.pack(
    ">HHIHHHHHH",
    *(_ECC, _SHA256, _ATTRIBUTES),
    0,  # no policy
    _NULL,  # no symmetric algorithm
    *(_ECDSA, _SHA256),
    _NIST_P256,
    _NULL,  # no key derivation
)
"""Everything of the public area (part 2, 12.2.4, TPMT_PUBLIC) of an attestation key but its point."""


def malformed(what: str) -> WireError:
    """Return the error for bytes that are not what they should be."""
    return WireError(f"the TPM's data is malformed: {what}", code="provider.tpm-wire")


class Reader:
    """Takes bytes apart from their beginning.

    Args:
        data: All of them.
    """

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        """Return the next bytes.

        Raises:
            WireError: `provider.tpm-wire`: there are not so many, as with all other methods.
        """
        piece = self._data[self._at : self._at + count]
        if len(piece) != count:
            raise malformed(f"{count} bytes are announced and {len(piece)} are there")
        self._at += count
        return piece

    def number(self, size: int) -> int:
        """Return the next integer of so many bytes."""
        return int.from_bytes(self.take(size), "big")

    def sized(self, bytes_max: int) -> bytes:
        """Return a byte string with its length in two bytes before it (the TPM2B structures)."""
        count = self.number(2)
        if count > bytes_max:
            raise malformed(f"a field has {count} bytes where at most {bytes_max} are allowed")
        return self.take(count)

    def expect(self, size: int, value: int, what: str) -> None:
        """Take an integer that can have one value only."""
        found = self.number(size)
        if found != value:
            raise malformed(f"{what} is {found:#x}, not {value:#x}")

    def finish(self) -> None:
        """See that nothing is left."""
        if self._at != len(self._data):
            raise malformed(f"{len(self._data) - self._at} bytes are left over")


def _sized(data: bytes) -> bytes:
    return struct.pack(">H", len(data)) + data


def selection(pcrs: Iterable[int]) -> bytes:
    """Return a selection of PCRs of the SHA-256 bank (part 2, 10.9.7, TPML_PCR_SELECTION)."""
    bits = sum(1 << pcr for pcr in set(pcrs))
    return struct.pack(">IHB", 1, _SHA256, PCRS_COUNT // 8) + bits.to_bytes(PCRS_COUNT // 8, "little")


def read_selection(reader: Reader) -> tuple[int, ...]:
    """Return the PCRs that a selection of the SHA-256 bank names, in rising order."""
    reader.expect(4, 1, "the number of selected banks")
    reader.expect(2, _SHA256, "the selected bank")
    reader.expect(1, PCRS_COUNT // 8, "the size of a selection")
    bits = int.from_bytes(reader.take(PCRS_COUNT // 8), "little")
    return tuple(pcr for pcr in range(PCRS_COUNT) if bits >> pcr & 1)


def public_point(public: bytes) -> tuple[bytes, bytes]:
    """Return the point of an attestation key, x and y.

    Args:
        public: Its public area. One that differs from ours in anything but the point is refused: a key that is not
            restricted to its TPM's own statements signs whatever it is given.
    """
    reader = Reader(public)
    if reader.take(len(_KEY_HEAD)) != _KEY_HEAD:
        raise malformed("the key is not a restricted P-256 signing key of this TPM")
    x, y = reader.sized(DIGEST_BYTES), reader.sized(DIGEST_BYTES)
    reader.finish()
    if len(x) != DIGEST_BYTES or len(y) != DIGEST_BYTES:
        raise malformed("the point of the key is not of its curve's size")
    return x, y


def public_area_of(x: bytes, y: bytes) -> bytes:
    """Return the public area of the attestation key with a point, as `public_point` takes it."""
    return _KEY_HEAD + _sized(x) + _sized(y)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quoted:
    """A quote as the TPM gives it.

    Attributes:
        attested: What is signed (part 2, 10.12.12, TPMS_ATTEST).
        signature: By the key's scheme (part 2, 11.3.4, TPMT_SIGNATURE).
    """

    attested: bytes
    signature: bytes


def command(code: int, handles: Sequence[int], parameters: bytes, *, is_authorized: bool) -> bytes:
    """Return a command.

    Args:
        code: Which.
        handles: What it is about.
        parameters: The rest.
        is_authorized: Whether its first handle needs authorization: it is given as an empty password (part 1, 19.4).
    """
    body = b"".join(struct.pack(">I", handle) for handle in handles)
    if is_authorized:
        session = struct.pack(">IHBH", _PASSWORD, 0, 0, 0)
        body += struct.pack(">I", len(session)) + session
    body += parameters
    tag = _SESSIONS if is_authorized else _NO_SESSIONS
    return struct.pack(">HII", tag, HEADER_BYTES + len(body), code) + body


def startup() -> bytes:
    """Return Startup with cleared state (part 3, 9.3)."""
    return command(_STARTUP, (), struct.pack(">H", 0), is_authorized=False)


def pcr_read(pcrs: Iterable[int]) -> bytes:
    """Return PCR_Read (part 3, 22.4)."""
    return command(_PCR_READ, (), selection(pcrs), is_authorized=False)


def pcr_extend(pcr: int, digest: bytes) -> bytes:
    """Return PCR_Extend (part 3, 22.2) of the SHA-256 bank."""
    return command(_PCR_EXTEND, (pcr,), struct.pack(">IH", 1, _SHA256) + digest, is_authorized=True)


def create_primary() -> bytes:
    """Return CreatePrimary (part 3, 24.1) of an attestation key.

    It is in the endorsement hierarchy, because there a quote tells the true number of resets (part 1, 36.7).
    """
    sensitive = _sized(_sized(b"") + _sized(b""))
    public = _sized(_KEY_HEAD + _sized(b"") + _sized(b""))
    rest = _sized(b"") + struct.pack(">I", 0)  # no outside information, no creation PCRs
    return command(_CREATE_PRIMARY, (ENDORSEMENT,), sensitive + public + rest, is_authorized=True)


def evict_control(handle: int, persistent: int) -> bytes:
    """Return EvictControl (part 3, 28.5) that keeps a key under a persistent handle."""
    return command(_EVICT_CONTROL, (OWNER, handle), struct.pack(">I", persistent), is_authorized=True)


def read_public(handle: int) -> bytes:
    """Return ReadPublic (part 3, 12.4)."""
    return command(_READ_PUBLIC, (handle,), b"", is_authorized=False)


def quote(handle: int, nonce: bytes, pcrs: Iterable[int]) -> bytes:
    """Return Quote (part 3, 18.4) with the key's own scheme."""
    return command(_QUOTE, (handle,), _sized(nonce) + struct.pack(">H", _NULL) + selection(pcrs), is_authorized=True)


def flush_context(handle: int) -> bytes:
    """Return FlushContext (part 3, 28.4)."""
    return command(_FLUSH_CONTEXT, (), struct.pack(">I", handle), is_authorized=False)


def answer_body(answer: bytes, attempted: str) -> Reader:
    """Return what follows the header of a successful answer.

    Args:
        answer: All of it.
        attempted: What was asked, for the error.

    Raises:
        WireError: `provider.tpm-wire`: it is no answer.
        ProviderError: `provider.tpm`: the TPM refused; the details have its code.
    """
    reader = Reader(answer)
    tag, size, code = reader.number(2), reader.number(4), reader.number(4)
    if tag not in {_NO_SESSIONS, _SESSIONS} or size != len(answer) or size > MESSAGE_BYTES_MAX:
        raise malformed("the header of an answer is wrong")
    if code != _SUCCESS:
        raise ProviderError(
            f"the TPM refused to {attempted}: response code {code:#x}",
            code="provider.tpm",
            details={"response_code": code},
        )
    return reader


def is_started_already(answer: bytes) -> bool:
    """Return whether an answer to Startup says that the TPM was started before."""
    return answer[HEADER_BYTES - 4 :] == struct.pack(">I", _INITIALIZE)


def pcr_values(reader: Reader) -> dict[int, bytes]:
    """Return the values in an answer to PCR_Read. A TPM gives eight at most."""
    reader.number(4)  # how often any PCR was extended
    pcrs = read_selection(reader)
    reader.expect(4, len(pcrs), "the number of PCR values")
    values = {pcr: reader.sized(DIGEST_BYTES) for pcr in pcrs}
    reader.finish()
    if any(len(value) != DIGEST_BYTES for value in values.values()):
        raise malformed("a PCR value is no SHA-256 digest")
    return values


def created_key(reader: Reader) -> tuple[int, bytes]:
    """Return handle and public area in an answer to CreatePrimary."""
    handle = reader.number(4)
    reader.number(4)  # size of the rest
    return handle, reader.sized(MESSAGE_BYTES_MAX)


def public_area(reader: Reader) -> bytes:
    """Return the public area in an answer to ReadPublic."""
    return reader.sized(MESSAGE_BYTES_MAX)


def quoted(reader: Reader) -> Quoted:
    """Return what an answer to Quote has."""
    size = reader.number(4)
    parameters = Reader(reader.take(size))
    attested = parameters.sized(MESSAGE_BYTES_MAX)
    signature = parameters.take(size - 2 - len(attested))
    return Quoted(attested=attested, signature=signature)


def signature_numbers(signature: bytes) -> tuple[int, int]:
    """Return r and s of an ECDSA signature over a SHA-256 digest (part 2, 11.3.4, TPMT_SIGNATURE)."""
    reader = Reader(signature)
    reader.expect(2, _ECDSA, "the scheme of the signature")
    reader.expect(2, _SHA256, "the hash of the signature")
    r, s = (int.from_bytes(reader.sized(DIGEST_BYTES), "big") for _ in range(2))
    reader.finish()
    return r, s


@dataclass(frozen=True, slots=True, kw_only=True)
class Statement:
    """What a quote states (part 2, 10.12.12, TPMS_ATTEST, and 10.12.4, TPMS_QUOTE_INFO).

    Attributes:
        signer: The qualified name of the key.
        nonce: The challenge it answers.
        resets_count: How often the TPM was reset.
        restarts_count: How often it was resumed since.
        pcrs: Which PCRs.
        pcr_sha256: Digest of their values, one after the other.
    """

    signer: bytes
    nonce: bytes
    resets_count: int
    restarts_count: int
    pcrs: tuple[int, ...]
    pcr_sha256: bytes


def statement(attested: bytes) -> Statement:
    """Return what a quote states.

    Raises:
        WireError: `provider.tpm-wire`: it is not a quote, or nothing that a TPM has made.
    """
    reader = Reader(attested)
    reader.expect(4, GENERATED, "the magic number")
    reader.expect(2, ATTEST_QUOTE, "the kind of statement")
    signer = reader.sized(2 + DIGEST_BYTES)
    nonce = reader.sized(DIGEST_BYTES)
    reader.take(8)  # the TPM's clock, in milliseconds
    resets_count, restarts_count = reader.number(4), reader.number(4)
    reader.take(1 + 8)  # whether the clock is safe; version of the firmware
    pcrs = read_selection(reader)
    digest = reader.sized(DIGEST_BYTES)
    reader.finish()
    return Statement(
        signer=signer,
        nonce=nonce,
        resets_count=resets_count,
        restarts_count=restarts_count,
        pcrs=pcrs,
        pcr_sha256=digest,
    )
