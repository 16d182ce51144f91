"""What can be run: the closed union of programs.

Owns the classes. Each says what is run and with which words; where it may run is decided by whoever runs it: plans run
in every provider, compiled plans without text where core is run, executables where there is a kernel or WebAssembly to
run them, and native functions nowhere but in this process. What is in them is not trusted, native functions apart.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from cloister.isolation.provider import ExternalProgram
from cloister.lang import core
from cloister.lang.forms import Form


@dataclass(frozen=True, slots=True, kw_only=True)
class RtfsSource:
    """The text of a plan.

    Attributes:
        text: All of it.
        name: What errors call it.
    """

    text: str
    name: str = "<plan>"


@dataclass(frozen=True, slots=True, kw_only=True)
class RtfsAst:
    """A plan that was read already.

    Attributes:
        tree: Its top-level forms, in order, which become text again; or its core, which has none, so that it runs only
            where core is run.
        name: What errors call it.
    """

    tree: tuple[Form, ...] | core.Node
    name: str = "<ast>"


@dataclass(frozen=True, slots=True, kw_only=True)
class RtfsBytecode:
    """A plan that was compiled to WebAssembly by `cloister compile`.

    Attributes:
        data: The bytes of the file.
    """

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeFunction:
    """A function of the embedding program. It runs in this process, with everything this process may do.

    Attributes:
        function: What is called.
        name: What errors and the record call it.
        arguments: Data, as plans have it.
    """

    function: Callable[..., Any]
    name: str
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptProgram:
    """A script; see `Runtime.execute_script`.

    Attributes:
        text: All of it.
        language: What runs it; None to detect that.
        name: What errors and the record call it; None for no name.
        argv: Words for it.
        arguments: Data it finds on standard input as JSON; None for none.
        stdin: Bytes for standard input, in place of `arguments`.
    """

    text: str
    language: str | None = None
    name: str | None = None
    argv: tuple[str, ...] = ()
    arguments: Any = None
    stdin: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Binary:
    """An executable as its bytes: of this machine's format, or WebAssembly.

    Attributes:
        data: All of it.
        argv: Words for it, after its own name.
        stdin: Bytes for standard input.
    """

    data: bytes
    argv: tuple[str, ...] = ()
    stdin: bytes = b""


PlanVariant: TypeAlias = RtfsSource | RtfsAst | RtfsBytecode
"""Those that are plans."""

ProgramVariant: TypeAlias = PlanVariant | NativeFunction | ExternalProgram | ScriptProgram | Binary
"""Everything that can be run."""
