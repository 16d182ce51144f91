"""What a provider says, before anything runs, about the machine in which it will run it.

Owns the record of such measurements, what may be expected of them, and the comparison. Measures nothing itself and
knows no provider. Records may be read back from a file that somebody hands over: reading is strict.

Digests are SHA-256 as 64 lower-case hexadecimal digits; where people write one it is `sha256:` and the digits.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Protocol, runtime_checkable

from cloister.canonical import Plain, encode, sha256_hex
from cloister.errors import MORE, AttestationError, ConfigError, DigestMismatch, quoted
from cloister.limits import ResourceLimits

EVENTS_MAX: Final = 16
"""More measurements than this no guest makes; a longer log is refused."""
NONE: Final = "none"
"""What is expected of a part that must not be there."""
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_EXPECTED: Final = re.compile(r"sha256:([0-9a-f]{64})")
_OPTIONAL: Final = frozenset({
    "rootfs_sha256", "capabilities_sha256", "agent_tree_sha256", "boot_line_sha256", "snapshot_sha256"
})  # fmt: skip
_HEX: Final = re.compile(r"(?:[0-9a-f]{2}){1,4096}")

PARTS: Final[Mapping[str, str]] = {
    "image": "image_sha256",
    "kernel": "kernel_sha256",
    "initramfs": "initramfs_sha256",
    "rootfs": "rootfs_sha256",
    "capabilities": "capabilities_sha256",
    "agent": "agent_sha256",
    "command-line": "command_line_sha256",
    "vmm": "vmm_sha256",
    "policy": "policy_sha256",
    "snapshot": "snapshot_sha256",
}
"""What can be expected, and the field of `Attestation` that it is compared with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredEvent:
    """One measurement into a TPM, as the guest's log has it.

    Attributes:
        pcr: The register.
        part: What was measured.
        sha256: Its digest.
    """

    pcr: int
    part: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class TpmQuote:
    """What a TPM stated about a machine after its boot, with all that is needed to verify it.

    Attributes:
        nonce: The challenge, in hexadecimal digits like all bytes here.
        public_key: Public area of the attestation key, which the host got from the TPM before the machine started.
        resets_count: The TPM's count of resets at that time.
        attested: The statement.
        signature: Over it.
        events: The measurements, in order.
    """

    nonce: str
    public_key: str
    resets_count: int
    attested: str
    signature: str
    events: tuple[MeasuredEvent, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What was measured before anything was admitted.

    Attributes:
        provider: Name of the provider.
        vmm: Name of the program that runs the machine.
        vmm_version: As it says itself.
        vmm_sha256: Digest of its file.
        accelerator: What executes the machine's instructions.
        image_sha256: Digest of the image's manifest, which names the image.
        kernel_sha256: Digest of the kernel.
        initramfs_sha256: Digest of the initramfs.
        rootfs_sha256: Digest of the drive with the payloads' root; None when there is none.
        capabilities_sha256: Digest of the drive with the capability store; None when there is none.
        agent_sha256: Digest of the agent's sources, as the image's manifest names it.
        agent_tree_sha256: Digest of what became of them in the initramfs, which is what a guest can measure; None when
            nobody asks a guest.
        command_line_sha256: Digest of the kernel's command line as the image has it.
        boot_line_sha256: Digest of the whole line the kernel is given, with the words the VMM needs; None when the
            machine goes on from a snapshot.
        policy_sha256: Digest of what bounds the machine; see `policy_sha256`.
        snapshot_sha256: Digest of the snapshot it goes on from; None when it is booted.
        measured_at: When, as RFC 3339 text in UTC.
        tpm: What its TPM states; None when it has none.
    """

    provider: str
    vmm: str
    vmm_version: str
    vmm_sha256: str
    accelerator: str
    image_sha256: str
    kernel_sha256: str
    initramfs_sha256: str
    rootfs_sha256: str | None = None
    capabilities_sha256: str | None = None
    agent_sha256: str
    agent_tree_sha256: str | None = None
    command_line_sha256: str
    boot_line_sha256: str | None = None
    policy_sha256: str
    snapshot_sha256: str | None = None
    measured_at: str
    tpm: TpmQuote | None = None

    @property
    def sha256(self) -> str:
        """Digest of the whole record."""
        return sha256_hex(encode(self.to_dict()))

    def measured(self, part: str) -> str | None:
        """Return the digest of a part of `PARTS`; None when the machine has none."""
        digest: str | None = getattr(self, PARTS[part])
        return digest

    def to_dict(self) -> dict[str, Plain]:
        """Return it as plain data."""
        data: dict[str, Plain] = {each.name: getattr(self, each.name) for each in fields(self) if each.name != "tpm"}
        data["tpm"] = None if self.tpm is None else _quote_data(self.tpm)
        return data

    @classmethod
    def from_dict(cls, data: object) -> Attestation:
        """Read one back.

        Raises:
            AttestationError: `attestation.format`: it has other fields, or values of another form.
        """
        found = _exactly(data, (each.name for each in fields(cls)), "the attestation")
        for name, value in found.items():
            if name != "tpm":
                _require_field(name, value)
        quote = None if found["tpm"] is None else _quote_from(found["tpm"])
        return cls(**found | {"tpm": quote})


@runtime_checkable
class AttestingProvider(Protocol):
    """A provider that measures what it runs; the others are not asked."""

    def attest(self, limits: ResourceLimits) -> Attestation:
        """Measure everything that the executions of a run will depend on, and run nothing else than what was measured.

        Args:
            limits: Of the run; they are part of the policy.

        Raises:
            AttestationError: What is there is not what its signed manifest says.
            ProviderError: It cannot be measured.
        """


@runtime_checkable
class QuotingProvider(Protocol):
    """A provider whose machines can have a TPM; the others are not asked for a quote."""

    def quote(self, nonce: bytes, limits: ResourceLimits) -> Attestation:
        """Boot a machine with a TPM, have it measured and quoted, and end it; nothing of anybody's is run in it.

        Args:
            nonce: The challenge, 32 bytes.
            limits: They are part of the policy.

        Returns:
            What was measured, with the quote.

        Raises:
            AttestationError: What is there is not what its signed manifest says, or the quote does not verify.
            ProviderError: It cannot be booted or measured.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Expectations:
    """What somebody demands of an attestation.

    Attributes:
        digests: Digest by part of `PARTS`; None for a part that must not be there.
    """

    digests: Mapping[str, str | None] = field(default_factory=dict)

    @classmethod
    def parse(cls, texts: Mapping[str, str]) -> Expectations:
        """Return the expectations that people write as `sha256:HEX`, or `none` for what must not be there.

        Raises:
            ConfigError: `config.expect`: there is no such part, or the text has another form.
        """
        return cls(digests={part: _expected(part, text) for part, text in texts.items()})

    def __bool__(self) -> bool:
        return bool(self.digests)

    def to_dict(self) -> dict[str, str | None]:
        """Return the digests by part."""
        return dict(sorted(self.digests.items()))

    def require(self, attestation: Attestation) -> None:
        """Compare.

        Raises:
            DigestMismatch: `attestation.digest`: a part is another one; the details have `part`, `expected` and
                `measured`, and under `more` the other parts.
        """
        wrong = [
            mismatch(part, expected, attestation.measured(part))
            for part, expected in sorted(self.digests.items())
            if expected != attestation.measured(part)
        ]
        if wrong:
            first, *others = wrong
            if others:
                first.carry(others, MORE)
            raise first


def mismatch(part: str, expected: str | None, measured: str | None, *, by: str = "expected") -> DigestMismatch:
    """Return the error for a part that is another one.

    Args:
        part: Its name.
        expected: The digest it should have.
        measured: The one it has.
        by: Who says what it should be, in words.
    """
    return DigestMismatch(
        f"{part} is not the one that was {by}: expected {shown(expected)}, measured {shown(measured)}",
        hint="run nothing in it before you know who changed it; if you did, expect the measured digest",
        details={"part": part, "expected": expected, "measured": measured},
    )


def shown(digest: str | None) -> str:
    """Return a digest as people write it."""
    return NONE if digest is None else f"sha256:{digest}"


def policy_sha256(machine: Mapping[str, Plain], limits: ResourceLimits) -> str:
    """Return the digest of what bounds a machine: its hardware, the limits of a run, and that it has no network.

    Args:
        machine: The hardware, as plain data.
        limits: Of the run.
    """
    bounds = {each.name: getattr(limits, each.name) for each in fields(limits)}
    return sha256_hex(encode({"machine": dict(machine), "limits": bounds, "network": "none"}))


def _expected(part: str, text: str) -> str | None:
    if part not in PARTS:
        raise ConfigError(
            f"nothing can be expected of {quoted(part)}",
            code="config.expect",
            hint=f"the parts are {', '.join(PARTS)}",
        )
    if text == NONE:
        return None
    found = _EXPECTED.fullmatch(text)
    if found is None:
        raise ConfigError(
            f"{quoted(text)} is not a digest that {part} could have",
            code="config.expect",
            hint="write sha256: and 64 hexadecimal digits in lower case, or none; `cloister attest show` prints them",
        )
    return found[1]


def _malformed(what: str) -> AttestationError:
    return AttestationError(
        f"this is not an attestation: {what}",
        code="attestation.format",
        hint="use what `cloister attest show --json` prints, unchanged",
    )


def _exactly(data: object, names: Iterable[str], what: str) -> dict[str, Any]:
    if not isinstance(data, dict) or data.keys() != set(names):
        raise _malformed(f"{what} does not have exactly its fields")
    return data


def _require_field(name: str, value: object) -> None:
    if value is None and name in _OPTIONAL:
        return
    if not isinstance(value, str) or (name.endswith("_sha256") and not _DIGEST.fullmatch(value)):
        raise _malformed(f"{name} has another form")


def _quote_data(quote: TpmQuote) -> dict[str, Plain]:
    data: dict[str, Plain] = {each.name: getattr(quote, each.name) for each in fields(quote)}
    data["events"] = [{each.name: getattr(event, each.name) for each in fields(event)} for event in quote.events]
    return data


def _quote_from(data: object) -> TpmQuote:
    found = _exactly(data, (each.name for each in fields(TpmQuote)), "the quote")
    for name in ("nonce", "public_key", "attested", "signature"):
        if not isinstance(found[name], str) or not _HEX.fullmatch(found[name]):
            raise _malformed(f"{name} of the quote has another form")
    if type(found["resets_count"]) is not int:
        raise _malformed("resets_count of the quote has another form")
    return TpmQuote(**found | {"events": events_from(found["events"])})


def events_from(data: object) -> tuple[MeasuredEvent, ...]:
    """Read a log of measurements.

    Raises:
        AttestationError: `attestation.format`: it is none.
    """
    if not isinstance(data, list) or len(data) > EVENTS_MAX:
        raise _malformed(f"a log is a list of at most {EVENTS_MAX} measurements")
    return tuple(map(_event, data))


def _event(data: object) -> MeasuredEvent:
    found = _exactly(data, ("pcr", "part", "sha256"), "a measurement")
    is_right = type(found["pcr"]) is int and isinstance(found["part"], str) and isinstance(found["sha256"], str)
    if not is_right or not _DIGEST.fullmatch(found["sha256"]):
        raise _malformed("a measurement has fields of another form")
    return MeasuredEvent(**found)
