"""`cloister doc`."""

from __future__ import annotations

import re
import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Annotated, Final

import typer

from cloister.cli import complete
from cloister.cli.options import JsonOption
from cloister.cli.output import echo, echo_json, reporting
from cloister.cli.progress import paint

if TYPE_CHECKING:
    from cloister.editor.words import Entry
    from cloister.errors import CloisterError

WIDTH_MAX: Final = 100


def doc(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME...]",
            help="Functions or forms, for example reduce or let.",
            show_default=False,
            autocompletion=complete.words,
        ),
    ] = None,
    search: Annotated[
        str | None, typer.Option("--search", metavar="WORD", help="List every name whose documentation has this word.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Show what a function or form does, or list them all."""
    from cloister.editor import words  # noqa: PLC0415

    with reporting(as_json=as_json):
        if search is not None:
            chosen = words.search(search)
            if not chosen:
                raise _nothing(search)
        else:
            chosen = [require(name) for name in names or ()]
    if as_json:
        listed = chosen or words.entries().values()
        echo_json({"ok": True, "entries": [entry.to_dict() for entry in listed]})
    elif search is not None:
        _list(chosen)
    elif chosen:
        colored = sys.stdout.isatty()
        echo("\n\n".join(entry_text(entry, width=_width(), colored=colored) for entry in chosen))
    else:
        _index(words.topics())


def require(name: str) -> Entry:
    """Return the entry of a name.

    Raises:
        InputError: `input.name` when the language has none; the hint lists names like it.
    """
    from cloister.editor import words  # noqa: PLC0415
    from cloister.errors import InputError, quoted  # noqa: PLC0415

    entry = words.entries().get(name)
    if entry is not None:
        return entry
    near = words.similar(name)
    hint = f"did you mean {' or '.join(near)}?" if near else "`cloister doc` lists all names"
    if "." in name:
        hint = f"a capability is shown by `cloister capabilities {quoted(name.lstrip(':'), 60)}`"
    raise InputError(f'the language has no function or form "{quoted(name, 60)}"', code="input.name", hint=hint)


def _nothing(word: str) -> CloisterError:
    from cloister.errors import InputError, quoted  # noqa: PLC0415

    return InputError(
        f'nothing mentions "{quoted(word, 60)}"', code="input.name", hint="`cloister doc` lists all names"
    )


def entry_text(entry: Entry, *, width: int, colored: bool = False) -> str:
    """Return an entry as a person reads it: signature, documentation, examples.

    Args:
        entry: What to show.
        width: Columns of a line of prose; code is never broken.
        colored: Whether the text goes to a terminal.
    """
    parts = [paint(entry.signature, "cyan", stream_is_terminal=colored)]
    parts.extend(_paragraphs(entry.doc, width - 2))
    if entry.examples:
        parts.append("\n".join(_example_lines(entry.examples, colored=colored)))
    facts = [f"{entry.kind}, {entry.topic}"]
    if entry.also:
        facts.append(f"also called {', '.join(entry.also)}")
    parts.append(paint("\n".join(f"  {fact}" for fact in facts), "bright_black", stream_is_terminal=colored))
    return "\n\n".join(parts)


def _paragraphs(text: str, width: int) -> Iterator[str]:
    """Yield paragraphs filled to a width; lines that are indented or begin an item keep their breaks."""
    for paragraph in re.split(r"\n\s*\n", text):
        if re.search(r"^(?: |- |\* )", paragraph, re.MULTILINE):
            yield textwrap.indent(paragraph, "  ")
        else:
            yield textwrap.indent(textwrap.fill(" ".join(paragraph.split()), max(20, width)), "  ")


def _example_lines(examples: Iterable[str], *, colored: bool) -> Iterator[str]:
    for line in examples:
        program, mark, value = line.rpartition(" ;=> ")
        if not mark:
            program, mark, value = line.rpartition(" ;!! ")
        outcome = f"{mark.strip()} {value}"
        yield f"    {program}  {paint(outcome, 'green', stream_is_terminal=colored)}"


def _list(entries: Iterable[Entry]) -> None:
    rows = list(entries)
    width = min(28, max(len(entry.name) for entry in rows))
    for entry in rows:
        echo(textwrap.fill(f"{entry.name:<{width}}  {entry.summary}", _width(), subsequent_indent=" " * (width + 2)))


def _index(topics: dict[str, list[Entry]]) -> None:
    colored = sys.stdout.isatty()
    for topic, entries in topics.items():
        names = textwrap.fill(
            " ".join(entry.name for entry in entries), _width() - 2, break_on_hyphens=False, break_long_words=False
        )
        echo(f"{paint(topic, 'cyan', stream_is_terminal=colored)}\n{textwrap.indent(names, '  ')}")
    echo("\n`cloister doc NAME` shows one, `cloister doc --search WORD` finds some.")


def _width() -> int:
    return min(WIDTH_MAX, shutil.get_terminal_size((WIDTH_MAX, 24)).columns)
