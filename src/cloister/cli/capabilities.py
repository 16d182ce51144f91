"""`cloister capabilities`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cloister.cli import complete
from cloister.cli.options import JsonOption
from cloister.cli.output import echo, echo_json, reporting

if TYPE_CHECKING:
    from cloister.authority.capability import CapabilitySpec, Parameter

_EXAMPLES: Final = {"text": '"text"', "integer": "1", "number": "1", "boolean": "true", "map": "{}", "vector": "[]"}
_NAMED: Final = {
    "path": '"/srv/data/file"',
    "name": '"LANG"',
    "code": '"print(1)"',
    "content": '"hello"',
    "text": '"[1, 2]"',
}
"""What an argument looks like, by parameter; a parameter that is not here looks like its type."""
_SPECIAL: Final = {
    ("ccos.sandbox.shell", "code"): '"echo 1"',
    ("ccos.sandbox.javascript", "code"): '"console.log(1)"',
    ("ccos.sandbox.ruby", "code"): '"puts 1"',
    ("ccos.io.write-file-base64", "content"): '"aGVsbG8="',
}
_PLACES: Final = {"read": "PATH", "write": "PATH", "environment": "NAME"}
"""What stands behind the option that grants a place, by the kind of access."""


def capabilities(
    identifier: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]",
            help="Id or alias of one capability.",
            show_default=False,
            autocompletion=complete.capabilities,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List what plans can call; with an ID, how it is called."""
    from cloister.capabilities.catalog import builtin_catalog  # noqa: PLC0415

    registry = builtin_catalog().registry
    with reporting(as_json=as_json):
        chosen = registry.require(identifier) if identifier is not None else None
    if chosen is not None:
        aliases = sorted(registry.names(chosen.id) - {chosen.id})
        if as_json:
            echo_json({"ok": True, "capability": _as_data(chosen, aliases)})
        else:
            _show(chosen, aliases)
        return
    specs = sorted(registry, key=lambda spec: spec.id)
    if as_json:
        listed = [_as_data(spec, sorted(registry.names(spec.id) - {spec.id})) for spec in specs]
        echo_json({"ok": True, "capabilities": listed})
        return
    width = max(len(spec.id) for spec in specs)
    for spec in specs:
        echo(f"{spec.id:<{width}}  {spec.summary}")


def grants(spec: CapabilitySpec) -> list[str]:
    """Return the options that grant a capability and the places its arguments name."""
    from cloister.authority.grants import PLACE_OPTIONS, capability_grant  # noqa: PLC0415

    places = (f"{PLACE_OPTIONS[access.kind]} {_PLACES[access.kind]}" for access in spec.access)
    return [capability_grant(spec.id), *dict.fromkeys(places)]


def example(spec: CapabilitySpec) -> str:
    """Return a call with every required argument."""
    words = [_argument(spec.id, each) for each in spec.parameters if each.required]
    if spec.variadic:
        words.append(words[-1])
    return f"({' '.join([f'call :{spec.id}', *words])})"


def _argument(capability_id: str, parameter: Parameter) -> str:
    special = _SPECIAL.get((capability_id, parameter.name)) or _NAMED.get(parameter.name)
    return special or _EXAMPLES.get(parameter.type, "1")


def _as_data(spec: CapabilitySpec, aliases: list[str]) -> dict[str, Any]:
    return {
        "id": spec.id,
        "aliases": aliases,
        "summary": spec.summary,
        "parameters": [
            {"name": each.name, "type": each.type.value, "required": each.required, "doc": each.doc}
            for each in spec.parameters
        ],
        "variadic": spec.variadic,
        "returns": spec.returns,
        "effects": sorted(spec.effects),
        "access": {access.parameter: access.kind.value for access in spec.access},
        "grants": grants(spec),
        "example": example(spec),
    }


def _show(spec: CapabilitySpec, aliases: list[str]) -> None:
    echo(f"{spec.usage()}\n  {spec.summary}\n")
    width = max((len(each.name) for each in spec.parameters), default=0)
    names = {access.parameter: f" Names {_what(access.kind)}." for access in spec.access}
    for each in spec.parameters:
        need = "required" if each.required else "optional"
        echo(f"  {each.name:<{width}}  {each.type.value:<8} {need}  {each.doc}{names.get(each.name, '')}")
    if spec.parameters:
        echo("")
    rows = {
        "returns": spec.returns,
        "effects": " ".join(sorted(spec.effects)),
        "also called": ", ".join(aliases),
        "grant": " ".join(grants(spec)),
        "example": example(spec),
    }
    for title, text in rows.items():
        if text:
            echo(f"  {title:<11}  {text}")


def _what(kind: str) -> str:
    return {"read": "what is read", "write": "what is written", "environment": "a variable"}[kind]
