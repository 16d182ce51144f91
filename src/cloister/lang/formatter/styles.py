"""How each kind of group is broken into lines and indented.

Owns the table of forms that are indented as a body, and which children of a group belong together. Part of the guest
set: standard library only.

Source: the common style of Lisp programs, as the indentation of Emacs and of cljfmt has it: bodies two columns in,
arguments under the first one, bindings and entries in pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cloister.lang.formatter.tree import COMMENTS, Kind, Node

BODIES: Final = {
    "def": 1, "defn": 2, "defmacro": 2, "defstruct": 1, "deftype": 1, "fn": 1, "λ": 1, "lambda": 1, "let": 1, "loop": 1,
    "for": 1, "dotimes": 1, "do": 0, "if": 1, "if-let": 1, "if-not": 1, "when": 1, "when-not": 1, "when-let": 1,
    "case": 1, "match": 1, "try": 0, "catch": 2, "finally": 0, "step": 1, "step-if": 1, "step-loop": 1,
    "step-parallel": 0, "with-security-profile": 1, "module": 1, "plan": 1, "capability": 1, "resource": 1, "intent": 1,
}  # fmt: skip
"""Forms with a body, which is two columns in, with how many operands stay on the first line when it is broken."""

_BODY_STARTS: Final = ("def", "with-")
_BINDING: Final = frozenset({"let", "loop", "for", "dotimes", "if-let", "when-let"})
_CLAUSES: Final = {"cond": 0, "case": 1, "match": 1}
"""Forms with clauses of two forms each, and how many operands stand before the clauses."""


_LONG_NAME_CHARS: Final = 8


def head_of(node: Node) -> str | None:
    """Return the name or keyword a list begins with; None for vectors, maps and lists of data."""
    if node.text not in {"(", "#("}:
        return None
    head = next(iter(node.forms), None)
    if head is None or head.kind is not Kind.ATOM or head.prefix or head.text[0] in '"0123456789':
        return None
    return head.text


def is_body(name: str) -> bool:
    """Say whether a form has operands that make up a body."""
    return name in BODIES or name.startswith(_BODY_STARTS)


def is_always_indented(name: str) -> bool:
    """Say whether the lines of a form are two columns in even when its first operand stands beside its name."""
    return is_body(name) and BODIES.get(name, 1) > 0


def pair_values(node: Node, around: Node) -> set[int]:
    """Return which children are second in a pair, by position: values of entries, bindings and clauses.

    Args:
        node: A group.
        around: The group it stands in, which tells whether a vector holds bindings.
    """
    head = head_of(node)
    if node.text == "{":
        return _values(node.children, 0)
    if head in _CLAUSES:
        return _values(node.children, 1 + _CLAUSES[head], has_guards=head == "match")
    if node.text == "[" and head_of(around) in _BINDING and next(iter(around.forms[1:]), None) is node:
        return _values(node.children, 0)
    return set()


def _values(children: Sequence[Node], skipped: int, *, has_guards: bool = False) -> set[int]:
    places = [at for at, child in enumerate(children) if child.kind not in COMMENTS][skipped:]
    places = [at for at in places if not _is_part(children, at) and not (has_guards and _is_guard(children, at))]
    return set(places[1::2])


def _is_guard(children: Sequence[Node], at: int) -> bool:
    """Say whether a form is `when` in a clause of `match`, or the condition after it."""
    return any(child.kind is Kind.ATOM and child.text == "when" for child in children[max(0, at - 1) : at + 1])


def _is_part(children: Sequence[Node], at: int) -> bool:
    """Say whether a form belongs to the next or the previous one: metadata, a type after its colon, a lone `?`."""
    child, before = children[at], children[at - 1] if at else None
    if child.prefix.endswith("^") or child.text in {":", "?"} or child.text.startswith("::"):
        return True
    return before is not None and before.kind is Kind.ATOM and before.text.endswith(":")


def break_group(node: Node, values: set[int], room: int) -> None:
    """Mark where a group is broken that does not fit on a line.

    Args:
        node: The group.
        values: Its children that are second in a pair.
        room: Characters of the line after its delimiter.
    """
    places = [at for at, child in enumerate(node.children) if child.kind not in COMMENTS]
    head = head_of(node)
    if values:
        # Clauses all begin lines; the first entry or binding stays with the delimiter
        skipped = 1 + _CLAUSES.get(head or "", 0) if head else 1
        starts = [at for at in places[skipped:] if at not in values and not _continues(node.children, at, head)]
    elif head is not None and is_body(head):
        starts = places[1 + _kept(node, head) :]
    elif head is not None:
        starts = places[1 if _is_too_far(node, head, room) else 2 :]
    elif all(node.children[at].kind is Kind.ATOM for at in places):
        return  # data: as many on a line as fit
    else:
        starts = places[1:]
    for at in starts:
        if not node.children[at].is_glued:
            node.children[at].newlines = 1


def _is_too_far(node: Node, head: str, room: int) -> bool:
    """Say whether the operands of a call do not fit under the first one, and the name is what takes the space."""
    widest = max((form.width or 0 for form in node.forms[1:]), default=0)
    return len(head) > _LONG_NAME_CHARS and len(head) + 1 + widest > room


def _continues(children: Sequence[Node], at: int, head: str | None) -> bool:
    """Say whether a form goes on the line of the previous one: types, `?`, guards, what metadata describes."""
    if head == "match" and _is_guard(children, at):
        return True
    before = children[at - 1] if at else None
    after_metadata = before is not None and before.prefix.endswith("^")
    return after_metadata or (_is_part(children, at) and not children[at].prefix.endswith("^"))


def _kept(node: Node, head: str) -> int:
    """Return how many operands stay on the first line."""
    count = BODIES.get(head, 1)
    if head not in {"defn", "defmacro", "fn", "λ", "lambda"}:
        return count
    operands = node.forms[1:]
    vector = next((at for at, form in enumerate(operands) if form.text == "[" and not form.is_glued), count)
    if any(form.text[0] == '"' for form in operands[:vector]):
        return 1
    end = vector + 1
    while end < len(operands) and (operands[end].is_glued or _is_result_type(operands, end)):
        end += 1
    return end


def _is_result_type(operands: Sequence[Node], at: int) -> bool:
    return at < len(operands) - 1 and operands[at].text[0] in ":?"
