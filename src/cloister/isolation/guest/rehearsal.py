"""The host's part of a first execution that nobody sees.

Owns the plans that are rehearsed. A process that was forked shares its memory with the one it was forked from until it
changes it, page by page, and each first change costs time; a rehearsal spends that time while nobody waits. The plans
are not meant to be like anyone's: they go through reading, functions, collections, texts and errors. Part of the guest
set: standard library only.
"""

from __future__ import annotations

from typing import Final

from cloister.isolation.wire_messages import Message

PLANS: Final = (
    "(+ 1 2)",
    '(let [twice (fn [x] (* 2 x))] {:text (str "sum " (reduce + (map twice [1 2])))})',
)
"""Small: what they change is memory of each sandbox that waits. The first one is what a single expression takes."""


def prompts(take: int) -> list[Message]:
    """Return what a host says to a guest: the messages to start with each of the plans.

    Args:
        take: Number of the rehearsal. The plans differ with it, because one that was compiled before is not compiled
            again.
    """
    workloads = [{"kind": "plan", "source": f"{plan} ; {take}", "name": "<rehearsal>", "inputs": {}} for plan in PLANS]
    return [{"type": "start", "workload": workload} for workload in workloads]
