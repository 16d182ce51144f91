"""What records of calls hold beside decision and result, and how arguments and values are shown and digested in them.

Owns these parts of bodies. Arguments and values come from guests: of arguments records hold a beginning, shortened and
stripped of control characters, and a digest of all; of values a digest and a size.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cloister.canonical import Plain, sha256_hex
from cloister.errors import quoted
from cloister.isolation.provider import WireValue
from cloister.lang.printer import to_text
from cloister.lang.transport import decode

ARGUMENT_CHARS_MAX: Final = 2_000
_ENCODER: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
"""Made once: a call of json.dumps with settings makes one each time."""


def wire_digest(value: WireValue) -> tuple[str, int]:
    """Return the SHA-256 and the size in bytes of wire data written as compact JSON with sorted keys."""
    data = _ENCODER.encode(value).encode()
    return sha256_hex(data), len(data)


def shown_arguments(arguments: Sequence[WireValue]) -> str:
    """Return the beginning of arguments as RTFS text. A guest chooses how many there are and how large."""
    texts: list[str] = []
    left = ARGUMENT_CHARS_MAX + 1
    for argument in arguments:
        if left <= 0:
            break
        texts.append(to_text(decode(argument), left))
        left -= len(texts[-1]) + 1
    return quoted(" ".join(texts), ARGUMENT_CHARS_MAX)


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentFacts:
    """What there is to record about a call beside its decision.

    Attributes:
        hints: The execution hints in force, by name.
        step_id: The step it stands in.
        rule_id: The rule of the constitution that applies.
        approval_ids: The approvals it rests on.
        is_simulated: Whether nothing is done, and the plan gets a stand-in.
        number: The call's number in its run; None outside of a plan.
        within: Number of the call whose fallback it is, or None.
    """

    hints: Mapping[str, WireValue] = field(default_factory=dict)
    step_id: str | None = None
    rule_id: str | None = None
    approval_ids: tuple[str, ...] = ()
    is_simulated: bool = False
    number: int | None = None
    within: int | None = None

    def to_body(self) -> dict[str, Plain]:
        """Return what there is, as parts of a body."""
        body: dict[str, Plain] = {}
        if self.number is not None:
            body["number"] = self.number
        if self.within is not None:
            body["within"] = self.within
        if self.hints:
            body["hints"] = shown_arguments([part for name, value in self.hints.items() for part in (name, value)])
        if self.approval_ids:
            body["approvals"] = list(self.approval_ids)
        if self.is_simulated:
            body["simulated"] = True
        return body


@dataclass(frozen=True, slots=True, kw_only=True)
class OutcomeFacts:
    """What there is to record about the result of a call beside the value.

    Attributes:
        exit_status: Of a command, which may be other than 0 and is still a result.
        memo: What the capability left in the journal for a resumed run; None for nothing.
        charged: What the budget was charged; None where there is none.
        is_simulated: Whether it is a stand-in.
        answer: The error as the plan was told it, of a call that failed; None for nothing.
    """

    exit_status: int | None = None
    memo: WireValue = None
    charged: Mapping[str, Plain] | None = None
    is_simulated: bool = False
    answer: WireValue = None

    def to_body(self) -> dict[str, Plain]:
        """Return what there is, as parts of a body."""
        body: dict[str, Plain] = {}
        if self.exit_status is not None:
            body["exit_status"] = self.exit_status
        if self.memo is not None:
            body["memo_sha256"], _ = wire_digest(self.memo)
        if self.answer is not None:
            body["answer_sha256"], _ = wire_digest(self.answer)
        if self.charged is not None:
            body["charged"] = dict(self.charged)
        if self.is_simulated:
            body["simulated"] = True
        return body


NO_INTENT_FACTS: Final = IntentFacts()
NO_OUTCOME_FACTS: Final = OutcomeFacts()
