"""Open delimiters, and how reading goes on after one that does not match.

Owns the frames of a text that is being read, what is said about delimiters and strings that are never closed, and the
guess at what was meant. A wrong guess would drown the one real problem in consequences, so a delimiter is reported
only when no earlier report explains it. Handles plan text, which is hostile. Part of the guest set: standard library
only.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final

from cloister.errors import ReadError
from cloister.lang.forms import Form
from cloister.lang.lexer import pieces
from cloister.lang.problems import Problems
from cloister.lang.source import Source

CLOSERS: Final = {"(": ")", "#(": ")", "[": "]", "{": "}", "#{": "}"}
_COLON: Final = "a keyword is one colon and a name; in an annotation a type comes after it"


class Frame:
    """A delimiter or prefix whose forms are still being collected; the outermost one is the text.

    Attributes:
        opener: The delimiter or prefix; empty for the text.
        closer: What ends it; empty for the text and for prefixes.
        start: Offset of the opener.
        end: Offset after the opener.
        items: The forms so far.
        awaited: Forms after which a prefix is complete; 0 for delimiters.
        optional: Whether a lone `?` is among the forms.
    """

    __slots__ = ("awaited", "closer", "end", "items", "opener", "optional", "start")

    def __init__(self, opener: str, closer: str, start: int, end: int, awaited: int = 0) -> None:
        self.opener = opener
        self.closer = closer
        self.start = start
        self.end = end
        self.items: list[Form] = []
        self.awaited = awaited
        self.optional = False


class Nesting:
    """The frames open at one point of a text, innermost last.

    Attributes:
        frames: Never empty: the first is the text itself.
        is_doubtful: Whether a delimiter did not match since the last form that began a line at the outermost level:
            what stands in which frame is a guess then, and their shapes are not worth a report.
    """

    def __init__(self, source: Source, problems: Problems) -> None:
        self.frames = [Frame("", "", 0, 0)]
        self.is_doubtful = False
        self._source = source
        self._problems = problems
        # A closer some frame was closed without, and what closing that frame took from one further out, or "".
        self._owed: dict[str, list[str]] = defaultdict(list)

    def opens(self, start: int) -> None:
        """Take note that a delimiter opens at the outermost level: at the start of a line, guessing is over."""
        if self.is_doubtful and self._begins_line(start):
            self.is_doubtful = False
            self._owed.clear()

    def close_wrongly(self, closer: str, start: int) -> bool:
        """Find the frame that a closer ends which does not match the innermost one.

        Frames that are skipped are dropped; the innermost one is the frame that ends, as if it had matched.

        Returns:
            Whether any frame ends.
        """
        while self.frames[-1].awaited:
            self.lonely_prefix(self.frames.pop())
        frame = self.frames[-1]
        if frame.closer == closer:
            return True
        if self._owed[closer]:
            further = self._owed[closer].pop()
            if further:
                self._owed[further].append("")
            return False
        place = start, start + 1
        self.is_doubtful = True
        if not frame.opener:
            hint = "remove it, or look for a missing opening delimiter before it"
            self._note(place, "read.unexpected-close", f"`{closer}` closes nothing", hint)
            return False
        opened = self._source.span(frame.start, frame.end)
        message = f"`{closer}` cannot close `{frame.opener}` of line {opened.line}, column {opened.column}"
        self._note(place, "read.mismatched", message, f"write `{frame.closer}` before it or instead")
        return self._skip_to(closer)

    def _skip_to(self, closer: str) -> bool:
        """Drop frames until one ends with `closer`; when none does, take it for a slip of the innermost one's."""
        innermost = self.frames[-1]
        if not any(frame.closer == closer for frame in self.frames):
            self._owed[innermost.closer].append("")
            return True
        while self.frames[-1].closer != closer:
            dropped = self.frames.pop()
            if dropped.closer:
                self._owed[dropped.closer].append(closer)
        return True

    def lonely_prefix(self, frame: Frame) -> None:
        """Report a prefix before nothing."""
        message = f"`{frame.opener}` stands before nothing"
        hint = _COLON if frame.opener == ":" else "write a form after it, or remove it"
        self._note((frame.start, frame.end), "read.prefix", message, hint)

    def finish(self) -> None:
        """Report what is still open where the text ends: for every form that begins a line, the innermost one."""
        open_frames = self.frames[1:]
        while open_frames and open_frames[-1].awaited:
            self.lonely_prefix(open_frames.pop())
        chain: list[Frame] = []
        for frame in (*open_frames, None):
            if chain and (frame is None or self._begins_line(frame.start)):
                self._unclosed(chain, frame)
                chain = []
            if frame is not None and not frame.awaited:
                chain.append(frame)

    def _unclosed(self, chain: list[Frame], following: Frame | None) -> None:
        frame, around = chain[-1], len(chain) - 1
        also = f"; {around} more around it are open too" if around else ""
        next_start = self._next_form(chain, following)
        before = "" if next_start is None else f" before line {self._source.span(next_start, next_start).line}"
        place = frame.start, frame.end
        message = f"`{frame.opener}` is never closed{also}"
        self._note(place, "read.unclosed", message, f"add the missing `{frame.closer}`{before}")

    def _next_form(self, chain: list[Frame], following: Frame | None) -> int | None:
        """Return where the first form inside stands that begins a line, as if it belonged outside."""
        inside = (item.start for frame in chain for item in frame.items if self._begins_line(item.start))
        return next(inside, following.start if following else None)

    def _begins_line(self, start: int) -> bool:
        return start == 0 or self._source.text[start - 1] == "\n"

    def unclosed_text(self, start: int) -> None:
        """Report the string or comment at `start`, which takes the rest of the text."""
        if self._source.text.startswith("#|", start):
            place, what, hint = (start, start + 2), "comment", "end it with |#"
        else:
            start = _likely_unclosed(self._source.text, start)
            place, what, hint = (start, start + 1), "string", 'end it with "; a quote inside is written \\"'
        self._problems.forget_from(start)
        self._note(place, "read.unclosed", f"the {what} that starts here is never closed", hint)

    def _note(self, place: tuple[int, int], code: str, message: str, hint: str) -> None:
        error = ReadError(message, code=code, span=self._source.span(*place), hint=hint)
        self._problems.note(place[0], error)


def _likely_unclosed(text: str, last: int) -> int:
    """Return where the string begins that lacks its end, when the one at `last` has none.

    From the lacking quote on, code and strings have changed places. So it is the first string of several lines that
    stands against a word, or that has a line beginning with a parenthesis.
    """
    end = 0
    for piece in pieces(text):
        start, end = end, end + len(piece)
        if piece[0] != '"' or "\n" not in piece:
            continue
        if text[start - 1 : start].isalnum() or text[end : end + 1].isalnum() or "\n(" in piece:
            return start
    return last
