"""The first line of a script, read as the kernel reads it.

Owns which program that line names, and with which words before the script. `env` is looked through where its meaning is
plain, since it does nothing but find the program. The text is hostile and only this one line of it is read.

Source: fs/binfmt_script.c of Linux (load_script) and include/uapi/linux/binfmts.h (BINPRM_BUF_SIZE); for `-S` the
manual of env in GNU coreutils.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from cloister.errors import InputError

LINE_BYTES_MAX: Final = 255
"""The kernel reads 256 bytes of a file; of a longer line it would drop the end."""

_BLANKS: Final = " \t"
_SPLIT: Final = re.compile(r"(?:-S|--split-string=)[ \t]*+(?P<words>[^'\"\\$#]*)")
"""What `env` splits at blanks and nothing else: no quotes, escapes, variables or comments in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shebang:
    """What a first line asks for: this program, with these words, then the script and its own words.

    Attributes:
        program: A path, or a name to be looked up in PATH when `env` was to find it.
        options: At most one word, unless `env` was to split it.
    """

    program: str
    options: tuple[str, ...] = ()


def read_shebang(text: str) -> Shebang | None:
    """Return what the first line asks for; None when it names no interpreter.

    A carriage return at its end is dropped, which the kernel does not do: no program has one in its name.

    Raises:
        InputError: `input.shebang` when it is too long for the kernel, or holds a NUL.
    """
    line = text[: LINE_BYTES_MAX + 1].partition("\n")[0]
    if not line.startswith("#!"):
        return None
    if len(line.encode("utf-8", "surrogatepass")) > LINE_BYTES_MAX or "\0" in line:
        raise InputError(
            f"the first line of the script names an interpreter in more than {LINE_BYTES_MAX} bytes, or with a NUL",
            code="input.shebang",
            hint="shorten it, or name the language of the script",
        )
    words = re.split(r"[ \t]+", line[2:].rstrip(_BLANKS + "\r").lstrip(_BLANKS), maxsplit=1)
    if not words[0]:
        return None
    plain = Shebang(program=words[0], options=tuple(words[1:]))
    return _found_by_env(plain) or plain


def _found_by_env(shebang: Shebang) -> Shebang | None:
    """Return what `env` would start; None when it is not `env`, or does more than look a program up."""
    if PurePosixPath(shebang.program).name != "env" or not shebang.options:
        return None
    (word,) = shebang.options
    split = _SPLIT.fullmatch(word)
    program, *options = (split["words"].split() if split else [word]) or [""]
    # Options of env, assignments, and blanks that only -S would have split at
    if not program or program.startswith("-") or "=" in program or re.search(r"\s", program):
        return None
    return Shebang(program=program, options=tuple(options))
