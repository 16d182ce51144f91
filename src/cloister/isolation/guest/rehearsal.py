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

PLAN: Final = """
(defn twice [x] (* 2 x))
(let [{:keys [a b]} {:a [1 2.5 nil true] :b "text"}
      counted (loop [n 0] (if (< n 3) (recur (inc n)) n))]
  (try
    {:sum (reduce + 0 (map twice (filter even? (range 6)))) :text (str b "-" counted) :first (first a)}
    (catch anything e (getMessage e))))
"""


def prompt(host_end: socket.socket, limits: ResourceLimits) -> None:
    """Say what a host says to a guest: start with this plan."""
    host = Channel(host_end, Side.HOST, frame_bytes(limits))
    workload = {"kind": "plan", "source": PLAN, "name": "<rehearsal>", "inputs": {}, "modules": []}
    host.send({"type": "start", "workload": workload, "limits": limits.to_dict()})
