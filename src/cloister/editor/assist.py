"""What can stand at a place, and what stands there: completion, hover, definitions.

Owns the choice of what to offer, apart from any editor or protocol. Works on texts that are being typed and never
compiles them. Handles plan text, which is hostile; what is shown of it is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from cloister.authority.capability import CapabilitySpec
from cloister.capabilities.catalog import builtin_catalog
from cloister.editor.scan import Definition, Token, definitions, imports, open_lists, token_at
from cloister.editor.words import Entry, entries
from cloister.errors import CloisterError
from cloister.lang.modules import ModuleLoader
from cloister.lang.source import Source

CANDIDATES_MAX: Final = 500
_CALLS: Final = frozenset({"call"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """Something that can be written at a place.

    Attributes:
        text: What would be written there instead of the word that was begun.
        kind: `form`, `function`, `capability`, `definition` or `local`.
        signature: How it is used.
        doc: What it does; may be empty.
    """

    text: str
    kind: str
    signature: str = ""
    doc: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    """What stands at a place.

    Attributes:
        start: Offset of the word.
        end: Offset after it.
        signature: How it is called.
        doc: Prose; may be empty.
        examples: Lines of code.
    """

    start: int
    end: int
    signature: str
    doc: str
    examples: tuple[str, ...] = ()


def word_before(text: str, offset: int) -> Token | None:
    """Return the word that is being typed at an offset, up to there; None where none is begun."""
    token = token_at(text, offset)
    if token is None or token.kind != "word":
        return None
    return Token("word", text[token.start : offset], token.start) if token.start < offset else None


def in_text(text: str, offset: int) -> bool:
    """Say whether an offset lies inside a string or comment, where no name belongs."""
    token = token_at(text, offset)
    if token is not None and token.kind in {"text", "note"} and token.start < offset:
        return offset < token.end or len(token.text) == 1 or token.text[-1] not in '"#'
    line = text[text.rfind("\n", 0, offset) + 1 : offset]
    return token is None and ";" in line


def candidates(text: str, offset: int) -> list[Candidate]:
    """Return what can be written at an offset, the nearest names first."""
    if in_text(text, offset):
        return []
    word = word_before(text, offset)
    begun = word.text if word else ""
    lists = open_lists(text, word.start if word else offset)
    if begun.startswith(":") or (lists and lists[-1].head in _CALLS and lists[-1].items == 1):
        is_call = bool(lists) and lists[-1].head in _CALLS and lists[-1].items == 1
        return list(_capabilities(begun)) if is_call else []
    seen: dict[str, Candidate] = {}
    for scope in reversed(lists):
        for name in scope.names:
            seen.setdefault(name, Candidate(text=name, kind="local", signature="bound here"))
    for definition in definitions(text):
        if word is None or definition.start != word.start:
            seen.setdefault(
                definition.name,
                Candidate(text=definition.name, kind="definition", signature=definition.signature, doc=definition.doc),
            )
    for entry in sorted(entries().values(), key=lambda each: each.name):
        if not entry.is_refused:
            offered = Candidate(text=entry.name, kind=entry.kind, signature=entry.signature, doc=entry.doc)
            seen.setdefault(entry.name, offered)
    return [each for each in seen.values() if each.text.startswith(begun)][:CANDIDATES_MAX]


def _capabilities(begun: str) -> Iterator[Candidate]:
    for spec in sorted(builtin_catalog().registry, key=lambda each: each.id):
        if f":{spec.id}".startswith(begun):
            yield Candidate(text=f":{spec.id}", kind="capability", signature=spec.usage(), doc=spec.summary)


def explanation(text: str, offset: int, modules: ModuleLoader | None = None) -> Explanation | None:
    """Return what the word at an offset is; None for what is nothing in particular.

    Args:
        text: The program.
        offset: Where.
        modules: Where the modules come from that it imports.
    """
    token = token_at(text, offset)
    if token is None or token.kind != "word":
        return None
    spec = builtin_catalog().registry.find(token.text.removeprefix(":")) if "." in token.text else None
    if spec is not None:
        return Explanation(start=token.start, end=token.end, signature=spec.usage(), doc=capability_doc(spec))
    if any(token.text in scope.names for scope in open_lists(text, token.start)):
        return None
    place = found_definition(text, token.text, modules)
    if place is not None:
        found = place.definition
        return Explanation(start=token.start, end=token.end, signature=found.signature, doc=found.doc)
    entry = entries().get(token.text)
    return None if entry is None else _of_entry(token, entry)


def _of_entry(token: Token, entry: Entry) -> Explanation:
    return Explanation(
        start=token.start, end=token.end, signature=entry.signature, doc=entry.doc, examples=entry.examples
    )


def capability_doc(spec: CapabilitySpec) -> str:
    """Return what a capability does, takes and gives, as paragraphs."""
    parts = [spec.summary]
    parts += [
        f"- `{each.name}` ({each.type.value}{'' if each.required else ', optional'}): {each.doc}".rstrip(": ")
        for each in spec.parameters
    ]
    parts.append(f"\nReturns {spec.returns}." if not spec.returns.endswith(".") else f"\nReturns {spec.returns}")
    return "\n".join([parts[0], "", *parts[1:]])


def defined(text: str, name: str) -> Definition | None:
    """Return the last top-level definition of a name, which is the one that counts; None when there is none."""
    return next((each for each in reversed(definitions(text)) if each.name == name), None)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a name is defined.

    Attributes:
        source: The text, when it is that of a module in a file; None for the text that was asked about.
        definition: The definition there.
    """

    source: Source | None
    definition: Definition


def found_definition(text: str, word: str, modules: ModuleLoader | None) -> Place | None:
    """Return where a name is defined at top level, in the text or in a module it imports; None when nowhere."""
    own = defined(text, word)
    if own is not None:
        return Place(None, own)
    prefix, slash, name = word.rpartition("/")
    for each in imports(text):
        if slash and each.prefix == prefix:
            return _in_module(text, each.module, name, modules)
        if not slash and each.only is not None and word in each.only:
            return _in_module(text, each.module, word, modules)
    return None


def _in_module(text: str, module: str, name: str, modules: ModuleLoader | None) -> Place | None:
    if any(each.form == "module" and each.name == module for each in definitions(text)):
        own = defined(text, name)
        return Place(None, own) if own is not None else None
    try:
        found = modules.find(module) if modules is not None else None
    except CloisterError:  # the diagnostics of the text say what is wrong with the module
        return None
    if not isinstance(found, Source):
        return None
    definition = defined(found.text, name)
    return Place(found, definition) if definition is not None else None


def definition_place(
    text: str, offset: int, modules: ModuleLoader | None = None
) -> tuple[Source | None, int, int] | None:
    """Return where the name at an offset is bound or defined; None if nowhere.

    Returns:
        The text of a module's file, or None for the text itself; first offset there and the one after it.
    """
    token = token_at(text, offset)
    if token is None or token.kind != "word":
        return None
    for scope in reversed(open_lists(text, token.start)):
        if token.text in scope.names:
            return None, scope.names[token.text], scope.names[token.text] + len(token.text)
    place = found_definition(text, token.text, modules)
    return None if place is None else (place.source, place.definition.start, place.definition.end)
