"""From what crossed the boundary to a hinted call.

Owns how the hints and arguments of one call, as the guest sent them, become a `HintedCall`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from cloister.authority.registry import CapabilityRegistry
from cloister.isolation.provider import WireValue
from cloister.lang.transport import decode
from cloister.plan.hints.calls import HintedCall
from cloister.plan.hints.hints import NO_HINTS, parse_hints
from cloister.plan.record_facts import wire_digest


def hinted_call(
    registry: CapabilityRegistry,
    capability_id: str,
    arguments: Sequence[WireValue],
    hints: Mapping[str, WireValue],
    may_spend: Callable[[], bool],
) -> HintedCall:
    """Return a call with the hints in force for it.

    Args:
        registry: Knows names and contract.
        capability_id: Of what is called, under any of its names.
        arguments: As the guest sent them.
        hints: Likewise.
        may_spend: See `HintedCall`.

    Raises:
        GuestError: `guest.hint`: a hint cannot be used.
    """
    spec = registry.require(capability_id)
    read = parse_hints({name: decode(value) for name, value in hints.items()}) if hints else NO_HINTS
    return HintedCall(
        capability_id=spec.id,
        names=registry.names(spec.id),
        contract=spec.contract,
        # Only the cache asks for the digest
        arguments_sha256=wire_digest(list(arguments))[0] if read is not NO_HINTS else "",
        hints=read,
        may_spend=may_spend,
    )
