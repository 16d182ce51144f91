"""Running a plan inside the sandbox.

Owns the language's host over a link: calls and steps become messages, replies become values and errors. The program
text comes from whoever wrote the plan; it is compiled here, inside, and nothing compiled elsewhere is trusted. Part of
the guest set: standard library only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, Protocol
from weakref import WeakKeyDictionary

from cloister.errors import CloisterError, GuestError, WireError, quoted
from cloister.isolation.guest.link import HostLost, Link, require_size, to_wire
from cloister.isolation.wire import is_surely_small
from cloister.isolation.wire_errors import HOST_ERRORS, to_exception
from cloister.isolation.wire_messages import (
    CAPABILITY_CHARS_MAX,
    STEP_NAME_CHARS_MAX,
    STEPS_MAX,
    STEPS_OPEN_MAX,
    Message,
)
from cloister.lang.host import Host, StepOptions
from cloister.lang.modules import GivenModules
from cloister.lang.program import Program, compile_program, run_program
from cloister.lang.source import ModuleText, Source
from cloister.lang.transport import decode, encode
from cloister.lang.values import Value
from cloister.limits import ResourceLimits

_NO_ERROR: Final = None


class LinkHost:
    """The host as a running program sees it; implements `cloister.lang.host.Host`.

    Args:
        link: Connected to the host.
        limits: Bounds of the execution.

    Attributes:
        steps_unasked: How many steps begin without waiting for the host to agree; None for all.
    """

    def __init__(self, link: Link, limits: ResourceLimits) -> None:
        self._link = link
        self._limits = limits
        self._calls_count = 0
        self._steps_open_count = 0
        self._steps_begun_count = 0
        self._undoing = 0
        self.steps_unasked: int | None = None
        self._early: deque[Message] = deque()
        self._hints: dict[str, Any] = {}
        self._call_of_error: WeakKeyDictionary[CloisterError, int] | None = None

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        """Ask the host to execute a capability, and wait for its answer.

        Raises:
            CloisterError: What the host answered; a plan may catch it.
            GuestError: `TypeError` when an argument cannot cross.
            LimitExceeded: `limit.value` when the arguments are too large.
        """
        if len(capability_id) > CAPABILITY_CHARS_MAX:
            raise GuestError(
                f'"{quoted(capability_id)}" is longer than any capability id ({CAPABILITY_CHARS_MAX} characters)',
                kind="InvalidArgument",
            )
        data = [encode(argument, self._limits) for argument in arguments]
        if not is_surely_small(data, self._limits):
            require_size(data, self._limits, f"the arguments of {quoted(capability_id)}")
        index = self._calls_count
        self._calls_count += 1
        message: Message = {"type": "call", "index": index, "capability": capability_id, "arguments": data}
        if self._hints:
            message["hints"] = self._hints
        self._send(message)
        reply = self._reply(index)
        if "error" not in reply:
            return decode(reply["value"])
        error = to_exception(reply["error"], HOST_ERRORS)
        if self._call_of_error is None:
            self._call_of_error = WeakKeyDictionary()  # few plans need one, and it is large
        self._call_of_error[error] = index
        raise error

    def hints_changed(self, hints: Mapping[str, Value]) -> None:
        """Send these hints along with every call from here on.

        Raises:
            GuestError: `TypeError` when a hint cannot cross.
            LimitExceeded: `limit.value` when they are too large.
        """
        data = {name: encode(value, self._limits) for name, value in hints.items()}
        require_size(data, self._limits, "the execution hints")
        self._hints = data

    def step_started(self, name: str, options: StepOptions) -> None:
        """Tell the host that a step began.

        Raises:
            GuestError: `guest.steps` when there are more steps than a host accepts.
            CloisterError: The host was asked and refuses: the run ends.
        """
        if self._steps_open_count >= STEPS_OPEN_MAX:
            raise _too_many_steps(f"steps are more than {STEPS_OPEN_MAX} deep inside one another")
        if self._steps_begun_count >= STEPS_MAX:
            raise _too_many_steps(f"a plan may go through {STEPS_MAX} steps")
        self._steps_open_count += 1
        self._steps_begun_count += 1
        message = {"type": "step", "event": "started", "name": quoted(name, STEP_NAME_CHARS_MAX), "error": _NO_ERROR}
        if self.steps_unasked is None or self._steps_begun_count <= self.steps_unasked:
            self._send(message | {"options": options.to_dict()})
            return
        self._send(message | {"options": options.to_dict(), "waits": True})
        reply = self._step_reply()
        if "error" in reply:
            self._steps_open_count -= 1
            raise to_exception(reply["error"], HOST_ERRORS)

    def step_ended(self, name: str, error: CloisterError | None) -> None:
        """Tell the host that the innermost open step ended."""
        self._steps_open_count -= 1
        code = error.code if error is not None else _NO_ERROR
        self._send({"type": "step", "event": "ended", "name": quoted(name, STEP_NAME_CHARS_MAX), "error": code})

    def undo_started(self, name: str, place: int) -> None:
        """Tell the host that the step that ended last is being undone."""
        self._undoing = place
        self._send_undo("started", name, _NO_ERROR)

    def undo_ended(self, name: str, error: CloisterError | None) -> None:
        """Tell the host that the undo ended."""
        self._send_undo("ended", name, error.code if error is not None else _NO_ERROR)

    def _send_undo(self, event: str, name: str, code: str | None) -> None:
        shown = quoted(name, STEP_NAME_CHARS_MAX)
        self._send({"type": "undo", "event": event, "name": shown, "place": self._undoing, "error": code})

    def call_index_of(self, error: CloisterError) -> int | None:
        """Return which call answered with this very error, or None when it is not from a call."""
        return self._call_of_error.get(error) if self._call_of_error is not None else None

    def _send(self, message: Message) -> None:
        try:
            self._link.send(message)
        except WireError as error:
            raise HostLost(error.message) from error

    def _reply(self, index: int) -> Message:
        reply = self._early.popleft() if self._early else self._received()
        if reply["index"] != index or "step" in reply:
            raise HostLost("the host did not answer the call")
        return reply

    def _step_reply(self) -> Message:
        """Return the reply to a step that waits; those to the next calls may have come before it, and are kept."""
        while "step" not in (reply := self._received()):
            self._early.append(reply)
        return reply

    def _received(self) -> Message:
        try:
            reply = self._link.receive()
        except WireError as error:
            raise HostLost(error.message) from error
        if reply is None or reply["type"] != "reply":
            raise HostLost("the host did not answer")
        return reply


def _too_many_steps(what: str) -> GuestError:
    hint = "a step is a part of the plan worth a record; use loops and functions without steps inside"
    return GuestError(what, code="guest.steps", kind="ResourceError", hint=hint)


class Finished(Protocol):
    """What an engine gives of a run."""

    @property
    def value(self) -> Value:
        """The value of the program."""

    @property
    def steps_count(self) -> int | None:
        """Steps it took; None when the engine counts something else."""


class RunsPrograms(Protocol):
    """An engine: runs a program to its end, or raises a `CloisterError`."""

    def __call__(
        self, program: Program, host: Host, limits: ResourceLimits, inputs: Mapping[str, Value], /
    ) -> Finished:
        """Run a program."""


def run_plan(
    host: LinkHost, workload: Mapping[str, Any], limits: ResourceLimits, run: RunsPrograms = run_program
) -> tuple[Any, int | None]:
    """Compile and run a plan.

    Args:
        host: Where its calls and steps go.
        workload: `source`, `name`, `inputs`, `modules` and `steps_unasked` of the start message.
        limits: Bounds of the execution.
        run: The engine.

    Returns:
        The value as JSON data that may cross, and the steps it took.

    Raises:
        CloisterError: ReadError or CompileError for a text that is no program; otherwise why the program failed.
    """
    host.steps_unasked = workload.get("steps_unasked")
    inputs = {name: decode(value) for name, value in workload["inputs"].items()}
    modules = [ModuleText(name, Source(path, text)) for name, path, text in workload.get("modules", ())]
    program = compile_program(workload["source"], workload["name"], inputs, GivenModules(modules))
    outcome = run(program, host, limits, inputs)
    return to_wire(outcome.value, limits, "the result"), outcome.steps_count
