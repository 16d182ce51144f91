"""Which interpreter in a machine runs a script.

Owns that choice. What is there is decided by the image; one that is missing is named with the package that has it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloister.errors import ProviderUnavailable, quoted
from cloister.isolation.given import require_program, require_words
from cloister.isolation.process.spec import SCRIPT_PATH
from cloister.isolation.provider import CustomInterpreter, ScriptLanguage, ScriptSource

INTERPRETERS: Final[Mapping[ScriptLanguage, tuple[str, ...]]] = {
    ScriptLanguage.PYTHON: ("/usr/bin/python3", "-I"),
    ScriptLanguage.SHELL: ("/bin/sh",),
    ScriptLanguage.JAVASCRIPT: ("node",),
    ScriptLanguage.RUBY: ("ruby",),
    ScriptLanguage.LUA: ("lua5.4",),
}
PACKAGES: Final = {
    "/bin/sh": "dash",
    "node": "nodejs",
    "ruby": "ruby",
    "lua5.4": "lua5.4",
    "/usr/bin/python3": "python3",
}
"""Debian packages, by the program. Source: the package lists of Debian 12."""


def command_for(script: ScriptSource) -> tuple[str, ...]:
    """Return the interpreter of a script with all its words: options, the script, its arguments.

    Raises:
        ConfigError: `config.argv`: it cannot have these words.
    """
    require_words(script.options + script.argv)
    language = script.language
    found = (language.program,) if isinstance(language, CustomInterpreter) else INTERPRETERS[language]
    require_program(found)
    return (*found, *script.options, SCRIPT_PATH, *script.argv)


def missing(program: str) -> ProviderUnavailable:
    """Return the error for an interpreter that is not in the image."""
    package = PACKAGES.get(program)
    wanted = f"--package {package}" if package else f"the package that has {quoted(program)}"
    return ProviderUnavailable(
        f'the script needs the interpreter "{quoted(program)}", which is not in the image of the virtual machine',
        code="provider.interpreter",
        hint=f"build an image that has it: cloister image build --kind vm {wanted}",
    )
