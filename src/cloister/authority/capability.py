"""What a capability is to the authority: its parameters, its effects, and which arguments name places.

Owns the specification and the binding of a call's arguments to parameters. Arguments come from a plan and are not
trusted; a specification comes from the program and is checked when it is made. Must not do what a capability does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from cloister.authority.contract import Contract
from cloister.authority.effect import effect_label
from cloister.authority.permission import IMPLIED, Permission
from cloister.errors import CloisterError, ConfigError, GuestError, quoted
from cloister.lang.effects import UNKNOWN
from cloister.lang.types.check import Accepts, make_accepts
from cloister.lang.types.expression import PRIMITIVES, Kind, Type
from cloister.lang.types.parse import parse_type_text
from cloister.lang.types.problem import problem
from cloister.lang.values import Keyword, Map, Value, type_name


class ParameterType(StrEnum):
    """What a parameter takes, in a word. A boolean is never a number, and an integer is a number."""

    TEXT = "text"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    MAP = "map"
    VECTOR = "vector"
    ANY = "any"


_TYPES: Final[Mapping[ParameterType, Type]] = MappingProxyType(
    {
        ParameterType.TEXT: PRIMITIVES[Kind.STRING],
        ParameterType.INTEGER: PRIMITIVES[Kind.INT],
        ParameterType.NUMBER: PRIMITIVES[Kind.NUMBER],
        ParameterType.BOOLEAN: PRIMITIVES[Kind.BOOL],
        ParameterType.MAP: PRIMITIVES[Kind.MAP],
        ParameterType.VECTOR: PRIMITIVES[Kind.VECTOR],
        ParameterType.ANY: PRIMITIVES[Kind.ANY],
    }
)


class AccessKind(StrEnum):
    """What an argument names."""

    READ = "read"
    """A path that is read."""
    WRITE = "write"
    """A path that is written."""
    ENVIRONMENT = "environment"
    """An environment variable."""
    NETWORK = "network"
    """A URL that is asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """One parameter.

    Attributes:
        name: As a plan writes it in a map, without colon.
        type: What it takes.
        required: Whether it must be given.
        doc: One sentence for `explain`.
        schema: What it takes more precisely, as the text of a type such as `[:vector :string]`; empty when `type` says
            it all.
        expected: The type a value must have.

    Raises:
        ConfigError: `config.capability` when `schema` is no type.
    """

    name: str
    type: ParameterType
    required: bool = True
    doc: str = ""
    schema: str = ""
    expected: Type = field(init=False, repr=False, compare=False)
    _accepts: Accepts = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Make the test of its type once."""
        expected = read_schema(self.schema, f"parameter {self.name}") if self.schema else _TYPES[self.type]
        object.__setattr__(self, "expected", expected)
        object.__setattr__(self, "_accepts", make_accepts(expected))

    def accepts(self, value: Value) -> bool:
        """Return whether a value has the parameter's type."""
        return self._accepts(value)


def read_schema(text: str, subject: str) -> Type:
    """Return the type that a schema of a capability describes.

    Args:
        text: The type as RTFS text; a `?` after it takes nil too.
        subject: What it is the schema of, for the message.

    Raises:
        ConfigError: `config.capability` when it is no type.
    """
    try:
        return parse_type_text(text)
    except CloisterError as error:
        message = f'the schema "{quoted(text)}" of {quoted(subject)} is no type: {error.message}'
        raise ConfigError(message, code="config.capability", hint=error.hint) from error


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Which bound argument names a path, variable or URL.

    Attributes:
        parameter: Name of a `text` parameter, or of a `vector` parameter holding texts.
        kind: What it names.
        method: For a URL, how it is asked when no argument says so, for example `GET`; empty when that is not known.
        method_parameter: For a URL, the parameter that says how it is asked, a text or keyword; empty when none does.
    """

    parameter: str
    kind: AccessKind
    method: str = ""
    method_parameter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilitySpec:
    """How a capability is called and what it asks for.

    Attributes:
        id: Canonical identifier, for example `ccos.io.read-file`.
        summary: One sentence for people.
        parameters: In positional order; optional ones last.
        returns: What it returns, in words.
        result: The type of what it returns, as text; every result is checked before a plan sees it.
        effects: Labels of `EffectLabel`, at least one; old spellings are mapped.
        contract: Whether it may be repeated, what it changes, and what it costs.
        permission: One of `Permission`, or None when nothing is done in a sandbox.
        access: Which arguments name paths and variables.
        variadic: Whether the last parameter takes all remaining arguments, as a vector whose items have its type.
        permissions: What a decision carries: the id, the permission, and what that implies.

    Raises:
        ConfigError: `config.capability` or `config.effect` when it contradicts itself or uses unknown words.
    """

    id: str
    summary: str
    parameters: tuple[Parameter, ...] = ()
    returns: str
    result: str = ":any"
    effects: frozenset[str]
    contract: Contract
    permission: str | None = None
    access: tuple[Access, ...] = ()
    variadic: bool = False
    permissions: frozenset[str] = field(init=False, default=frozenset())
    _result: Type = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse a specification that would be decided on wrongly."""
        if not self.effects:
            # An empty set would read as harmless; a capability that only computes says :compute
            raise self._misshapen("has no effects; one that only computes says :compute")
        object.__setattr__(self, "effects", frozenset(effect_label(effect).value for effect in self.effects))
        names = [parameter.name for parameter in self.parameters]
        if len(set(names)) != len(names):
            raise self._misshapen("has two parameters of one name")
        required = [parameter.required for parameter in self.parameters]
        if required != sorted(required, reverse=True):
            raise self._misshapen("has a required parameter after an optional one")
        if self.variadic and not self.parameters:
            raise self._misshapen("is variadic but has no parameter")
        for access in self.access:
            self._check_access(access)
        self._check_contract()
        object.__setattr__(self, "permissions", self._carried())
        object.__setattr__(self, "_result", read_schema(self.result, f"the result of {self.id}"))

    @property
    def result_type(self) -> Type:
        """The type every result must have."""
        return self._result

    def bind(self, arguments: Sequence[Value], *, partly: bool = False) -> dict[str, Value]:
        """Give a call's arguments to the parameters.

        Arguments are taken in order, or from one map whose keyword or text keys name parameters. One map is read that
        way when the first parameter cannot take a map itself; when it can, only if at least two parameters are required
        and the map names all of these and nothing unknown, so that data never turns into arguments by its shape.

        Args:
            arguments: The call's values.
            partly: Take `UNKNOWN` for any value, and say only what is certain whatever stands in its place.

        Returns:
            Values by parameter name; absent optional ones, and optional ones given as nil, are missing.

        Raises:
            GuestError: `ArityMismatch`, `TypeError` or `InvalidArgument`, naming capability, parameter, what was
                expected and what came.
        """
        if partly and len(arguments) == 1 and arguments[0] is UNKNOWN:
            return {}  # it may be a map that names the parameters
        if len(arguments) == 1 and type(arguments[0]) is Map and self._is_named(arguments[0]):
            given = self._by_name(arguments[0])
        else:
            given = self._by_position(arguments)
        bound = {}
        for parameter in self.parameters:
            value = given.get(parameter.name)
            if value is None and (not parameter.required or parameter.name not in given):
                if parameter.required:
                    raise self._arity(f"parameter {parameter.name}", "nothing for it")
                continue
            if not (partly and holds_unknown(value)):
                self._check_value(parameter, value)
            bound[parameter.name] = value
        return bound

    def check_result(self, value: Value) -> Value:
        """Return what the capability returned, when it has the type it promises.

        Raises:
            GuestError: `TypeValidationError`, with the place in the value that is wrong.
        """
        wrong = problem(value, self._result)
        if wrong is None:
            return value
        raise GuestError(
            f"Type validation error: the result of {self.id}: {wrong}",
            kind="TypeValidationError",
            code="guest.result",
            hint=f"it promises {quoted(self.result)}; what it was given, or the capability itself, is not as expected",
        )

    def usage(self) -> str:
        """Return how it is called, for messages: `ccos.io.delete-file path [recursive]`."""
        words = [parameter.name if parameter.required else f"[{parameter.name}]" for parameter in self.parameters]
        return " ".join([self.id, *words]) + ("…" if self.variadic else "")

    def _misshapen(self, problem: str) -> ConfigError:
        return ConfigError(f'capability "{quoted(self.id)}" {problem}', code="config.capability")

    def _check_access(self, access: Access) -> None:
        types = {parameter.name: parameter.type for parameter in self.parameters}
        if types.get(access.parameter) not in {ParameterType.TEXT, ParameterType.VECTOR} or self.variadic:
            raise self._misshapen(f"declares access by {access.parameter}, which is no text or vector parameter")
        if access.method_parameter and access.method_parameter not in types:
            raise self._misshapen(f"takes the method from {access.method_parameter}, which is no parameter")

    def _check_contract(self) -> None:
        name = self.contract.storage_parameter
        texts = {parameter.name for parameter in self.parameters if parameter.type is ParameterType.TEXT}
        if name is not None and (name not in texts or self.variadic):
            raise self._misshapen(f"stores by {quoted(name)}, which is no text parameter")

    def _carried(self) -> frozenset[str]:
        if self.permission is None:
            if self.access:
                raise self._misshapen("names paths or variables but asks for no permission")
            return frozenset({self.id})
        try:
            return frozenset({self.id}) | IMPLIED[Permission(self.permission)]
        except ValueError:
            raise self._misshapen(f'asks for the unknown permission "{quoted(self.permission)}"') from None

    def _is_named(self, argument: Map) -> bool:
        if self.variadic or not self.parameters:
            return False
        first = self.parameters[0]
        if first.type not in {ParameterType.MAP, ParameterType.ANY}:
            return True
        names = {_key_name(key) for key in argument}
        required = {parameter.name for parameter in self.parameters if parameter.required}
        known = {parameter.name for parameter in self.parameters}
        return len(required) > 1 and required <= names <= known

    def _by_name(self, argument: Map) -> dict[str, Value]:
        known = [parameter.name for parameter in self.parameters]
        given: dict[str, Value] = {}
        for key, value in argument.items():
            name = _key_name(key)
            if name not in known or name in given:
                raise self._unknown_key(key, known, repeated=name in given)
            given[name] = value
        return given

    def _by_position(self, arguments: Sequence[Value]) -> dict[str, Value]:
        parameters = self.parameters
        if self.variadic:
            fixed = len(parameters) - 1
            given = {parameter.name: value for parameter, value in zip(parameters, arguments[:fixed], strict=False)}
            given[parameters[-1].name] = tuple(arguments[fixed:])
            return given
        if len(arguments) > len(parameters):
            raise self._arity(f"at most {len(parameters)} arguments", str(len(arguments)))
        return {parameter.name: value for parameter, value in zip(parameters, arguments, strict=False)}

    def _check_value(self, parameter: Parameter, value: Value) -> None:
        if self.variadic and parameter is self.parameters[-1]:
            for item in value:
                if not parameter.accepts(item):
                    raise self._type_error(parameter, item)
        elif not parameter.accepts(value):
            raise self._type_error(parameter, value)

    def _arity(self, expected: str, got: str) -> GuestError:
        return GuestError(
            f"Arity mismatch in {self.id}: expected {expected}, got {got}",
            kind="ArityMismatch",
            code="guest.arity",
            hint=f"call it as {self.usage()}",
        )

    def _type_error(self, parameter: Parameter, value: Value) -> GuestError:
        wrong = f"expected {parameter.type.value} for {parameter.name}, got {type_name(value)}"
        if parameter.schema:
            wrong = f"{parameter.name}: {problem(value, parameter.expected)}"
        return GuestError(
            f"Type error in {self.id}: {wrong}",
            kind="TypeError",
            code="guest.type",
            hint=f"call it as {self.usage()}",
        )

    def _unknown_key(self, key: Value, known: list[str], *, repeated: bool) -> GuestError:
        shown = quoted(str(key if isinstance(key, str) else repr(key)))
        if repeated:
            message, close = f"{self.id} was given {shown} twice", []
        else:
            message = f"{self.id} has no parameter {shown}; it has {', '.join(known)}"
            close = get_close_matches(_key_name(key)[:100], known, 1)
        hint = f"did you mean {close[0]}?" if close else f"call it as {self.usage()}"
        return GuestError(message, kind="InvalidArgument", code="guest.argument", hint=hint)


def holds_unknown(value: Value) -> bool:
    """Return whether a value, or anything inside it, is known only to the run."""
    pending = [value]
    while pending:
        item = pending.pop()
        if item is UNKNOWN:
            return True
        if isinstance(item, (tuple, Map)):
            pending.extend(item.values() if isinstance(item, Map) else item)
    return False


def _key_name(key: Value) -> str:
    """Return the parameter a map key names; for keys that cannot name one, a text no parameter has."""
    if isinstance(key, Keyword):
        return key.name
    return key if isinstance(key, str) else ""
