"""Which interpreter in a machine runs a script.

Owns that choice. What is there is decided by the image; one that is missing is named with the package that has it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Final

from cloister.errors import CloisterError, ProviderUnavailable, quoted
from cloister.isolation.given import require_program, require_words
from cloister.isolation.process import outcome
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


NOT_IN_IMAGE: Final = (
    "inside are the programs of the image and granted paths, not those of the host: build an image that has it, "
    "for example `cloister image build --kind vm --name tools --package dash --package coreutils`, "
    "and choose that with --machine image=tools"
)


@contextlib.contextmanager
def explaining() -> Iterator[None]:
    """Say of a program that is not found in here what that means in a machine."""
    try:
        yield
    except CloisterError as error:
        if error.hint == outcome.INVISIBLE:
            error.hint = NOT_IN_IMAGE
        raise


def missing(program: str) -> ProviderUnavailable:
    """Return the error for an interpreter that is not in the image."""
    package = PACKAGES.get(program)
    wanted = f"--package {package}" if package else f"the package that has {quoted(program)}"
    return ProviderUnavailable(
        f'the script needs the interpreter "{quoted(program)}", which is not in the image of the virtual machine',
        code="provider.interpreter",
        hint=f"build an image that has it: cloister image build --kind vm {wanted}",
    )
