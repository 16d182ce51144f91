"""What generated programs consist of and come to.

Owns the counts of a campaign: they are added up from its workers, printed, and asserted on by the tests.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Final

from tests.differential.outcome import Record, Verdict

from cloister.lang import core
from cloister.lang.program import Program
from cloister.lang.special_forms.table import SPECIAL_FORMS
from cloister.lang.stdlib.table import BUILTINS

_HEAD: Final = re.compile(r"\(([^\s()\[\]{}\"]+)|([`'^~@#])(?=[\[({a-z:@])| (:) ")
_SUGAR: Final = {
    "`": "quasiquote", "'": "quote", "^": "with-meta", "@": "context-value", "~": "unquote", "#": "fn",
    ":": "type-annotation",
}  # fmt: skip
_NEVER_RUN: Final = frozenset({core.Operation.JOIN_CODE_MAP.value})
"""What only code of macros does, which runs while a program is compiled and is no part of what engines are given."""
_INNER: Final = frozenset({"unquote", "unquote-splicing"})


@dataclass(slots=True)
class Statistics:
    """Counts of a campaign.

    Attributes:
        programs: How many programs were generated.
        refused: Programs that were no programs, by code; both engines share what refuses them.
        dropped: Programs whose ends were not compared, because of a limit of work.
        ends: How the others ended in the first engine: `value` or the code of the error.
        kinds: Kinds of these errors.
        calls: Calls of the host, by capability.
        builtins: Builtins that programs name.
        forms: Special forms that programs use.
        nodes: Classes of core nodes in them.
        operations: Operations in them.
    """

    programs: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    dropped: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    calls: Counter[str] = field(default_factory=Counter)
    builtins: Counter[str] = field(default_factory=Counter)
    forms: Counter[str] = field(default_factory=Counter)
    nodes: Counter[str] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)

    def add(self, other: Statistics) -> None:
        """Add the counts of another part of the campaign."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

    def note_refused(self, code: str) -> None:
        """Count a text that is no program."""
        self.programs += 1
        self.refused[code] += 1

    def note_program(self, program: Program) -> None:
        """Count a program and what it consists of."""
        self.programs += 1
        used = {word or _SUGAR[mark or colon] for word, mark, colon in _HEAD.findall(program.source.text)}
        self.forms.update(used & SPECIAL_FORMS.keys())
        for node in core.walk(program.core):
            self.nodes[type(node).__name__] += 1
            if isinstance(node, core.Global):
                self.builtins[node.name] += 1
            elif isinstance(node, core.Intrinsic):
                self.operations[node.operation.value] += 1

    def note_outcome(self, record: Record, verdict: Verdict) -> None:
        """Count how a program ended."""
        self.calls.update(note[1] for note in record.notes if note[0] == "call" and isinstance(note[1], str))
        if verdict.dropped:
            self.dropped += 1
        elif record.failure is None:
            self.ends["value"] += 1
        else:
            self.ends[record.failure.code] += 1
            self.kinds[str(record.failure.kind)] += 1

    @property
    def compared(self) -> int:
        """How many programs ended in both engines and were compared."""
        return sum(self.ends.values())

    def missing(self) -> list[str]:
        """Return what of the language no program had: nodes, operations, builtins and forms."""
        nodes = {kind.__name__ for kind in core.Node.__args__}
        return [
            *_without(nodes, self.nodes),
            *_without({operation.value for operation in core.Operation} - _NEVER_RUN, self.operations),
            *_without(BUILTINS, self.builtins),
            *_without(SPECIAL_FORMS.keys() - _INNER, self.forms),
        ]

    def lines(self) -> list[str]:
        """Return the counts for people."""
        return [
            f"programs {self.programs}, compared {self.compared}, dropped {self.dropped}, "
            f"refused {self.refused.total()}",
            f"ends: {_counts(self.ends)}",
            f"kinds of errors: {_counts(self.kinds)}",
            f"refused: {_counts(self.refused)}",
            f"calls of the host: {self.calls.total()}: {_counts(self.calls)}",
            f"builtins {len(self.builtins)} of {len(BUILTINS)}, forms {len(self.forms)} of {len(SPECIAL_FORMS)}, "
            f"nodes {len(self.nodes)} of {len(core.Node.__args__)}, "
            f"operations {len(self.operations)} of {len(core.Operation)}",
            f"never seen: {', '.join(self.missing()) or 'nothing'}",
        ]


def _without(wanted: Iterable[str], found: Counter[str]) -> list[str]:
    return sorted(set(wanted) - found.keys())


def _counts(counter: Counter[str], most: int = 30) -> str:
    return ", ".join(f"{name} {count}" for name, count in counter.most_common(most)) or "none"
