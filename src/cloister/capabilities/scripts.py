"""Capabilities that run scripts: `ccos.sandbox.python` and one for each other language.

Owns what a script is given and how its output becomes a value. A script sees its interpreter, a private temporary
directory, the paths the call itself names (each inside the grants), its arguments as JSON on standard input, and
nothing else: no network, no environment of the host, no other file.
"""

from __future__ import annotations

from typing import Final

from cloister.authority.capability import Access, AccessKind, CapabilitySpec, Parameter, ParameterType
from cloister.capabilities.capability import Capability, Invocation
from cloister.capabilities.contracts import EXECUTES
from cloister.capabilities.mounts import tree_mounts
from cloister.isolation.provider import ScriptLanguage, ScriptSource
from cloister.lang.transport import decode, encode
from cloister.lang.values import Value

SCRIPT_PERMISSION: Final = "execute.script"

_PARAMETERS: Final = (
    Parameter(name="code", type=ParameterType.TEXT, doc="The script."),
    Parameter(name="args", type=ParameterType.ANY, required=False, doc="JSON for its standard input; nil if absent."),
    Parameter(
        name="read",
        type=ParameterType.VECTOR,
        schema="[:vector :string]",
        required=False,
        doc="Granted paths it may read.",
    ),
    Parameter(
        name="write",
        type=ParameterType.VECTOR,
        schema="[:vector :string]",
        required=False,
        doc="Granted paths it may read and write.",
    ),
    Parameter(name="timeout-ms", type=ParameterType.INTEGER, required=False, doc="A time limit below the run's."),
    Parameter(name="memory-mib", type=ParameterType.INTEGER, required=False, doc="A memory limit below the run's."),
)


def _runner(language: ScriptLanguage, call: Invocation) -> Value:
    memory_mib = call.arguments.get("memory-mib")
    workload = ScriptSource(
        language=language, source=call.arguments["code"], arguments=encode(call.arguments.get("args"))
    )
    result = call.sandbox.execute(
        workload,
        mounts=tree_mounts(call.decision.read_paths, call.decision.write_paths),
        wall_ms=call.arguments.get("timeout-ms"),
        memory_bytes=None if memory_mib is None else memory_mib * 1024 * 1024,
    )
    return decode(result.value)


def _script(language: ScriptLanguage, words: str) -> Capability:
    spec = CapabilitySpec(
        id=f"ccos.sandbox.{language.value}",
        summary=f"Run {words} in a sandbox; its standard output is the result, as JSON if it is JSON, else as text.",
        parameters=_PARAMETERS,
        returns="any",
        effects=frozenset({":process"}),
        contract=EXECUTES,
        permission=SCRIPT_PERMISSION,
        access=(Access(parameter="read", kind=AccessKind.READ), Access(parameter="write", kind=AccessKind.WRITE)),
    )
    return Capability(spec=spec, run=lambda call: _runner(language, call))


SCRIPT_CAPABILITIES: Final = (
    _script(ScriptLanguage.PYTHON, "a Python script"),
    _script(ScriptLanguage.SHELL, "a POSIX shell script"),
    _script(ScriptLanguage.JAVASCRIPT, "a JavaScript script"),
    _script(ScriptLanguage.RUBY, "a Ruby script"),
    _script(ScriptLanguage.LUA, "a Lua script"),
)
