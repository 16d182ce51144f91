"""Interpreters that are WebAssembly themselves.

Owns finding one for a language; there is none in this version. One that is found is a module with words and mounts of
its own, and is run as `programs.run_module` runs any command.
"""

from __future__ import annotations

from typing import NoReturn

from cloister.errors import ProviderUnavailable, quoted
from cloister.isolation.provider import CustomInterpreter, ScriptLanguage


def interpreter_for(language: ScriptLanguage | CustomInterpreter) -> NoReturn:
    """Find the interpreter of a language.

    Raises:
        ProviderUnavailable: `provider.interpreter`: there is none that is WebAssembly.
    """
    name = language.program if isinstance(language, CustomInterpreter) else language.value
    raise ProviderUnavailable(
        f"the provider wasm has no interpreter for {quoted(name, 60)}",
        code="provider.interpreter",
        hint="run the script with --provider process, or compile it to a WebAssembly command",
    )
