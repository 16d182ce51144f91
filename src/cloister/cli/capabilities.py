"""`cloister capabilities`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cloister.cli import complete
from cloister.cli.options import JsonOption
from cloister.cli.output import echo, echo_json, reporting

if TYPE_CHECKING:
    from cloister.authority.capability import CapabilitySpec, Parameter
    from cloister.authority.contract import Contract

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
    from cloister.authority.json_schema import input_schema, output_schema  # noqa: PLC0415

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
        "contract": spec.contract.to_dict(),
        "input_schema": input_schema(spec),
        "output_schema": output_schema(spec),
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
        "returns": f"{spec.returns}, of the type {spec.result}",
        "effects": " ".join(sorted(spec.effects)),
        **_contract_rows(spec.contract),
        "also called": ", ".join(aliases),
        "grant": " ".join(grants(spec)),
        "example": example(spec),
    }
    for title, text in rows.items():
        if text:
            echo(f"  {title:<11}  {text}")


_REPEATS: Final = {
    "retry": "freely: twice is the same as once",
    "keyed": "with the same key",
    "ask": "only when a person says so",
    "fail": "never",
}
_DEPENDS: Final = {
    "deterministic": "the arguments alone",
    "clock": "the time",
    "random": "chance",
    "external": "what is outside the run",
}
_CHANGES: Final = {
    "nothing": "nothing",
    "run": "only the run itself",
    "reads": "nothing; it looks at what is outside the run",
    "changes": "what is outside the run",
}
_UNITS: Final = {
    "egress_bytes": "bytes sent",
    "storage_bytes": "bytes stored",
    "model_tokens_count": "model tokens",
    "cost_microusd": "millionths of a dollar",
}


def _contract_rows(contract: Contract) -> dict[str, str]:
    figures = {name: value for name, value in contract.resources.to_dict().items() if value != 0}
    consumed = ", ".join(f"{'unknown' if value is None else value} {_UNITS[name]}" for name, value in figures.items())
    if contract.storage_parameter is not None:
        consumed = consumed.replace("unknown bytes stored", f"at most the bytes of {contract.storage_parameter} stored")
    return {
        "risk": contract.risk.label,
        "repeated": _REPEATS[contract.idempotency],
        "depends on": _DEPENDS[contract.determinism],
        "changes": _CHANGES[contract.impact],
        "consumes": consumed,
        "needs": ", ".join(sorted(contract.features)),
    }


def _what(kind: str) -> str:
    return {"read": "what is read", "write": "what is written", "environment": "a variable"}[kind]
