"""Which tokens were used already.

Owns the memory that makes a token good for one execution only. It holds each token until that would have expired, so
it is bounded by how many are used in one lifetime; when it is full, nothing more is accepted. Must not read a clock.
"""

from __future__ import annotations

import threading
from heapq import heappop, heappush
from typing import Final

from cloister.errors import TokenRejected, quoted

USED_COUNT_MAX: Final = 131_072
"""About 4,000 executions a second for as long as a token lives, in some 30 MiB at most."""


class UsedTokens:
    """Remembers the tokens that were used. All verifiers of one issuer share one; several threads may use it.

    Args:
        count_max: How many are remembered at once.
    """

    __slots__ = ("_count_max", "_ends", "_ids", "_lock", "_newest_ns")

    def __init__(self, count_max: int = USED_COUNT_MAX) -> None:
        self._count_max = count_max
        self._ids: set[str] = set()
        self._ends: list[tuple[int, str]] = []
        self._lock = threading.Lock()
        self._newest_ns = 0

    def __repr__(self) -> str:
        return f"UsedTokens({len(self._ids)} of {self._count_max})"

    def use(self, token_id: str, expires_at_ns: int, now_ns: int) -> None:
        """Use a token up, or refuse it. Its seal and its end must have been checked.

        Args:
            token_id: Which.
            expires_at_ns: When it ends; nobody can use it afterwards, so it is forgotten then.
            now_ns: What the clock says, the same one as for all others.

        Raises:
            TokenRejected: `denied.token-replayed`: it was used; `denied.token-memory`: too many others were;
                `denied.token-expired`: it ended while this thread waited, so whether it was used is forgotten.
        """
        with self._lock:
            ends, ids = self._ends, self._ids
            # Threads come here in another order than they read the clock in
            self._newest_ns = now_ns = max(now_ns, self._newest_ns)
            if expires_at_ns <= now_ns:
                raise TokenRejected("the permission token expired while it was checked", code="denied.token-expired")
            while ends and ends[0][0] <= now_ns:
                ids.discard(heappop(ends)[1])
            if token_id in ids:
                raise TokenRejected(
                    f'the permission token "{quoted(token_id)}" was used already; each is good for one execution',
                    code="denied.token-replayed",
                )
            if len(ids) >= self._count_max:
                raise TokenRejected(
                    f"{self._count_max} permission tokens were used that have not expired yet; "
                    "no other can be told from a used one before some have",
                    code="denied.token-memory",
                    hint="start fewer executions a second",
                )
            ids.add(token_id)
            heappush(ends, (expires_at_ns, token_id))
