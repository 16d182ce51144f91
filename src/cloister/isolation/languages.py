"""Which language a script is written in.

Owns that decision: an explicit choice, then the first line, then the file name, then cues of the text. Pure, and in
linear time, because the text is hostile and the host reads it. What it decides is which interpreter is started, never
what that may do: a wrong guess ends in a syntax error inside the sandbox.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import PurePosixPath
from typing import Final, NoReturn

from cloister.errors import InputError, quoted
from cloister.isolation.provider import CustomInterpreter, ScriptLanguage
from cloister.isolation.shebang import Shebang, read_shebang

RTFS: Final = "rtfs"
"""Detected like a language, and refused: a plan is run, not interpreted."""

_NAMES: Final[Mapping[str, ScriptLanguage | str]] = {
    **{language.value: language for language in ScriptLanguage},
    RTFS: RTFS,
    "py": ScriptLanguage.PYTHON,
    "python3": ScriptLanguage.PYTHON,
    "js": ScriptLanguage.JAVASCRIPT,
    "node": ScriptLanguage.JAVASCRIPT,
    "sh": ScriptLanguage.SHELL,
    "rb": ScriptLanguage.RUBY,
}
"""What users may call a language."""

_EXTENSIONS: Final[Mapping[str, ScriptLanguage | str]] = {
    ".py": ScriptLanguage.PYTHON,
    ".js": ScriptLanguage.JAVASCRIPT,
    ".mjs": ScriptLanguage.JAVASCRIPT,
    ".cjs": ScriptLanguage.JAVASCRIPT,
    ".sh": ScriptLanguage.SHELL,
    ".rb": ScriptLanguage.RUBY,
    ".lua": ScriptLanguage.LUA,
    ".rtfs": RTFS,
}

_PROGRAMS: Final = (
    # Another major version of Python or Lua is another language, so it is run as it is named
    (re.compile(r"python(?:3(?:\.\d+)?)?"), ScriptLanguage.PYTHON),
    (re.compile(r"node(?:js)?"), ScriptLanguage.JAVASCRIPT),
    (re.compile(r"sh"), ScriptLanguage.SHELL),
    (re.compile(r"ruby(?:\d+(?:\.\d+)*)?"), ScriptLanguage.RUBY),
    (re.compile(r"lua(?:5\.[3-9])?"), ScriptLanguage.LUA),
    (re.compile(r"rtfs|cloister"), RTFS),
)
"""Base names of interpreters. What is not here, bash and perl among them, is run as it is."""

_CUE_CHARS: Final = 64 * 1024
"""Cues are looked for in the beginning of a text; what tells a language stands there."""


def _cue(*lines: str) -> re.Pattern[str]:
    # Possessive, so that a run of blanks is not tried from each of its ends
    return re.compile("|".join(rf"^[ \t]*+(?:{line})" for line in lines), re.MULTILINE)


_CUES: Final = (
    (RTFS, (re.compile(r"\A(?:\s|;[^\n]*+(?:\n|\Z))*+\((?:call|def|defn|do|import|let|module|plan|step)\s"),)),
    (ScriptLanguage.RUBY, (_cue(r"puts[ (]"),)),
    (ScriptLanguage.RUBY, (_cue(r"def [^\n]*[^:\s][ \t]*$"), _cue(r"end[ \t]*$"))),
    (ScriptLanguage.LUA, (_cue(r"local function\b", r"local \w+(?:, *\w+)* = "),)),
    (ScriptLanguage.LUA, (_cue(r"function \w[\w.:]*+\([^\n){]*+\)[^\n{]*$"), _cue(r"end[ \t]*$"))),
    (
        ScriptLanguage.JAVASCRIPT,
        (
            re.compile(
                r"^[ \t]*+(?:export )?(?:(?:const|let) [\w${\[]|(?:async )?function\b[^\n{]*+\{)"
                r"""|^[ \t]*+import [\w*$ ,{}]*[{"']|\bconsole\.log\(|\brequire\(""",
                re.MULTILINE,
            ),
        ),
    ),
    (
        ScriptLanguage.PYTHON,
        (
            re.compile(
                r"^[ \t]*+(?:import \w|from [\w.]++ import |(?:async )?def [^\n]*:[ \t]*$)|\bprint\(", re.MULTILINE
            ),
        ),
    ),
    (ScriptLanguage.SHELL, (_cue(r"echo\b", r"export \w+=", r"set -[a-z]", r"(?:fi|done|esac)[ \t]*$"),)),
)
"""A language, and the patterns that must all be found; the first row that fits decides, so the order matters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Detected:
    """What a script is to be run with.

    Attributes:
        language: A language whose interpreter the provider finds, or an interpreter as the first line names it.
        options: Words for the interpreter, as the first line names them.
    """

    language: ScriptLanguage | CustomInterpreter
    options: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The language, or the program that stands for it."""
        return self.language.program if isinstance(self.language, CustomInterpreter) else self.language.value


def detect(text: str, *, name: str, chosen: str | None = None) -> Detected:
    """Return what a script is to be run with.

    A language that is chosen decides alone; the first line is a comment then, its options too.

    Args:
        text: The script.
        name: Its file name, or what errors call it.
        chosen: Name of the language; None to find it out.

    Raises:
        InputError: `input.language` when there is no such language, or nothing tells which it is; `input.shebang` for a
            first line that the kernel would refuse or cut; `input.language-rtfs` for a plan.
    """
    if chosen is not None:
        return Detected(language=_required(_named(chosen), name))
    shebang = read_shebang(text)
    if shebang is not None:
        return _interpreter(shebang, name)
    language = _EXTENSIONS.get(PurePosixPath(name).suffix.lower()) or _cued(text[:_CUE_CHARS])
    if language is None:
        raise InputError(
            f'nothing tells which language the script "{quoted(name)}" is written in',
            code="input.language",
            hint=f"name it (--lang), or begin the script with a line such as #!/usr/bin/env python3; "
            f"the languages are {', '.join(ScriptLanguage)}",
        )
    return Detected(language=_required(language, name))


def _named(chosen: str) -> ScriptLanguage | str:
    language = _NAMES.get(chosen.lower())
    if language is None:
        near = get_close_matches(chosen.lower(), _NAMES, n=1)
        raise InputError(
            f'there is no language "{quoted(chosen, 60)}"',
            code="input.language",
            hint=(f'did you mean "{near[0]}"? ' if near else "")
            + f"The languages are {', '.join(ScriptLanguage)}; the first line of a script can name any other "
            "interpreter, for example #!/usr/bin/perl",
        )
    return language


def _interpreter(shebang: Shebang, name: str) -> Detected:
    base = PurePosixPath(shebang.program).name
    for pattern, language in _PROGRAMS:
        if pattern.fullmatch(base):
            return Detected(language=_required(language, name), options=shebang.options)
    return Detected(language=CustomInterpreter(program=shebang.program), options=shebang.options)


def _cued(text: str) -> ScriptLanguage | str | None:
    return next((language for language, cues in _CUES if all(cue.search(text) for cue in cues)), None)


def _required(language: ScriptLanguage | str, name: str) -> ScriptLanguage:
    return language if isinstance(language, ScriptLanguage) else _refuse_rtfs(name)


def _refuse_rtfs(name: str) -> NoReturn:
    raise InputError(
        f'"{quoted(name)}" is RTFS: a plan is run under its grants, not by an interpreter',
        code="input.language-rtfs",
        hint="run it with `cloister run`, or Runtime.run in Python",
    )
