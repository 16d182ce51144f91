"""Checks a body against a table of fields, and a table against a published description."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Field:
    """One field: its JSON type or the name of an object, whether it must be there, and what text it may be."""

    type: str
    is_required: bool = False
    values: tuple[str, ...] = ()


Objects = Mapping[str, Mapping[str, Field]]
TYPES = {"string": str, "integer": int, "boolean": bool, "array": list, "object": dict}


def faults(objects: Objects, name: str, body: Any, at: str = "") -> list[str]:
    """Return what is wrong with a body of that object; nothing when it fits."""
    fields = objects[name]
    found = [f"{at}/{field}: missing" for field, facts in fields.items() if facts.is_required and field not in body]
    for field, value in body.items():
        facts = fields.get(field)
        if facts is None:
            found.append(f"{at}/{field}: unknown")
        elif facts.type.startswith("["):
            found += [each for one in value for each in faults(objects, facts.type[1:-1], one, f"{at}/{field}")]
        elif facts.type in TYPES:
            is_right = type(value) is TYPES[facts.type] and (not facts.values or value in facts.values)
            found += [] if is_right else [f"{at}/{field}: {value!r}"]
        else:
            found += faults(objects, facts.type, value, f"{at}/{field}")
    return found


def differences(objects: Objects, definitions: Mapping[str, Any]) -> list[str]:
    """Return where a table says something else than a published description (Swagger 2 or OpenAPI 3)."""
    found = []
    for name, fields in objects.items():
        published = definitions[name]
        properties = published.get("properties", {})
        required = set(published.get("required", ()))
        found += [f"{name}: {field} is required" for field in required - fields.keys()]
        for field, facts in fields.items():
            if field not in properties:
                found.append(f"{name}.{field}: there is none")
                continue
            kind, values = resolved(properties[field], definitions)
            if kind != facts.type:
                found.append(f"{name}.{field}: is {kind}")
            if not set(facts.values) <= set(values):
                found.append(f"{name}.{field}: may be {values}")
            if facts.is_required and field not in required:
                found.append(f"{name}.{field}: is not required")
    return found


def resolved(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """Return type and permitted values of a property; the name of an object, in brackets where there are several."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        target = definitions[name]
        return (name, ()) if target.get("type") == "object" else (target["type"], tuple(target.get("enum", ())))
    if schema.get("type") == "array" and "$ref" in schema.get("items", {}):
        return f"[{schema['items']['$ref'].rsplit('/', 1)[-1]}]", ()
    return schema["type"], tuple(str(value) for value in schema.get("enum", ()))


def parsed(text: str) -> dict[str, Any]:
    """Return the maps, lists and plain values of the part of YAML that API descriptions are written in."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    value, rest = _block(lines, 0)
    assert rest == len(lines)
    assert isinstance(value, dict)
    return value


def _indent(line: str) -> int:
    return len(line) - len(line.lstrip())


def _block(lines: list[str], at: int) -> tuple[Any, int]:
    depth = _indent(lines[at])
    if lines[at].lstrip().startswith("- "):
        items: list[Any] = []
        while at < len(lines) and _indent(lines[at]) == depth and lines[at].lstrip().startswith("- "):
            inner = lines[at].lstrip()[2:]
            if ":" in inner and not inner.startswith(("'", '"')):
                lines[at] = " " * (depth + 2) + inner
                item, at = _block(lines, at)
            else:
                item, at = _plain(inner), at + 1
            items.append(item)
        return items, at
    found: dict[str, Any] = {}
    while at < len(lines) and _indent(lines[at]) == depth and not lines[at].lstrip().startswith("- "):
        key, _, text = lines[at].strip().partition(":")
        at += 1
        has_more = at < len(lines) and (
            _indent(lines[at]) > depth
            or (_indent(lines[at]) == depth and lines[at].lstrip().startswith("- ") and not text)
        )
        if text.strip() in ("", "|", ">") and has_more and not text.strip() and not _is_text(lines[at]):
            found[key.strip("'\"")], at = _block(lines, at)
        else:
            while at < len(lines) and _indent(lines[at]) > depth:  # text over several lines
                at += 1
            found[key.strip("'\"")] = _plain(text.strip())
    return found, at


def _is_text(line: str) -> bool:
    words = line.strip()
    return not words.startswith("- ") and not words.partition(":")[1] and True


def _plain(text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return [_plain(part.strip()) for part in text[1:-1].split(",")]
    words = {"true": True, "false": False, "": None}
    return words[text] if text in words else text.strip("'\"")
