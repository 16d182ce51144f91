"""Attestations: what is expected of them, and how strictly they are read."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from cloister.errors import AttestationError, ConfigError, DigestMismatch
from cloister.isolation.attestation import PARTS, Attestation, Expectations, MeasuredEvent, TpmQuote, policy_sha256
from cloister.limits import ResourceLimits

QUOTE = TpmQuote(
    nonce="00" * 32,
    public_key="01" * 88,
    resets_count=1,
    attested="02" * 100,
    signature="03" * 72,
    events=(MeasuredEvent(pcr=8, part="agent", sha256="04" * 32),),
)
MEASURED = Attestation(
    provider="microvm",
    vmm="qemu",
    vmm_version="7.2",
    vmm_sha256="a1" * 32,
    accelerator="tcg",
    image_sha256="a2" * 32,
    kernel_sha256="a3" * 32,
    initramfs_sha256="a4" * 32,
    agent_sha256="a5" * 32,
    command_line_sha256="a6" * 32,
    policy_sha256="a7" * 32,
    measured_at="2026-01-01T00:00:00.000000Z",
    tpm=QUOTE,
)
OTHER = "ff" * 32


def test_a_record_reads_back_as_it_was() -> None:
    assert Attestation.from_dict(MEASURED.to_dict()) == MEASURED
    bare = replace(MEASURED, tpm=None, rootfs_sha256="a8" * 32, snapshot_sha256="a9" * 32, boot_line_sha256="aa" * 32)
    assert Attestation.from_dict(bare.to_dict()) == bare


@pytest.mark.parametrize("name", [each.name for each in fields(Attestation)])
def test_the_digest_is_over_every_field(name: str) -> None:
    other = replace(MEASURED, **{name: None if name == "tpm" else OTHER})
    assert other.sha256 != MEASURED.sha256


@pytest.mark.parametrize("part", PARTS)
def test_every_part_can_be_expected(part: str) -> None:
    digest = MEASURED.measured(part)
    Expectations.parse({part: "none" if digest is None else f"sha256:{digest}"}).require(MEASURED)
    with pytest.raises(DigestMismatch) as caught:
        Expectations.parse({part: f"sha256:{OTHER}"}).require(MEASURED)
    assert (caught.value.code, caught.value.exit_status) == ("attestation.digest", 7)
    assert caught.value.details == {"part": part, "expected": OTHER, "measured": digest}
    assert f"expected sha256:{OTHER}" in caught.value.message


def test_what_must_not_be_there_is_refused_when_it_is() -> None:
    with pytest.raises(DigestMismatch, match="expected none, measured sha256:a3"):
        Expectations.parse({"kernel": "none"}).require(MEASURED)


def test_all_that_is_wrong_is_told() -> None:
    with pytest.raises(DigestMismatch) as caught:
        Expectations.parse({"kernel": f"sha256:{OTHER}", "agent": f"sha256:{OTHER}"}).require(MEASURED)
    (other,) = caught.value.details["more"]
    assert (caught.value.details["part"], other["details"]["part"]) == ("agent", "kernel")


@pytest.mark.parametrize(
    ("part", "text"),
    [
        ("kernal", f"sha256:{OTHER}"),
        ("kernel", OTHER),
        ("kernel", f"sha256:{OTHER[1:]}"),
        ("kernel", f"sha256:{OTHER.upper()}"),
        ("kernel", f"sha256:{OTHER}\n"),
        ("kernel", f"sha512:{OTHER}"),
        ("kernel", ""),
    ],
)
def test_an_expectation_of_another_form_is_refused(part: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Expectations.parse({part: text})
    assert (caught.value.code, caught.value.exit_status) == ("config.expect", 2)
    assert Expectations.parse({"kernel": f"sha256:{OTHER}"})


WRONG: dict[str, dict[str, Any]] = {
    "field": {"more": 1},
    "digest": {"kernel_sha256": "a3"},
    "missing digest": {"kernel_sha256": None},
    "text": {"vmm": 1},
    "quote": {"tpm": {}},
    "quote's bytes": {"tpm": MEASURED.to_dict()["tpm"] | {"attested": "0"}},  # type: ignore[operator]
    "quote's number": {"tpm": MEASURED.to_dict()["tpm"] | {"resets_count": True}},  # type: ignore[operator]
    "log": {"tpm": MEASURED.to_dict()["tpm"] | {"events": [{}]}},  # type: ignore[operator]
}


@pytest.mark.parametrize("change", WRONG)
def test_what_is_no_attestation_is_refused(change: str) -> None:
    assert Attestation.from_dict(MEASURED.to_dict() | {})
    with pytest.raises(AttestationError) as caught:
        Attestation.from_dict(MEASURED.to_dict() | WRONG[change])
    assert caught.value.code == "attestation.format"


@pytest.mark.parametrize("data", [None, [], "text", {}])
def test_other_data_is_refused(data: object) -> None:
    with pytest.raises(AttestationError) as caught:
        Attestation.from_dict(data)
    assert caught.value.code == "attestation.format"


def test_a_policy_covers_hardware_and_limits() -> None:
    machine, limits = {"vcpus": 1, "memory_mib": 256}, ResourceLimits()
    first = policy_sha256(machine, limits)
    assert policy_sha256(dict(machine), ResourceLimits()) == first
    assert policy_sha256(machine | {"vcpus": 2}, limits) != first
    assert policy_sha256(machine, replace(limits, wall_ms=limits.wall_ms - 1)) != first
