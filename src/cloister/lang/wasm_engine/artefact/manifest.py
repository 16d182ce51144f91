"""What a compiled plan says of itself.

Owns the readable part of the section: canonical JSON, so that one manifest has one encoding. Nothing in it is believed:
`artefact` derives every fact again and compares. Reads bytes of anybody.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from cloister.lang.json_bounds import has_more_elements, nesting
from cloister.lang.modules import TEXTS_CHARS_MAX
from cloister.lang.wasm_engine.artefact.octets import NUMBER_MAX, damaged
from cloister.lang.wasm_engine.artefact.source_map import Lines

NAME_CHARS_MAX: Final = 4_096
ELEMENTS_MAX: Final = 2_000_000
"""Most elements of its lists and objects; so many take some hundred megabytes. A text has at most a million lines."""
NESTING_MAX: Final = 8
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """A text the plan was made of, or where its lines are.

    Attributes:
        module: The name it is imported by; None for the program's own.
        path: What errors call it.
        text: All of it; None when it was left out.
        lines: Its lines, when it was left out.
    """

    module: str | None
    path: str
    text: str | None
    lines: Lines | None

    @property
    def chars(self) -> int:
        """How many characters it has."""
        return self.lines.length if self.lines is not None else len(self.text or "")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredEffect:
    """One place where the plan asks the host for something, as `lang.effects` finds it.

    Attributes:
        capability: The id; None when it is computed.
        arguments: The text of each argument that is known; None for the others.
        start: Offset of the place in the texts.
        end: Offset after it.
    """

    capability: str | None
    arguments: tuple[str | None, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a compiled plan says of itself.

    Attributes:
        compiler_sha256: Which compiler made it.
        core_sha256: Digest of its core.
        inputs: Names of its inputs, sorted.
        capabilities: Ids it names, sorted.
        is_computed: Whether it computes ids, too.
        effects: Every place where it asks for something, in the order of the texts.
        texts: What it was made of, its own text first.
    """

    compiler_sha256: str
    core_sha256: str
    inputs: tuple[str, ...]
    capabilities: tuple[str, ...]
    is_computed: bool
    effects: tuple[DeclaredEffect, ...]
    texts: tuple[Text, ...]

    def encode(self) -> bytes:
        """Return the one encoding of these facts."""
        facts = {
            "capabilities": list(self.capabilities),
            "compiler_sha256": self.compiler_sha256,
            "computed": self.is_computed,
            "core_sha256": self.core_sha256,
            "effects": [
                {
                    "arguments": list(each.arguments),
                    "capability": each.capability,
                    "end": each.end,
                    "start": each.start,
                }
                for each in self.effects
            ],
            "inputs": list(self.inputs),
            "texts": [_text_facts(each) for each in self.texts],
        }
        return json.dumps(facts, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode("ascii")

    @classmethod
    def decode(cls, data: bytes) -> Manifest:
        """Read a manifest.

        Raises:
            InputError: `input.artefact`: it is none, or written in another way.
        """
        facts = _Facts(_parsed(data))
        found = cls(
            compiler_sha256=facts.sha256("compiler_sha256"),
            core_sha256=facts.sha256("core_sha256"),
            inputs=facts.texts("inputs"),
            capabilities=facts.texts("capabilities"),
            is_computed=facts.flag("computed"),
            effects=tuple([_effect(each) for each in facts.objects("effects")]),
            texts=tuple([_text(each, place) for place, each in enumerate(facts.objects("texts"))]),
        )
        if sum(each.chars for each in found.texts) > TEXTS_CHARS_MAX:
            raise damaged(f"the texts it was made of have more than {TEXTS_CHARS_MAX} characters")
        if not found.texts or found.encode() != data:
            raise damaged("what it says of itself is written in another way than ours")
        return found


def _text_facts(text: Text) -> dict[str, Any]:
    facts: dict[str, Any] = {"module": text.module, "path": text.path, "text": text.text}
    if text.lines is not None:
        facts |= {"length": text.lines.length, "lines": list(text.lines.starts)}
    return facts


def _refuse(_: str) -> NoReturn:
    raise ValueError("no such number is in a manifest")


def _parsed(data: bytes) -> Any:
    if has_more_elements(data, ELEMENTS_MAX) or nesting(data) > NESTING_MAX:
        raise damaged("what it says of itself is too long, or nested too deep")
    try:
        found = json.loads(data.decode("ascii"), parse_float=_refuse, parse_constant=_refuse)
        json.dumps(found, ensure_ascii=False).encode()  # escapes can spell half a character, which is no text
    except (ValueError, RecursionError) as error:
        raise damaged("what it says of itself is no JSON of ours") from error
    return found


class _Facts:
    """An object of JSON whose members are taken with their kinds."""

    def __init__(self, data: Any) -> None:
        self._data = data

    def take(self, name: str, *kinds: type) -> Any:
        """Return a member that is of one of some classes, exactly."""
        if type(self._data) is not dict or name not in self._data or type(self._data[name]) not in kinds:
            raise damaged(f"it does not say {name} as it should")
        return self._data[name]

    def flag(self, name: str) -> bool:
        """Return a truth value."""
        return bool(self.take(name, bool))

    def number(self, name: str) -> int:
        """Return a number."""
        value: int = self.take(name, int)
        if not 0 <= value <= NUMBER_MAX:
            raise damaged(f"it does not say {name} as it should")
        return value

    def sha256(self, name: str) -> str:
        """Return a digest."""
        value: str = self.take(name, str)
        if not _SHA256.fullmatch(value):
            raise damaged(f"{name} is no digest")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """Return a list of texts that is sorted and has none twice."""
        values: list[Any] = self.take(name, list)
        if not all(type(each) is str for each in values) or values != sorted(set(values)):
            raise damaged(f"it does not list its {name} as it should")
        return tuple(values)

    def objects(self, name: str) -> list[_Facts]:
        """Return a list of objects."""
        return [_Facts(each) for each in self.take(name, list)]


def _effect(facts: _Facts) -> DeclaredEffect:
    arguments = facts.take("arguments", list)
    if not all(each is None or type(each) is str for each in arguments):
        raise damaged("it does not list arguments as it should")
    return DeclaredEffect(
        capability=facts.take("capability", str, type(None)),
        arguments=tuple(arguments),
        start=facts.number("start"),
        end=facts.number("end"),
    )


def _text(facts: _Facts, place: int) -> Text:
    module, path = facts.take("module", str, type(None)), facts.take("path", str)
    if (module is None) != (place == 0) or not is_name(path) or (module is not None and not is_name(module)):
        raise damaged("a text it was made of has no proper name")
    text = facts.take("text", str, type(None))
    return Text(module=module, path=path, text=text, lines=_lines(facts, path) if text is None else None)


def _lines(facts: _Facts, path: str) -> Lines:
    length, starts = facts.number("length"), facts.take("lines", list)
    if not all(type(each) is int for each in starts) or starts[:1] != [0] or starts != sorted(set(starts)):
        raise damaged("the lines of a text are none")
    if starts[-1] > length:
        raise damaged("the lines of a text are longer than it")
    return Lines(path, length, tuple(starts))


def is_name(text: str) -> bool:
    """Say whether a text can be shown as the name of one."""
    return 0 < len(text) <= NAME_CHARS_MAX and text.isprintable()
