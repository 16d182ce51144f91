"""The contracts that families of built-in capabilities share.

Owns their values and the reasons for them; which capability has which is said where the capability is.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from cloister.authority.contract import (
    CONSUMES_NOTHING,
    Contract,
    Determinism,
    Idempotency,
    Impact,
    Resources,
    Risk,
)

COMPUTES: Final = Contract(
    idempotency=Idempotency.RETRY,
    determinism=Determinism.DETERMINISTIC,
    risk=Risk.LOW,
    impact=Impact.NOTHING,
    resources=CONSUMES_NOTHING,
    features=frozenset(),
)
"""A function of its arguments."""

TELLS_TIME: Final = replace(COMPUTES, determinism=Determinism.CLOCK, impact=Impact.READS)
"""It looks at a clock, and the next look shows something else."""

SHOWS: Final = replace(COMPUTES, impact=Impact.RUN)
"""It prints or waits. Doing that twice disturbs nobody but who watches the run."""

READS: Final = replace(COMPUTES, determinism=Determinism.EXTERNAL, impact=Impact.READS)
"""It looks at files."""

READS_ON: Final = replace(READS, impact=Impact.RUN)
"""It looks at files through the run's table of open ones, which it changes. The table is memory of the run, so doing it
again after a crash starts from the table as it was rebuilt."""

READS_SECRETS: Final = replace(READS, risk=Risk.MEDIUM)
"""It looks at what often holds credentials."""

REPLACES: Final = replace(
    READS,
    risk=Risk.MEDIUM,
    impact=Impact.CHANGES,
    resources=replace(CONSUMES_NOTHING, storage_bytes=None),
    storage_parameter="content",
)
"""It writes a file as a whole, so that a second time leaves what the first did. In base64 it stores less than it is
given."""

EMPTIES: Final = replace(
    READS, risk=Risk.MEDIUM, impact=Impact.CHANGES, resources=replace(CONSUMES_NOTHING, storage_bytes=0)
)
"""It leaves an empty file, whatever was there."""

CREATES: Final = replace(EMPTIES, idempotency=Idempotency.ASK)
"""It makes an entry, and fails where there is one: a second time would report a failure that was none."""

APPENDS: Final = replace(REPLACES, idempotency=Idempotency.ASK, storage_parameter="line")
"""It adds to a file. A second time adds twice, and nothing in the file tells."""

DELETES: Final = replace(EMPTIES, risk=Risk.CRITICAL)
"""It destroys what no second call brings back; that there is nothing any more is no error."""

CLOSES: Final = replace(EMPTIES, risk=Risk.LOW)
"""It ends what may have been written to. Counted as a change so that a dry run closes what it only seemed to make."""

EXECUTES: Final = Contract(
    idempotency=Idempotency.ASK,
    determinism=Determinism.EXTERNAL,
    risk=Risk.HIGH,
    impact=Impact.CHANGES,
    resources=Resources(egress_bytes=0, storage_bytes=None, model_tokens_count=0, cost_microusd=0),
    features=frozenset(),
)
"""It runs a script that somebody else wrote, which has no network and may write what the call grants."""
