"""The host's side of a conversation with a guest, for every provider.

Owns the order in which a guest may speak, the numbering of its calls, and which exception an execution ends with. The
provider moves the bytes; this decides what they mean. What it is given comes from a guest that may have been taken
over: every message must have passed `wire_messages.checked`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import lru_cache
from typing import Final, cast

from cloister.errors import CloisterError, DeniedError, InternalError, quoted
from cloister.isolation.host_calls import HostCalls, KnowingHost
from cloister.isolation.provider import GuestOperation, PlanProgram, WireValue
from cloister.isolation.steps_told import StepsTold, out_of_order
from cloister.isolation.wire import check_value_size, is_surely_small, value_bytes
from cloister.isolation.wire_errors import (
    FATAL_CLASSES,
    GUEST_ERRORS,
    REPLY_CLASSES,
    add_place,
    reply_error,
    to_exception,
)
from cloister.isolation.wire_messages import Message
from cloister.limits import ResourceLimits

AHEAD_COUNT_MAX: Final = 64
"""Answers that may be on their way to a guest which has not asked for them yet."""
AHEAD_BYTES_MAX: Final = 1_000
"""Size of one such answer as data: all of them fit what a socket holds, so that nobody waits to send them."""
_NO_HOST: Final = "this execution has no host to call; it was started for pure code only"


def start_message(workload: PlanProgram | GuestOperation, limits: ResourceLimits) -> Message:
    """Return the message that tells a guest what to run, within which limits.

    Raises:
        LimitExceeded: `limit.value` when the inputs or arguments are larger than one value may be.
    """
    return bare_start_message(workload, limits) | {"limits": limits.to_dict()}


def bare_start_message(workload: PlanProgram | GuestOperation, limits: ResourceLimits) -> Message:
    """Return that message for a guest that is told its limits another way. Raises as `start_message`."""
    if isinstance(workload, PlanProgram):
        inputs = dict(workload.inputs)
        body: Message = {"kind": "plan", "source": workload.source, "name": workload.name, "inputs": inputs}
        if workload.steps_unasked is not None:
            body["steps_unasked"] = workload.steps_unasked
        if workload.modules:
            body["modules"] = [[each.name, each.source.name, each.source.text] for each in workload.modules]
        if inputs:
            require_value_size(inputs, limits, f"the inputs of {quoted(workload.name)}")
    else:
        body = {"kind": "operation", "name": workload.name, "arguments": dict(workload.arguments)}
        require_value_size(body["arguments"], limits, f"the arguments of {quoted(workload.name)}")
    return {"type": "start", "workload": body}


def require_value_size(value: WireValue, limits: ResourceLimits, what: str) -> None:
    """Check the size of a value that is about to cross.

    Raises:
        LimitExceeded: `limit.value` or `limit.value-elements` when it is larger than one value may be.
    """
    check_value_size(value, limits, what)


class Dialogue:
    """What one guest has said so far and what it is answered. For one execution and one thread.

    Args:
        host: Answers the calls of a plan; None when there may be none.
        limits: Bounds of the execution.

    Attributes:
        fatal: What ends the run: a limit or budget that a call of the plan reached, or that the host aborted it. The
            guest is told, so that it reports the place; whatever else it does then, the execution ends with this error.
    """

    def __init__(self, host: HostCalls | None, limits: ResourceLimits) -> None:
        self._host = host
        self._limits = limits
        self._calls_count = 0
        self._hints: dict[str, WireValue] = {}
        self._steps = StepsTold()
        self._answered_errors: dict[int, CloisterError] = {}
        self._knowing = _knowing(host)
        self._coming: Iterator[WireValue] | None = None
        self._told: deque[WireValue] = deque()
        self.fatal: CloisterError | None = None
        self.is_ended = False
        self.value: WireValue = None
        self.steps_count: int | None = None

    def __repr__(self) -> str:
        state = "ended" if self.is_ended else "open"
        return f"Dialogue({state}, calls={self._calls_count}, open steps={self._steps.open_count})"

    def handle(self, message: Message) -> Message | None:
        """Act on one message of the guest.

        Returns:
            The reply to send, or None when there is nothing to say. After a `result`, `is_ended` is true and `value`
            and `steps_count` hold it.

        Raises:
            CloisterError: The guest reported that its work failed; for an uncaught error of a call it is the object
                that `host.call` raised.
            WireError: `provider.wire-order` when the guest may not say this now.
            Exception: Whatever `host` raised that a plan cannot catch. The sandbox must be ended.
        """
        if self.is_ended:
            raise out_of_order("it went on after its result")
        if self.fatal is not None and not self._is_farewell(message):
            raise self.fatal
        if self._steps.has_undone and message["type"] in (
            ("result",) if self._steps.is_undoing else ("call", "result")
        ):
            raise out_of_order("it went on after it had begun to undo")
        match message["type"]:
            case "call":
                return self._reply(message)
            case "step":
                return self._note_step(message)
            case "undo":
                self._note_undo(message)
            case "error":
                self.is_ended = True
                raise self._reported(message["error"])
            case "result":
                self.is_ended = True
                require_value_size(message["value"], self._limits, "the result")
                self.value, self.steps_count = message["value"], message["steps"]
        return None

    def ahead(self) -> list[Message]:
        """Return the replies to calls that are yet to come, as far as the host knows them: for them, `handle` has none.

        So a guest whose calls were all made before need not wait for each answer. What it says is heeded in order all
        the same, and one that then makes another call than was answered is ended. It learns nothing by it: this run
        was given these answers before.
        """
        if self._knowing is None or self.is_ended or self.fatal is not None or len(self._told) > AHEAD_COUNT_MAX // 2:
            return []
        if self._coming is None:
            self._coming = self._knowing.coming_answers()
        replies: list[Message] = []
        for value in self._coming:
            if not self._is_brief(value):
                self._coming = iter(())
                break
            replies.append({"type": "reply", "index": self._calls_count + len(self._told), "value": value})
            self._told.append(value)
            if len(self._told) == AHEAD_COUNT_MAX:
                break
        return replies

    def _is_brief(self, value: WireValue) -> bool:
        """Return whether an answer may go ahead. It has no more elements than bytes."""
        allowed = min(AHEAD_BYTES_MAX, self._limits.value_bytes, self._limits.value_elements_count)
        if isinstance(value, (str, list, dict)) and len(value) > allowed:
            return False
        return value_bytes(value) <= allowed

    def _reply(self, message: Message) -> Message | None:
        index = message["index"]
        if index != self._calls_count:
            raise out_of_order(f"call {index} came where call {self._calls_count} was due")
        self._calls_count += 1
        # A guest checks this before it sends; one that did not has been taken over and gets no answer
        arguments = message["arguments"]
        if not is_surely_small(arguments, self._limits):
            require_value_size(arguments, self._limits, f"the arguments of {quoted(message['capability'])}")
        hints = message.get("hints", {})
        if hints:
            require_value_size(hints, self._limits, "the execution hints")
        try:
            value = self._call(message["capability"], arguments, hints)
        except (*REPLY_CLASSES, *FATAL_CLASSES) as error:
            if self._told:
                raise _told_otherwise(index) from error
            self._coming = None
            self._answered_errors[index] = error
            if isinstance(error, FATAL_CLASSES) and not self._steps.is_undoing:
                self.fatal = error  # inside an undo, it is what that undo fails with
            return {"type": "reply", "index": index, "error": reply_error(error)}
        if self._told:
            if self._told.popleft() is not value:
                raise _told_otherwise(index)
            return None
        self._coming = None
        if not is_surely_small(value, self._limits):
            require_value_size(value, self._limits, f"the answer of {quoted(message['capability'])}")
        return {"type": "reply", "index": index, "value": value}

    def _call(self, capability_id: str, arguments: list[WireValue], hints: dict[str, WireValue]) -> WireValue:
        if self._host is None:
            raise DeniedError(f"{quoted(capability_id)} was called, but {_NO_HOST}", code="denied.pure")
        if hints != self._hints:
            self._host.hints_changed(hints)
            self._hints = hints
        return self._host.call(capability_id, arguments)

    def _note_step(self, message: Message) -> Message | None:
        self._steps.step(message)
        if message["event"] == "started":
            return self._begin_step(message)
        if self._host is not None:
            self._host.step_ended(message["name"], message["error"])
        return None

    def _begin_step(self, message: Message) -> Message | None:
        """Begin a step; one that waits is told whether it may, with the number that the next call has."""
        reply: Message = {"type": "reply", "index": self._calls_count, "step": True}
        try:
            if self._host is not None:
                self._host.step_started(message["name"], message["options"])
        except FATAL_CLASSES as error:
            if "waits" not in message:
                raise
            self._steps.step_refused()
            if not self._steps.is_undoing:
                self.fatal = error  # inside an undo, it is what that undo fails with
            return reply | {"error": reply_error(error)}
        return reply | {"value": None} if "waits" in message else None

    def _note_undo(self, message: Message) -> None:
        self._steps.undo(message)
        if self._host is None:
            return
        if message["event"] == "started":
            self._host.undo_started(message["name"], message["place"])
        else:
            self._host.undo_ended(message["name"], message["error"])

    def _reported(self, data: Message) -> CloisterError:
        if self.fatal is not None:
            add_place(self.fatal, data)
            return self.fatal
        index = data.get("call_index")
        if index is None:
            return to_exception(data, GUEST_ERRORS)
        error = self._answered_errors.get(index)
        if error is None:
            return out_of_order(f"it failed with the error of call {index}, which had none")
        add_place(error, data)
        return error

    def _is_farewell(self, message: Message) -> bool:
        """Return whether a guest may say this after it was told that the run ends.

        That is that steps ended, that it undoes them with all that belongs to an undo, and that it failed.
        """
        if message["type"] in ("error", "undo") or self._steps.is_undoing:
            return True
        return (message["type"], message.get("event")) == ("step", "ended")


def _knowing(host: HostCalls | None) -> KnowingHost | None:
    return cast("KnowingHost", host) if host is not None and _is_knowing(type(host)) else None


@lru_cache(maxsize=64)
def _is_knowing(kind: type) -> bool:
    """Return whether hosts of a class may know answers; asked once of each, for asking a protocol takes long."""
    return issubclass(kind, KnowingHost)


def _told_otherwise(index: int) -> InternalError:
    return InternalError(f"call {index} was answered before it was made, and comes to something else now")
