"""Measurements before admission: asked of the provider, compared with what was expected, recorded.

Owns the sequence: measure, compare, record; nothing is admitted before the record is written. A provider that does not
attest is not asked, unless something was expected: then the run is refused, because nothing could be compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cloister.errors import AttestationError, InputError, ProviderUnavailable
from cloister.interrupts import admitted
from cloister.isolation.attestation import Attestation, AttestingProvider, Expectations, QuotingProvider
from cloister.isolation.microvm.tpm.quote import NONCE_BYTES, verify_attested
from cloister.isolation.provider import IsolationProvider
from cloister.limits import ResourceLimits
from cloister.plan.recorder import RunRecorder, recorded

if TYPE_CHECKING:
    from cloister.plan.parts import RunParts

NOTHING: Final = Expectations()


@lru_cache(maxsize=64)
def _attests(kind: type) -> bool:
    """Return whether providers of a class attest; asked once of each, for asking a protocol takes long."""
    return issubclass(kind, AttestingProvider)


def require_attestation(
    provider: IsolationProvider,
    limits: ResourceLimits,
    expected: Expectations,
    recorder: RunRecorder,
    parent: int,
) -> Attestation | None:
    """Have a provider measure what it will run, and record it.

    Args:
        provider: Runs it.
        limits: Of the run.
        expected: What must be found.
        recorder: Of the run.
        parent: The record of its start.

    Returns:
        What was measured; None when the provider does not attest and nothing was expected.

    Raises:
        DigestMismatch: `attestation.digest`: something else than expected was measured.
        AttestationError: `attestation.absent`: something was expected of a provider that does not attest; or what it
            found wrong itself.
        ProviderError: It cannot be measured.
        AppendFailed: It cannot be recorded.
    """
    if not expected and not _attests(type(provider)):
        return None
    attestation: Attestation | None = None
    with recorded(lambda error: recorder.attestation_refused(parent, error, attestation, expected)):
        if not isinstance(provider, AttestingProvider):
            raise AttestationError(
                f"provider {provider.name} measures nothing, so nothing can be expected of it",
                code="attestation.absent",
                hint="choose a provider of virtual machines with --provider, or leave the expectations out",
            )
        with admitted():
            attestation = provider.attest(limits)
        if attestation.tpm is not None:
            verify_attested(attestation)
        expected.require(attestation)
    recorder.attestation_measured(parent, attestation, expected)
    return attestation


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotedMachine:
    """A quote that verified.

    Attributes:
        run_id: Names it in the causal chain.
        attestation: What was measured, with the quote.
    """

    run_id: str
    attestation: Attestation


def quote_machine(parts: RunParts, provider: IsolationProvider, nonce: bytes) -> QuotedMachine:
    """Boot a measured machine, verify what its TPM states, and record it.

    Args:
        parts: Of the runtime.
        provider: Boots it.
        nonce: The challenge, 32 bytes, which the quote answers.

    Raises:
        InputError: `input.attestation`: the nonce has another size.
        ProviderUnavailable: `provider.no-quotes`: the machines of this provider have no TPM, or it has none.
        AttestationError: The quote, or what was measured, is not as it must be.
        ProviderError: The machine cannot be booted.
        AppendFailed: It cannot be recorded.
    """
    if len(nonce) != NONCE_BYTES:
        raise InputError(f"a nonce has {NONCE_BYTES} bytes, not {len(nonce)}", code="input.attestation")
    if not isinstance(provider, QuotingProvider):
        raise ProviderUnavailable(
            f"the provider {provider.name} has no machines with a TPM",
            code="provider.no-quotes",
            hint="choose a provider of virtual machines with --provider",
        )
    run_id = parts.new_run_id()
    recorder = RunRecorder(parts.chain, run_id)
    attestation: Attestation | None = None
    with recorded(lambda error: recorder.attestation_refused(None, error, attestation, NOTHING)):
        with admitted():
            attestation = provider.quote(nonce, ResourceLimits())
        verify_attested(attestation, nonce=nonce)
    recorder.attestation_measured(None, attestation, NOTHING)
    return QuotedMachine(run_id=run_id, attestation=attestation)
