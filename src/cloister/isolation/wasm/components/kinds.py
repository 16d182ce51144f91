"""Types of the component model, as data of our own.

Owns what is made of wasmtime's objects for types, once for each component, and the one text by which types are
compared. The types are those a component says it has: anybody's, and as deep as wasmtime lets them be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.isolation.wasm.binding import binding
from cloister.isolation.wasm.engine import not_a_module
from cloister.isolation.wasm.outline import too_large

DEPTH_MAX: Final = 64
SIZE_MAX: Final = 500_000
"""Of all types of one component, in characters of their names and `PART_SIZE` for each of their parts. A type that is
used often counts each time."""
PART_SIZE: Final = 16
COMPARISONS_PER_SIZE: Final = 4
"""How many comparisons of resources count as one character."""

_PLAIN: Final = {
    "Bool": "bool", "S8": "s8", "S16": "s16", "S32": "s32", "S64": "s64", "U8": "u8", "U16": "u16", "U32": "u32",
    "U64": "u64", "F32": "f32", "F64": "f64", "Char": "char", "String": "string",
}  # fmt: skip
"""wasmtime's classes of types without parts, to the names that WIT has."""
_OTHERS: Final = {"ComponentType": "component", "ModuleType": "module", "ComponentInstanceType": "instance"}
"""wasmtime's classes of what else an interface may have."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of values.

    Attributes:
        name: `bool`, `s8` and so on to `f64`, `char`, `string`, `list`, `record`, `tuple`, `variant`, `enum`, `option`,
            `result`, `flags`, `own`, `borrow`; another word is one that no value here has.
        parts: Name and type of fields, cases, elements and payloads, `ok` and `err` of a result; None where there is no
            payload.
        resource: Of `own` and `borrow`: what the component imports it as; empty when it imports none such.
        named: The parts by name. Made once: a value with many cases asks for one of thousands each time.
    """

    name: str
    parts: tuple[tuple[str, Kind | None], ...] = ()
    resource: str = ""
    named: Mapping[str, Kind | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "named", dict(self.parts))

    def __str__(self) -> str:
        texts = ["_" if part is None else str(part) for _, part in self.parts]
        match self.name:
            case "list" | "option" | "tuple" | "result":
                return f"{self.name}<{','.join(texts)}>"
            case "record" | "variant" | "enum" | "flags":
                fields = (
                    name if part is None else f"{name}:{text}"
                    for (name, part), text in zip(self.parts, texts, strict=True)
                )
                return f"{self.name}{{{','.join(fields)}}}"
            case "own" | "borrow":
                return f"{self.name}<{self.resource or '?'}>"
        return self.name

    @property
    def payload(self) -> Kind:
        """What a list or option is of."""
        (part,) = self.parts
        if part[1] is None:
            raise TypeError(f"{self.name} is of nothing")
        return part[1]


@dataclass(frozen=True, slots=True)
class Signature:
    """Types of a function.

    Attributes:
        parameters: Name and type of each.
        result: What it returns; None for nothing.
    """

    parameters: tuple[tuple[str, Kind], ...]
    result: Kind | None

    def __str__(self) -> str:
        given = ",".join(str(kind) for _, kind in self.parameters)
        return f"({given})" + ("" if self.result is None else f"->{self.result}")


Interface = Mapping[str, Signature]
"""Functions by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What a component imports and exports.

    Attributes:
        imports: Functions by interface and name.
        resources: Names of the resources that each imported interface has.
        others: What an imported interface has that is neither function, resource nor type: interface, name and kind.
        functions: Functions that it exports itself.
        interfaces: Functions of the interfaces that it exports.
    """

    imports: Mapping[str, Interface]
    resources: Mapping[str, tuple[str, ...]]
    others: tuple[tuple[str, str, str], ...]
    functions: Interface
    interfaces: Mapping[str, Interface]


def world_of(component: Any, engine: Any) -> World:
    """Return what a component imports and exports.

    Args:
        component: wasmtime's.
        engine: wasmtime's, that compiled it.

    Raises:
        InputError: `input.wasm-large`: its types are deeper or more than anybody wants to know; `input.wasm`: it has
            types that are switched off.
    """
    api, kind_of = binding().components, _Reader()
    shape = component.type
    imported = {
        name: kind_of.items(extern.ty, engine, "exports")
        for name, extern in kind_of.items(shape, engine, "imports").items()
        if isinstance(extern.ty, api.ComponentInstanceType)
    }
    resources: dict[str, tuple[str, ...]] = {}
    for name, items in imported.items():
        found = [(each, item.ty) for each, item in items.items() if isinstance(item.ty, api.ResourceType)]
        resources[name] = tuple(each for each, _ in found)
        kind_of.know(found)
    exported = kind_of.items(shape, engine, "exports")
    nested = {
        name: kind_of.items(item.ty, engine, "exports")
        for name, item in exported.items()
        if isinstance(item.ty, api.ComponentInstanceType)
    }
    return World(
        imports={name: kind_of.functions(items) for name, items in imported.items()},
        resources=resources,
        others=tuple(
            (interface, name, kind)
            for interface, items in imported.items()
            for name, item in items.items()
            if (kind := _OTHERS.get(type(item.ty).__name__)) is not None
        ),
        functions=kind_of.functions(exported),
        interfaces={name: kind_of.functions(items) for name, items in nested.items()},
    )


class _Reader:
    """Makes types of wasmtime's objects, and counts them."""

    def __init__(self) -> None:
        self._resources: list[tuple[str, Any]] = []
        self._left = SIZE_MAX
        api = binding().components
        self._makers: dict[Any, Callable[[Any], Iterable[tuple[str, Any]]]] = {
            api.ListType: lambda kind: [("", kind.element)],
            api.RecordType: lambda kind: kind.fields,
            api.TupleType: lambda kind: [("", each) for each in kind.elements],
            api.VariantType: lambda kind: kind.cases,
            api.EnumType: lambda kind: [(kind.name(place), None) for place in range(kind.names_count)],
            api.OptionType: lambda kind: [("", kind.payload)],
            api.ResultType: lambda kind: [("ok", kind.ok), ("err", kind.err)],
            api.FlagsType: lambda kind: [(name, None) for name in kind.names],
        }

    def charge(self, size: int) -> None:
        """Count what is about to be made.

        Raises:
            InputError: `input.wasm-large`.
        """
        self._left -= size
        if self._left < 0:
            raise too_large(f"its types have more than {SIZE_MAX} characters")

    def items(self, shape: Any, engine: Any, what: str) -> Mapping[str, Any]:
        """Return what a component or interface imports or exports, by name.

        Args:
            shape: wasmtime's type of it.
            engine: wasmtime's.
            what: `imports` or `exports`.
        """
        ffi, api = binding().ffi, binding().components
        of = "component" if isinstance(shape, api.ComponentType) else "component_instance"
        count = getattr(ffi, f"wasmtime_{of}_type_{what.removesuffix('s')}_count")(shape.ptr(), engine.ptr())
        self.charge(count * 4 * PART_SIZE)
        found: Mapping[str, Any] = getattr(shape, what)(engine)
        return found

    def know(self, resources: Iterable[tuple[str, Any]]) -> None:
        """Remember the names of resources."""
        self._resources += resources

    def functions(self, items: Mapping[str, Any]) -> Interface:
        """Return the functions among what there is under names."""
        kind = binding().components.FuncType
        return {name: self._signature(item.ty) for name, item in items.items() if isinstance(item.ty, kind)}

    def _signature(self, function: Any) -> Signature:
        self.charge(sum(len(name) + PART_SIZE for name, _ in function.params))
        result = function.result
        return Signature(
            parameters=tuple((name, self._kind(kind, 0)) for name, kind in function.params),
            result=None if result is None else self._kind(result, 0),
        )

    def _kind(self, kind: Any, depth: int) -> Kind:
        self.charge(PART_SIZE)
        if depth > DEPTH_MAX:
            raise too_large(f"its types are deeper than {DEPTH_MAX}")
        name = type(kind).__name__
        if name in _PLAIN:
            return Kind(_PLAIN[name])
        if name in {"OwnType", "BorrowType"}:
            return Kind(name.removesuffix("Type").lower(), resource=self._resource(kind.ty))
        maker = self._makers.get(type(kind))
        if maker is None:
            raise not_a_module(f"values of the type {name} are switched off")
        made = list(maker(kind))
        self.charge(sum(len(each) + PART_SIZE for each, _ in made))
        parts = tuple((each, None if part is None else self._kind(part, depth + 1)) for each, part in made)
        return Kind(name.removesuffix("Type").lower(), parts)

    def _resource(self, resource: Any) -> str:
        """Return the name that a resource is imported by first. Cost: one comparison for each that comes before."""
        for place, (name, known) in enumerate(self._resources):
            if known == resource:
                self.charge(place // COMPARISONS_PER_SIZE)
                return name
        self.charge(len(self._resources) // COMPARISONS_PER_SIZE)
        return ""
