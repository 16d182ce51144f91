"""What can be reached in a graph whose nodes hold bits.

Owns the one algorithm. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

Graph: TypeAlias = Sequence[tuple[int, Sequence[int]]]
"""For each node its own bits, and the numbers of the nodes it leads to."""


def reached(graph: Graph) -> list[int]:
    """Return, for each node, the bits of all nodes that can be reached from it, its own included.

    Source: R. Tarjan, Depth-first search and linear graph algorithms, 1972: the nodes of a strongly connected component
    reach the same, and components are found after all that they lead to.

    Cost:
        Linear in the nodes and edges; each costs as many bits as there are.
    """
    found = [0] * len(graph)
    order: dict[int, int] = {}
    lowest: dict[int, int] = {}
    stack: list[int] = []
    waiting: set[int] = set()
    for start in range(len(graph)):
        pending = [(start, 0)] if start not in order else []
        while pending:
            node, at = pending.pop()
            if at == 0:
                order[node] = lowest[node] = len(order)
                stack.append(node)
                waiting.add(node)
            edges = graph[node][1]
            if at:
                lowest[node] = min(lowest[node], lowest[edges[at - 1]]) if edges[at - 1] in waiting else lowest[node]
            while at < len(edges):
                target = edges[at]
                at += 1
                if target not in order:
                    pending += [(node, at), (target, 0)]
                    break
                if target in waiting:
                    lowest[node] = min(lowest[node], order[target])
            else:
                if lowest[node] == order[node]:
                    _close(graph, node, stack, waiting, found)
    return found


def _close(graph: Graph, root: int, stack: list[int], waiting: set[int], found: list[int]) -> None:
    members: list[int] = []
    while not members or members[-1] != root:
        members.append(stack.pop())
        waiting.discard(members[-1])
    bits = 0
    for member in members:
        bits |= graph[member][0]
        for target in graph[member][1]:
            bits |= found[target]
    for member in members:
        found[member] = bits
