"""What is shown while a plan runs.

Owns the two observers: a live list of steps on a terminal, plain lines otherwise. Both write to standard error, so that
standard output holds what the plan printed and its result, nothing else.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import typer

from cloister.cli.output import echo, note
from cloister.errors import quoted

if TYPE_CHECKING:
    from rich.live import Live
    from rich.table import Table

STEPS_SHOWN_MAX = 30


def duration_text(microseconds: int) -> str:
    """Return a duration as people read it: `830 µs`, `12 ms`, `3.4 s`."""
    if microseconds < 1_000:
        return f"{microseconds} µs"
    if microseconds < 1_000_000:
        return f"{microseconds / 1_000:.0f} ms"
    return f"{microseconds / 1_000_000:.1f} s"


def for_terminal(text: str) -> str:
    """Return a plan's text so that a terminal only shows it: line breaks and tabs stay, other controls are named."""
    return "".join(char if char.isprintable() or char in "\n\t" else f"\\u{{{ord(char):x}}}" for char in text)


class PlainProgress:
    """One line when a step ends and when a call is refused; for pipes, logs and `--json`.

    Args:
        quiet: Show nothing but what the plan prints.
        console_on_stderr: Keep standard output free for the result.
    """

    def __init__(self, *, quiet: bool = False, console_on_stderr: bool = False) -> None:
        self._quiet = quiet
        self._console_on_stderr = console_on_stderr

    def step_started(self, name: str, depth: int) -> None:
        """Show nothing: the line comes when the step ends."""

    def step_ended(self, name: str, depth: int, error_code: str | None, elapsed_us: int) -> None:
        """Show the step with its outcome."""
        if not self._quiet:
            outcome = f"failed: {error_code}" if error_code else "ok"
            note(f"{'  ' * depth}step {quoted(name)}: {outcome} ({duration_text(elapsed_us)})")

    def call_started(self, capability_id: str) -> None:
        """Show nothing."""

    def call_ended(self, capability_id: str, error_code: str | None) -> None:
        """Show a call that was refused or failed."""
        if error_code and not self._quiet:
            note(f"call {capability_id}: {error_code}")

    def printed(self, text: str) -> None:
        """Show what the plan printed; on a terminal without what would draw on it."""
        stream, show = (sys.stderr, note) if self._console_on_stderr else (sys.stdout, echo)
        show(for_terminal(text) if stream.isatty() else text)

    def stop(self) -> None:
        """End the display."""

    def rewind(self) -> None:
        """Begin anew, for a plan that is evaluated from its beginning again."""


@dataclass(slots=True)
class _Line:
    name: str
    depth: int
    state: str = "running"
    elapsed_us: int | None = None
    doing: str = ""


class LiveProgress:
    """A list of steps that changes in place, with a spinner beside the one that runs."""

    def __init__(self) -> None:
        # rich costs 60 ms to import; only a run on a terminal pays for it
        from rich.console import Console  # noqa: PLC0415
        from rich.live import Live  # noqa: PLC0415

        self._lines: list[_Line] = []
        self._open: list[_Line] = []
        self._live: Live = Live(
            console=Console(stderr=True),
            refresh_per_second=12,
            get_renderable=self._table,
            # Standard output that goes elsewhere must not be drawn above the list
            redirect_stdout=sys.stdout.isatty(),
        )
        self._started = False

    def _table(self) -> Table:
        from rich.spinner import Spinner  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        table = Table.grid(padding=(0, 1))
        marks = {"ok": Text("✓", style="green"), "failed": Text("✗", style="red")}
        for line in self._lines[-STEPS_SHOWN_MAX:]:
            mark = marks.get(line.state) or Spinner("dots", style="cyan")
            elapsed = Text(duration_text(line.elapsed_us) if line.elapsed_us is not None else line.doing, style="dim")
            table.add_row(mark, Text("  " * line.depth + quoted(line.name)), elapsed)
        return table

    def step_started(self, name: str, depth: int) -> None:
        """Add a line."""
        line = _Line(name, depth)
        self._lines.append(line)
        self._open.append(line)
        if not self._started:
            self._started = True
            self._live.start()

    def step_ended(self, name: str, depth: int, error_code: str | None, elapsed_us: int) -> None:
        """Mark the line."""
        line = self._open.pop()
        line.state = "failed" if error_code else "ok"
        line.elapsed_us = elapsed_us

    def call_started(self, capability_id: str) -> None:
        """Show the call beside the running step."""
        if self._open:
            self._open[-1].doing = capability_id

    def call_ended(self, capability_id: str, error_code: str | None) -> None:
        """Take the call away again."""
        if self._open:
            self._open[-1].doing = ""

    def printed(self, text: str) -> None:
        """Show what the plan printed: above the list when both are on the terminal, else on standard output."""
        if sys.stdout.isatty():
            self._live.console.print(for_terminal(text), markup=False, highlight=False)
        else:
            echo(text)

    def stop(self) -> None:
        """Draw the final state and leave the terminal as it was."""
        if self._started:
            self._started = False
            self._live.stop()

    def rewind(self) -> None:
        """End this list; the next step begins a new one, for a plan that is evaluated from its beginning again."""
        self.stop()
        self._lines.clear()
        self._open.clear()


def choose_progress(*, as_json: bool) -> PlainProgress | LiveProgress:
    """Return the live list when standard error is a terminal, plain lines otherwise, silence with `--json`."""
    if as_json:
        return PlainProgress(quiet=True, console_on_stderr=True)
    return LiveProgress() if sys.stderr.isatty() else PlainProgress()


def paint(text: str, color: str, *, stream_is_terminal: bool) -> str:
    """Return the text in a colour on a terminal, and as it is elsewhere."""
    return typer.style(text, fg=color) if stream_is_terminal else text
