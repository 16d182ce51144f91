"""Types of the language as JSON Schema.

Owns the translation of a type to a schema (draft 2020-12) and of a specification's parameters to the schema of one
object. A schema says what JSON the data has that stands for a value: keywords and symbols are texts there, and a map
has text keys. Where JSON Schema cannot say what a type says, the schema accepts more, never less; the call itself is
still checked against the type.

Source: JSON Schema Core and Validation, draft 2020-12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from cloister.authority.capability import CapabilitySpec
from cloister.lang.types.expression import (
    Array,
    Declaration,
    Enum,
    Exactly,
    Function,
    Intersection,
    Kind,
    Literal,
    MapOf,
    Named,
    Optional,
    Predicate,
    Primitive,
    Record,
    Refinement,
    Resource,
    Tuple,
    Type,
    Union,
    Vector,
)
from cloister.lang.values import Keyword, Map, Symbol, Value

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

Schema: TypeAlias = "dict[str, Any] | bool"

_PRIMITIVES: Final[Mapping[Kind, Mapping[str, Any]]] = MappingProxyType(
    {
        Kind.ANY: {},
        Kind.NIL: {"type": "null"},
        Kind.BOOL: {"type": "boolean"},
        Kind.INT: {"type": "integer"},
        Kind.FLOAT: {"type": "number"},
        Kind.NUMBER: {"type": "number"},
        Kind.STRING: {"type": "string"},
        Kind.KEYWORD: {"type": "string"},
        Kind.SYMBOL: {"type": "string"},
        Kind.MAP: {"type": "object"},
        Kind.VECTOR: {"type": "array"},
    }
)
"""Types that JSON has no value of are not here: nothing is one of them."""


def input_schema(spec: CapabilitySpec) -> dict[str, Any]:
    """Return the schema of a call's arguments as one object with the names of the parameters."""
    properties: dict[str, Any] = {}
    writer = _Writer()
    for index, parameter in enumerate(spec.parameters):
        schema = writer.schema(parameter.expected)
        if spec.variadic and index == len(spec.parameters) - 1:
            schema = {"type": "array", "items": schema}
        elif not parameter.required:
            schema = _either([schema, {"type": "null"}])
        described = {"description": parameter.doc} if parameter.doc else {}
        properties[parameter.name] = described | (schema if isinstance(schema, dict) else {"not": {}})
    required = [parameter.name for parameter in spec.parameters if parameter.required]
    if spec.variadic:
        required = required[:-1]
    return writer.whole(
        {"type": "object", "properties": properties, "required": required, "additionalProperties": False}
    )


def output_schema(spec: CapabilitySpec) -> dict[str, Any]:
    """Return the schema of what a call gives."""
    return type_schema(spec.result_type)


def type_schema(type_: Type) -> dict[str, Any]:
    """Return the schema of one type, with the dialect it is written in."""
    writer = _Writer()
    schema = writer.schema(type_)
    return writer.whole(schema if isinstance(schema, dict) else {"not": {}})


class _Writer:
    """One schema in the making: declared types are written once, under `$defs`."""

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._definitions: dict[str, Schema] = {}

    def whole(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the schema with its dialect and the definitions it refers to."""
        definitions = {"$defs": self._definitions} if self._definitions else {}
        return {"$schema": DIALECT, **schema, **definitions}

    def schema(self, type_: Type) -> Schema:  # noqa: C901, PLR0912 - one case for each class of type
        """Return the schema of a type; False when JSON has no value of it."""
        match type_:
            case Primitive(kind=kind):
                return dict(_PRIMITIVES[kind]) if kind in _PRIMITIVES else False
            case Named(declaration=declaration):
                return self._reference(declaration)
            case Optional(inner=inner):
                return _either([self.schema(inner), {"type": "null"}])
            case Vector(item=item):
                return {"type": "array", "items": self.schema(item)}
            case Tuple(items=items):
                count = len(items)
                prefix = {"prefixItems": [self.schema(item) for item in items]} if items else {}
                return {"type": "array", **prefix, "minItems": count, "maxItems": count}
            case Array(item=item, shape=shape):
                return self._array(item, shape)
            case Record():
                return self._record(type_)
            case MapOf(value=value):
                return {"type": "object", "additionalProperties": self.schema(value)}
            case Union(members=members):
                return _either([self.schema(member) for member in members])
            case Intersection(members=members):
                return {"allOf": [self.schema(member) for member in members]}
            case Enum(literals=literals):
                return {"enum": [_plain(each) for each in literals]}
            case Literal(literal=value):
                return {"const": _plain(value)}
            case Refinement(base=base, predicates=predicates):
                return self._refined(base, predicates)
            case Function() | Resource():
                return False

    def _reference(self, declaration: Declaration) -> Schema:
        name = self._names.get(id(declaration))
        if name is None:
            name = declaration.name
            while name in self._definitions:
                name += "_"  # two scopes may declare one name
            self._names[id(declaration)] = name
            self._definitions[name] = True  # it may refer to itself
            if declaration.type is not None:
                self._definitions[name] = self.schema(declaration.type)
        return {"$ref": f"#/$defs/{name}"}

    def _array(self, item: Type, shape: tuple[int | None, ...]) -> Schema:
        schema = self.schema(item)
        for size in reversed(shape or (None,)):
            bounds = {} if size is None else {"minItems": size, "maxItems": size}
            schema = {"type": "array", "items": schema, **bounds}
        return schema

    def _record(self, record: Record) -> Schema:
        properties = {entry.key: self.schema(entry.type) for entry in record.entries}
        required = [
            entry.key for entry in record.entries if not entry.optional and not isinstance(entry.type, Optional)
        ]
        return {"type": "object", "properties": properties, **({"required": required} if required else {})}

    def _refined(self, base: Type, predicates: Iterable[Predicate]) -> Schema:
        schema = self.schema(base)
        if schema is False:
            return False
        said = [_PREDICATES[each.name](*each.arguments) for each in predicates if each.name in _PREDICATES]
        return {"allOf": [schema, *said]} if said else schema


def _either(schemas: list[Schema]) -> Schema:
    possible = [schema for schema in schemas if schema is not False]
    if {} in possible:
        return {}
    if len(possible) < 2:
        return possible[0] if possible else False
    return {"anyOf": possible}


def _plain(literal: Exactly) -> Any:
    return _json(literal.value)


def _json(value: Value) -> Any:
    if isinstance(value, (Keyword, Symbol)):
        return value.name
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    if isinstance(value, Map):
        return {str(_json(key)): _json(item) for key, item in value.items()}
    return value


def _bound(name: str) -> Callable[[Exactly], dict[str, Any]]:
    return lambda size: {name: size.value}


def _exactly(low: str, high: str) -> Callable[[Exactly], dict[str, Any]]:
    return lambda size: {low: size.value, high: size.value}


def _required(keys: Iterable[Value]) -> dict[str, Any]:
    return {"required": [_json(key) for key in keys]}


_PREDICATES: Final[Mapping[str, Callable[..., dict[str, Any]]]] = MappingProxyType(
    {
        ">": _bound("exclusiveMinimum"),
        "<": _bound("exclusiveMaximum"),
        ">=": _bound("minimum"),
        "<=": _bound("maximum"),
        "=": lambda wanted: {"const": _plain(wanted)},
        "!=": lambda wanted: {"not": {"const": _plain(wanted)}},
        "in-range": lambda low, high: {"minimum": low.value, "maximum": high.value},
        "min-length": _bound("minLength"),
        "max-length": _bound("maxLength"),
        "length": _exactly("minLength", "maxLength"),
        "min-count": _bound("minItems"),
        "max-count": _bound("maxItems"),
        "count": _exactly("minItems", "maxItems"),
        "has-key": lambda key: _required([key.value]),
        "required-keys": lambda keys: _required(keys.value),
        "is-url": lambda: {"format": "uri"},
        "is-email": lambda: {"format": "email"},
    }
)
"""What a predicate says in a schema. Regular expressions are left out: the two dialects do not mean the same."""
