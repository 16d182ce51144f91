"""Capabilities without effects: arithmetic, text and JSON.

Owns `ccos.math.*`, `ccos.string.*`, `ccos.data.*` and `ccos.echo`. They compute in the host process on values that were
already checked, with the language's own functions, so that a capability and a builtin of one name agree.
"""

from __future__ import annotations

from typing import Final

from cloister.authority.capability import CapabilitySpec, Parameter, ParameterType
from cloister.capabilities.capability import Capability, Invocation
from cloister.capabilities.contracts import COMPUTES
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import Value


def _pure(
    identifier: str,
    summary: str,
    builtin: str,
    parameters: tuple[Parameter, ...],
    *,
    returns: str,
    result: str = ":any",
    variadic: bool = False,
    aliases: tuple[str, ...] = (),
) -> Capability:
    function = BUILTINS[builtin]

    def run(call: Invocation) -> Value:
        given = [call.arguments[parameter.name] for parameter in parameters if parameter.name in call.arguments]
        return function(*given[0]) if variadic else function(*given)

    spec = CapabilitySpec(
        id=identifier,
        summary=summary,
        parameters=parameters,
        returns=returns,
        result=result,
        effects=frozenset({":compute"}),
        contract=COMPUTES,
        variadic=variadic,
    )
    return Capability(spec=spec, run=run, aliases=aliases)


_NUMBERS: Final = Parameter(name="numbers", type=ParameterType.NUMBER, doc="Numbers to add.")
_PARTS: Final = Parameter(name="parts", type=ParameterType.ANY, doc="Values to join.")
_VALUE: Final = Parameter(name="value", type=ParameterType.ANY, doc="The value to write.")
_JSON: Final = Parameter(name="text", type=ParameterType.TEXT, doc="JSON text.")

PURE_CAPABILITIES: Final = (
    _pure("ccos.math.add", "Add numbers.", "+", (_NUMBERS,), returns="number", result=":number", variadic=True),
    _pure(
        "ccos.string.concat",
        "Join values as one text.",
        "str",
        (_PARTS,),
        returns="text",
        result=":string",
        variadic=True,
    ),
    _pure("ccos.echo", "Return the value it is given.", "identity", (_VALUE,), returns="any"),
    _pure(
        "ccos.data.parse-json",
        "Read JSON text; objects become maps with text keys.",
        "parse-json",
        (_JSON,),
        returns="any",
        aliases=("ccos.json.parse",),
    ),
    _pure(
        "ccos.data.serialize-json",
        "Write a value as JSON text.",
        "serialize-json",
        (_VALUE,),
        returns="text",
        result=":string",
        aliases=("ccos.json.stringify",),
    ),
    _pure(
        "ccos.data.serialize-json-pretty",
        "Write a value as indented JSON text.",
        "serialize-json-pretty",
        (_VALUE,),
        returns="text",
        result=":string",
        aliases=("ccos.json.stringify-pretty",),
    ),
)
