"""One conversation of `cloister repl`: what an input means and what is shown for it.

Owns the commands that begin with a comma, `(doc name)`, and the way results are printed. It knows nothing of terminals
and key strokes; those are `repl_prompt`'s.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cloister.cli.doc import entry_text, require
from cloister.cli.limits import DEFAULTS, value_text
from cloister.cli.output import echo, note
from cloister.cli.progress import duration_text, for_terminal
from cloister.editor.scan import definitions
from cloister.errors import CloisterError, InputError, quoted
from cloister.lang.formatter.format import format_text
from cloister.lang.modules import ModuleLoader
from cloister.lang.printer import to_text
from cloister.lang.values import Value
from cloister.limits import ResourceLimits
from cloister.repl.input import Kept
from cloister.repl.session import Answer, Executor, Session

RESULT_CHARS_MAX: Final = 20_000
HIGHLIGHTED_CHARS_MAX: Final = 5_000
_DOC: Final = re.compile(r"\(\s*doc\s+'?([^\s()\[\]{}\"]+)\s*\)")

HELP: Final = (
    (",help", "this list"),
    (",doc NAME", "documentation of a function, a form, or what was defined here; also (doc NAME)"),
    (",defs", "what was defined here"),
    (",forget NAME", "take a definition away"),
    (",load FILE", "evaluate a file as one input"),
    (",time EXPR", "evaluate, and show time and steps"),
    (",limits", "the limits of each input"),
    (",quit", "leave; Ctrl-D does too"),
)


class Conversation:
    """The state of one conversation.

    Args:
        limits: Bounds of each input's run.
        execute: Runs what calls capabilities; None refuses every call.
        modules: Where the modules come from that inputs import.

    Attributes:
        session: What was defined.
        number: Of the next input.
    """

    def __init__(self, limits: ResourceLimits, execute: Executor | None, modules: ModuleLoader | None = None) -> None:
        self.session = Session(limits, execute, modules)
        self.number = 1
        self._limits = limits
        self._commands: dict[str, Callable[[str], None]] = {
            "help": self._help, "doc": self._doc, "defs": self._defs, "forget": self._forget, "load": self._load,
            "time": self._time, "limits": self._show_limits,
        }  # fmt: skip

    def answer(self, text: str) -> bool:
        """Answer an input on standard output; say whether the conversation goes on.

        Raises:
            CloisterError: What is wrong with the input, or what went wrong.
        """
        plain = text.strip()
        self.number += 1
        if plain.startswith(","):
            name, _, rest = plain[1:].partition(" ")
            return self._command(name.strip(), rest.strip())
        asked = _DOC.fullmatch(plain)
        if asked is not None and "doc" not in self.session.names():
            self._doc(asked[1])
        elif plain:
            self._show(self._evaluate(text))
        return True

    def _command(self, name: str, rest: str) -> bool:
        if name in {"quit", "q", "exit"}:
            return False
        command = self._commands.get(name)
        if command is None:
            raise InputError(
                f'there is no command ",{quoted(name, 30)}"',
                code="input.command",
                hint="the commands are " + " ".join(f",{known}" for known in (*self._commands, "quit")),
            )
        command(rest)
        return True

    def _evaluate(self, text: str, name: str | None = None) -> Answer:
        return self.session.evaluate(text, name or f"<input {self.number - 1}>")

    def _show(self, answer: Answer) -> None:
        if answer.ends_in_definition:
            note(_dim(f"defined {', '.join(answer.defined)}" if answer.defined else "done"))
        elif not answer.is_empty:
            echo(_shown(answer.value))
        if answer.lost:
            names = ", ".join(answer.lost)
            note(f"not kept: {names}; a function that calls made exists only while its input runs")

    def _help(self, rest: str) -> None:
        width = max(len(command) for command, _ in HELP)
        echo("\n".join(f"{command:<{width}}  {what}" for command, what in HELP))

    def _doc(self, name: str) -> None:
        if not name:
            raise InputError("whose documentation?", code="input.command", hint="for example ,doc reduce")
        kept = self.session.find(name)
        if kept is not None:
            echo(_own_doc(name, kept))
            return
        width = min(100, shutil.get_terminal_size((100, 24)).columns)
        echo(entry_text(require(name), width=width, colored=sys.stdout.isatty()))

    def _defs(self, rest: str) -> None:
        if not self.session.names():
            note("nothing is defined yet")
        for kept in self.session.kept:
            for name in kept.names:
                shown = to_text(kept.value, 60) if kept.has_value else " ".join(kept.text.split())
                echo(for_terminal(f"{name:<16}  {quoted(shown, 80)}"))

    def _forget(self, name: str) -> None:
        if not self.session.forget(name):
            raise InputError(f'"{quoted(name, 60)}" is not defined here', code="input.name", hint=",defs lists what is")
        note(_dim(f"forgot {name}"))

    def _load(self, path: str) -> None:
        from cloister.plan.loading import read_plan  # noqa: PLC0415

        if not path:
            raise InputError("which file?", code="input.command", hint="for example ,load plan.rtfs")
        text = read_plan(Path(path).expanduser())
        self._show(self._evaluate(text, path))

    def _time(self, text: str) -> None:
        if not text:
            raise InputError("evaluate what?", code="input.command", hint="for example ,time (reduce + (range 1000))")
        answer = self._evaluate(text)
        self._show(answer)
        steps = f", {answer.steps_count} steps" if answer.steps_count is not None else ", in a sandbox"
        note(_dim(f"{duration_text(answer.elapsed_ns // 1000)}{steps}"))

    def _show_limits(self, rest: str) -> None:
        values = self._limits.to_dict()
        width = max(len(name) for name in values)
        for name, value in values.items():
            changed = "" if value == DEFAULTS[name] else "  (changed)"
            echo(f"{name.replace('_', '-'):<{width}}  {value_text(name, value)}{changed}")
        note(_dim("set them with cloister repl --limit NAME=N, --timeout or --memory"))


def _own_doc(name: str, kept: Kept) -> str:
    found = next((each for each in definitions(kept.text) if each.name == name), None)
    if kept.has_value or found is None:
        return f"{name}\n\n  a value: {to_text(kept.value, 200)}" if kept.has_value else for_terminal(kept.text)
    return for_terminal(
        found.signature + (f"\n\n  {found.doc}" if found.doc else "") + f"\n\n  from {kept.source.name}"
    )


def _shown(value: Value) -> str:
    """Return a result as text: on a terminal in colours and over several lines, when it is not too long for that."""
    text = to_text(value, RESULT_CHARS_MAX)
    if not sys.stdout.isatty() or len(text) > HIGHLIGHTED_CHARS_MAX:
        return text
    from cloister.editor import highlight  # noqa: PLC0415

    return highlight.for_terminal(_laid_out(text))


def _laid_out(text: str) -> str:
    try:
        return format_text(text).rstrip("\n")
    except CloisterError:  # functions and errors have a text that only people can read
        return text


def _dim(text: str) -> str:
    return f"\x1b[90m{text}\x1b[0m" if sys.stderr.isatty() else text
