"""From what Python raised to what went wrong in the program, and where.

Owns the translation of Python's own exceptions that running code may meet (a wrong number of arguments, exhausted
stack or memory) and the reading of tracebacks: frames of compiled programs carry place numbers instead of lines. Any
other exception is a defect of ours and becomes an `InternalError`.
"""

from __future__ import annotations

import re
from types import TracebackType
from typing import Final
from weakref import WeakSet

from cloister.errors import CloisterError, InternalError, LimitExceeded, Span, quoted
from cloister.lang.python_engine.compiler import CompiledCode
from cloister.lang.python_engine.frames import ENTRY, OUTSIDE
from cloister.lang.source import Source
from cloister.lang.stdlib.builtin import arity_error
from cloister.lang.traces import located
from cloister.limits import ResourceLimits

# Python names the function it could not bind arguments to by its qualified name, which starts with ours.
_ARITY: Final = re.compile(
    rf"{OUTSIDE}\.<locals>\.{ENTRY}\.<locals>\.(?:[fh0-9_<>a-z]+\.)*([fg][0-9]+)\(\) (takes|missing) "
)
_GIVEN: Final = re.compile(r"but ([0-9]+) (?:was|were) given")
_MISSING: Final = re.compile(r"missing ([0-9]+) required")


class Blame:
    """Explains exceptions of one run.

    Args:
        code: The compiled program.
        source: Its text.
        limits: Bounds of the run.
    """

    def __init__(self, code: CompiledCode, source: Source, limits: ResourceLimits) -> None:
        self._code = code
        self._source = source
        self._limits = limits
        self._located: WeakSet[CloisterError] = WeakSet()

    def explain(self, error: Exception) -> CloisterError:
        """Return the error as one of ours, with the place and guest call stack filled in when they were not.

        One that was explained before and raised again, as by `finally`, has more calls around it now.
        """
        explained = self._translate(error)
        if explained in self._located or (explained.span is None and not explained.trace):
            explained.__traceback__ = error.__traceback__
            explained.span, explained.trace = self._locate(error.__traceback__)
            self._located.add(explained)
        return explained

    def _translate(self, error: Exception) -> CloisterError:
        if isinstance(error, CloisterError):
            return error
        if isinstance(error, RecursionError):
            return LimitExceeded(
                "calls are nested deeper than the stack of this process has room for",
                limit="depth_count",
                allowed=self._limits.depth_count,
                unit="count",
                hint="use loop/recur or reduce instead of recursion, above all of recursion through map and reduce",
            )
        if isinstance(error, MemoryError):
            return LimitExceeded(
                "the program needs more memory than there is",
                limit="memory_bytes",
                allowed=self._limits.memory_bytes,
                unit="bytes",
                hint="work on smaller pieces",
            )
        if isinstance(error, TypeError):
            arity = self._arity(str(error))
            if arity is not None:
                return arity
        internal = InternalError(f"running the program failed inside: {type(error).__name__}: {quoted(str(error))}")
        internal.__cause__ = error
        return internal

    def _arity(self, text: str) -> CloisterError | None:
        found = _ARITY.match(text)
        if found is None:
            return None
        generated = self._code.generated
        expected = generated.arities[found.group(1)]
        given, missing = _GIVEN.search(text), _MISSING.search(text)
        least = int(expected.removeprefix("at least "))
        count = int(given.group(1)) if given else least - int(missing.group(1)) if missing else 0
        return arity_error(generated.functions[found.group(1)], expected, count)

    def _locate(self, traceback: TracebackType | None) -> tuple[Span | None, tuple[str, ...]]:
        generated = self._code.generated
        frames: list[tuple[str, int]] = []
        last = None
        while traceback is not None:
            frame, line = traceback.tb_frame, traceback.tb_lineno
            name = frame.f_code.co_name
            is_ours = frame.f_code.co_filename == self._code.file_name
            if is_ours and line is not None and not name.startswith("g"):  # fronts are nothing at all
                # A loop body is a frame of its own, but part of the function it stands in. A frame that raised what it
                # had caught stands there twice, first where it raised it again.
                if frames and (name.startswith("h") or frame is last):
                    frames.pop()
                frames.append((generated.functions[name], line - 1))
                last = frame
            traceback = traceback.tb_next
        if not frames:
            return None, ()
        return located(frames[::-1], generated.places, self._source)
