"""The prompt of `cloister repl` on a terminal: editing, colours, completion, history.

Owns everything that knows `prompt_toolkit`. Loaded only when somebody types.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.styles import Style

from cloister.cli.output import note
from cloister.cli.repl_loop import HELP, Conversation
from cloister.editor.assist import candidates, word_before
from cloister.editor.highlight import COLORS, RtfsLexer
from cloister.editor.scan import open_lists
from cloister.repl.session import is_incomplete

if TYPE_CHECKING:
    from cloister.editor.assist import Candidate

HISTORY_NAME: Final = "repl-history"
HISTORY_BYTES_MAX: Final = 1024 * 1024
COMPLETIONS_MAX: Final = 200

STYLE: Final = Style.from_dict(
    {"prompt": "ansicyan"}
    | {".".join(("pygments", *map(str.lower, kind))): f"ansi{color}" for kind, color in COLORS.items()}
)


class Prompt:
    """Asks for inputs.

    Args:
        conversation: What was defined is completed.
        home: Directory of the history; None keeps none.
    """

    def __init__(self, conversation: Conversation, home: Path | None) -> None:
        self._conversation = conversation
        self._session: PromptSession[str] = PromptSession(
            history=open_history(home),
            lexer=PygmentsLexer(RtfsLexer),
            completer=_Names(conversation),
            complete_while_typing=False,
            multiline=True,
            prompt_continuation=_continuation,
            key_bindings=_bindings(),
            style=STYLE,
            enable_suspend=True,
            include_default_pygments_style=False,
        )

    def ask(self) -> str:
        """Return the next input.

        Raises:
            EOFError: The user leaves.
            KeyboardInterrupt: The user drops what was typed.
        """
        return self._session.prompt([("class:prompt", f"rtfs[{self._conversation.number}]> ")])


def _continuation(width: int, line: int, wrapped: int) -> str:
    """Return what stands before the further lines of an input."""
    del line, wrapped
    return "." * (width - 1) + " "


def _bindings() -> KeyBindings:
    bindings = KeyBindings()

    @bindings.add("enter")
    def entered(event: KeyPressEvent) -> None:
        """Take the input when it is complete, else begin a line under the form that is open."""
        buffer = event.current_buffer
        text = buffer.text
        if not text.lstrip().startswith(",") and is_incomplete(text):
            buffer.insert_text("\n" + " " * indentation(text[: buffer.cursor_position]))
        else:
            buffer.validate_and_handle()

    @bindings.add("escape", "enter")
    def forced(event: KeyPressEvent) -> None:
        """Begin a line wherever the cursor is."""
        event.current_buffer.insert_text("\n")

    return bindings


def indentation(text: str) -> int:
    """Return the column at which a line after `text` begins: inside the innermost open list."""
    lists = open_lists(text, len(text))
    if not lists:
        return 0
    inner = lists[-1]
    column = inner.start - (text.rfind("\n", 0, inner.start) + 1)
    return column + (len(inner.opener) if inner.opener in {"[", "{"} else len(inner.opener) + 1)


class _Names(Completer):
    """Completes names of the language, of capabilities and of this conversation, and the commands."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Yield what the word before the cursor can become."""
        text, offset = document.text, document.cursor_position
        if text.lstrip().startswith(",") and " " not in document.text_before_cursor.strip():
            begun = document.text_before_cursor.strip()
            for command, what in HELP:
                name = command.split()[0]
                if name.startswith(begun):
                    yield Completion(name, start_position=-len(begun), display_meta=what)
            return
        word = word_before(text, offset)
        begun = word.text if word else ""
        for name in self._conversation.session.names():
            if name.startswith(begun) and begun:
                yield Completion(name, start_position=-len(begun), display_meta="defined here")
        for each in candidates(text, offset)[:COMPLETIONS_MAX]:
            if begun or each.kind == "capability":
                yield _completion(each, begun)


def _completion(candidate: Candidate, begun: str) -> Completion:
    return Completion(candidate.text, start_position=-len(begun), display_meta=candidate.signature)


def open_history(home: Path | None) -> History:
    """Return the history of a home directory, which is made when missing; one in memory when it cannot be kept.

    The file can be read by its owner only, and its older half is dropped when it has grown too large.
    """
    if home is None:
        return InMemoryHistory()
    path = home / HISTORY_NAME
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "r+b") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode):
                os.fchmod(file.fileno(), 0o600)
                if status.st_size > HISTORY_BYTES_MAX:
                    _drop_older_half(file)
                return FileHistory(path)
        problem = f"{path} is not a regular file"
    except OSError as error:
        problem = str(error)
    note(f"history is not kept: {problem}")
    return InMemoryHistory()


def _drop_older_half(file: BinaryIO) -> None:
    file.seek(-HISTORY_BYTES_MAX // 2, os.SEEK_END)
    kept = file.read()
    file.seek(0)
    file.write(kept[kept.find(b"\n\n# ") + 1 :])
    file.truncate()
