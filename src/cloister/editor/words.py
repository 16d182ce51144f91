"""What the language itself has under a name: its functions and its forms, as a person looks them up.

Owns the entries of `cloister doc`, hover and completion. What they say is written where each function and form is
implemented; here it is only gathered.
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from cloister.editor.form_examples import FORM_DOCS, FORM_EXAMPLES
from cloister.lang.special_forms.form import SpecialForm
from cloister.lang.special_forms.table import SPECIAL_FORMS
from cloister.lang.stdlib.builtin import Builtin
from cloister.lang.stdlib.table import BUILTINS

SIMILAR_MAX: Final = 3
SIMILARITY_MIN: Final = 0.6

TOPICS: Final = MappingProxyType(
    {
        "binding": "names and functions",
        "control": "choosing",
        "match": "choosing",
        "loops": "repeating",
        "comprehension": "repeating",
        "context": "plans",
        "metadata": "plans",
        "objects": "plans",
        "errors": "errors",
        "errors_data": "errors",
        "plan": "plans",
        "data": "quoting and templates",
        "higher_order": "functions over collections",
        "json_data": "JSON",
        "absent": "not in this version",
    }
)
"""Titles of modules whose own name would not tell a reader what is in them."""

_SECTIONS: Final = re.compile(r"\n+(?:Args|Returns|Raises|Yields|Source|Cost):\n.*", re.DOTALL)
"""Parts of a docstring that are for who reads the source."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One name of the language.

    Attributes:
        name: As written in programs.
        kind: `function` or `form`.
        topic: What it belongs to, in words.
        signature: How it is written.
        doc: What it does; the first line is one sentence.
        examples: Lines `program ;=> value` or `program ;!! code`.
        also: Further names of the same function.
    """

    name: str
    kind: str
    topic: str
    signature: str
    doc: str
    examples: tuple[str, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def summary(self) -> str:
        """The first line of `doc`."""
        return self.doc.partition("\n")[0]

    @property
    def is_refused(self) -> bool:
        """Whether this version only knows it to refuse it."""
        return self.topic == TOPICS["absent"]

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as plain JSON data."""
        return {
            "name": self.name, "kind": self.kind, "topic": self.topic, "signature": self.signature, "doc": self.doc,
            "examples": list(self.examples), "also": list(self.also),
        }  # fmt: skip


@cache
def entries() -> Mapping[str, Entry]:
    """Return every name of the language with what is known of it: forms first, then functions, in their order.

    A name that is both, such as `get`, has both signatures.
    """
    names_of: dict[int, list[str]] = {}
    for name, builtin in BUILTINS.items():
        names_of.setdefault(id(builtin.fn), []).append(name)
    found = {name: _form_entry(special) for name, special in SPECIAL_FORMS.items()}
    for name, builtin in BUILTINS.items():
        also = tuple(other for other in names_of[id(builtin.fn)] if other != name)
        found[name] = _both(found.get(name), _function_entry(name, builtin, also))
    return MappingProxyType(found)


def _form_entry(special: SpecialForm) -> Entry:
    return Entry(
        name=special.name,
        kind="form",
        topic=_topic(special.resolve.__module__),
        signature=special.shape,
        doc=FORM_DOCS.get(special.name) or _prose(special.resolve.__doc__ or "This version does not have it."),
        examples=FORM_EXAMPLES.get(special.name, ()),
    )


def _function_entry(name: str, builtin: Builtin, also: tuple[str, ...]) -> Entry:
    return Entry(
        name=name,
        kind="function",
        topic=_topic(builtin.fn.__module__),
        signature=builtin.signature,
        doc=_prose(builtin.doc),
        examples=builtin.examples,
        also=also,
    )


def _both(form: Entry | None, function: Entry) -> Entry:
    if form is None:
        return function
    return Entry(
        name=function.name,
        kind="form",
        topic=form.topic,
        signature=form.signature,
        doc=f"{form.doc}\n\nAs a function: {function.doc}" if form.doc != function.doc else form.doc,
        examples=form.examples + function.examples,
        also=function.also,
    )


def _topic(module: str) -> str:
    name = module.rpartition(".")[2]
    return TOPICS.get(name, name.replace("_", " "))


def _prose(docstring: str) -> str:
    return _SECTIONS.sub("", inspect.cleandoc(docstring)).strip()


def topics() -> dict[str, list[Entry]]:
    """Return all entries by topic, both in the order of the language; what this version refuses comes last."""
    found: dict[str, list[Entry]] = {}
    for entry in entries().values():
        found.setdefault(entry.topic, []).append(entry)
    refused = found.pop(TOPICS["absent"], None)
    return found if refused is None else found | {TOPICS["absent"]: refused}


def search(word: str) -> list[Entry]:
    """Return the entries that mention a word: those named so first, then those that say it."""
    wanted = word.lower()
    ranks: list[tuple[int, Entry]] = []
    for entry in entries().values():
        if wanted in entry.name.lower():
            ranks.append((0, entry))
        elif wanted in entry.summary.lower() or wanted in entry.topic.lower():
            ranks.append((1, entry))
        elif wanted in entry.doc.lower():
            ranks.append((2, entry))
    return [entry for _, entry in sorted(ranks, key=lambda pair: pair[0])]


def similar(name: str) -> list[str]:
    """Return the names most like one that does not exist, the nearest first."""
    return difflib.get_close_matches(name[:60], entries(), SIMILAR_MAX, SIMILARITY_MIN)
