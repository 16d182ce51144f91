"""The way out of every command: whatever happens becomes one message and an exit status.

Owns the outermost handling of errors and signals. A `CloisterError` is shown as itself; output that cannot be written,
a wrong command line and a termination signal have messages of their own; anything else is a defect, and says so.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final

import typer

from cloister.cli.output import EXIT_INTERRUPTED, echo_json, note, show_error, unexpected
from cloister.cli.streams import OutputLost, Streams, lost_message, lost_status
from cloister.errors import CloisterError
from cloister.interrupts import interrupt

ENDING_SIGNALS: Final = (signal.SIGTERM, signal.SIGHUP)


class Interrupts:
    """Makes a termination signal what Ctrl-C is, so that sandboxes are ended and the record is completed.

    Attributes:
        number: The signal that came, or None.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        for each in ENDING_SIGNALS:
            # A signal that is ignored, as by nohup, stays ignored
            if signal.getsignal(each) is not signal.SIG_IGN:
                signal.signal(each, self._arrived)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        for each in ENDING_SIGNALS:
            # Ending in order takes a moment; a second signal must not break it off
            signal.signal(each, signal.SIG_IGN)
        self.number = number
        interrupt()


def guarded(command: Callable[[], Any]) -> int:
    """Run the command line and return its exit status; nothing is raised.

    Args:
        command: Returns the exit status, or None for success; may raise anything.
    """
    streams, interrupts = Streams(), Interrupts()
    status = 0
    try:
        status = _status(command)
        streams.flush()
    except OutputLost:
        status = 0  # what was lost decides
    except KeyboardInterrupt:
        status = EXIT_INTERRUPTED
    if interrupts.number is not None:
        return 128 + interrupts.number
    if streams.failure is None or status != 0:
        return status
    message = lost_message(streams.failure)
    if message is not None:
        note(message)
    return lost_status(streams.failure)


def _status(command: Callable[[], Any]) -> int:
    """Run it and show what it raises, except for an interrupt and lost output."""
    try:
        return int(command() or 0)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else int(leaving.code is not None)
    except typer.Abort:
        return EXIT_INTERRUPTED
    except CloisterError as error:
        return show_error(error, as_json=_wants_json())
    except Exception as error:  # noqa: BLE001 - the outermost handler; what is not known here is a defect
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            return _show_usage_error(error)
        return show_error(unexpected(error), as_json=_wants_json())


def _wants_json() -> bool:
    """Say whether `--json` is among the words of this command line that are Cloister's own."""
    words = sys.argv[1:]
    return "--json" in (words[: words.index("--")] if "--" in words else words)


def _show_usage_error(error: Any) -> int:
    """Show what the parser of the command line raised; its class depends on the version of typer."""
    if _wants_json():
        facts = {"type": type(error).__name__, "code": "usage", "message": error.format_message()}
        echo_json({"ok": False, "error": facts})
    else:
        error.show()
    return int(error.exit_code)
