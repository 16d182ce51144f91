"""The host's part of a first execution that nobody sees.

Owns the plan that is rehearsed. A process that was forked shares its memory with the one it was forked from until it
changes it, page by page, and each first change costs time; a rehearsal spends that time while nobody waits. The plan is
not meant to be like anyone's: it goes once through reading, functions, collections, texts and errors. Part of the guest
set: standard library only.
"""

from __future__ import annotations

import socket
from typing import Final

from cloister.isolation.wire import Channel, Side, frame_bytes
from cloister.limits import ResourceLimits

PLAN: Final = '(let [twice (fn [x] (* 2 x))] {:text (str "sum " (reduce + (map twice [1 2])))})'
"""Small: what it changes is memory of each sandbox that waits."""


def prompt(host_end: socket.socket, limits: ResourceLimits, take: int) -> None:
    """Say what a host says to a guest: start with this plan.

    Args:
        host_end: Connection to the guest.
        limits: Of the execution.
        take: Number of the rehearsal. The plan differs with it, because one that was compiled before is not compiled
            again.
    """
    host = Channel(host_end, Side.HOST, frame_bytes(limits))
    workload = {"kind": "plan", "source": f"{PLAN} ; {take}", "name": "<rehearsal>", "inputs": {}, "modules": []}
    host.send({"type": "start", "workload": workload, "limits": limits.to_dict()})
