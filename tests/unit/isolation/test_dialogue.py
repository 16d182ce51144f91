"""The host's side of a conversation: order, numbering, and which exception an execution ends with."""

from collections.abc import Iterator
from typing import Any

import pytest

from cloister.errors import (
    ApprovalRequired,
    AuditError,
    BudgetExhausted,
    CapabilityDenied,
    DeniedError,
    GuestError,
    InternalError,
    JournalError,
    LimitExceeded,
    RunAborted,
    WireError,
)
from cloister.isolation.dialogue import AHEAD_BYTES_MAX, AHEAD_COUNT_MAX, Dialogue, start_message
from cloister.isolation.provider import GuestOperation, PlanProgram
from cloister.isolation.wire import HEADER_BYTES, frame_bytes, pack, unpack
from cloister.isolation.wire_messages import GUEST_MESSAGES, HOST_MESSAGES, MODULES_MAX, checked
from cloister.lang import modules as language_modules
from cloister.lang.modules import TEXTS_CHARS_MAX
from cloister.lang.source import ModuleText, Source
from cloister.limits import ResourceLimits
from cloister.testing import RecordingHost

LIMITS = ResourceLimits(value_bytes=1_000)


def call(index: int = 0, **other: Any) -> dict[str, Any]:
    return {"type": "call", "index": index, "capability": "test.call", "arguments": []} | other


def step(event: str, name: str = "s") -> dict[str, Any]:
    said = {"options": {"place": 0}} if event == "started" else {}
    return {"type": "step", "event": event, "name": name, "error": None, **said}


def error(**other: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "GuestError", "code": "guest.error", "message": "m"} | other}


RESULT = {"type": "result", "value": 7, "steps": 5}


def out_of_order(dialogue: Dialogue, message: dict[str, Any]) -> WireError:
    with pytest.raises(WireError) as caught:
        dialogue.handle(message)
    assert caught.value.code == "provider.wire-order"
    return caught.value


def test_a_result_ends_it() -> None:
    dialogue = Dialogue(None, LIMITS)
    assert dialogue.handle(RESULT) is None
    assert (dialogue.is_ended, dialogue.value, dialogue.steps_count) == (True, 7, 5)
    for message in (RESULT, call(), step("started"), error()):
        out_of_order(dialogue, message)


def test_a_reported_error_ends_it() -> None:
    dialogue = Dialogue(None, LIMITS)
    with pytest.raises(GuestError, match="m"):
        dialogue.handle(error())
    out_of_order(dialogue, RESULT)


def test_calls_are_numbered_without_gaps() -> None:
    dialogue = Dialogue(RecordingHost({"test.call": 1}), LIMITS)
    assert dialogue.handle(call(0)) == {"type": "reply", "index": 0, "value": 1}
    for wrong in (0, 2):
        out_of_order(dialogue, call(wrong))
    assert dialogue.handle(call(1)) == {"type": "reply", "index": 1, "value": 1}


def test_a_call_without_a_host_is_denied_and_catchable() -> None:
    reply = Dialogue(None, LIMITS).handle(call())
    assert reply is not None
    assert reply["error"]["code"] == "denied.pure"
    checked(reply, HOST_MESSAGES)


def test_the_error_of_a_call_comes_back_as_itself() -> None:
    denied = CapabilityDenied("no")
    dialogue = Dialogue(RecordingHost({"test.call": denied}), LIMITS)
    reply = dialogue.handle(call())
    assert reply is not None
    assert reply["error"]["type"] == "CapabilityDenied"
    with pytest.raises(CapabilityDenied) as caught:
        dialogue.handle(error(call_index=0))
    assert caught.value is denied


def test_a_guest_cannot_claim_an_error_that_no_call_had() -> None:
    for index in (0, 1):
        dialogue = Dialogue(RecordingHost({"test.call": 1}), LIMITS)
        dialogue.handle(call())
        out_of_order(dialogue, error(call_index=index))


def test_a_guest_cannot_claim_a_denial_by_subclass() -> None:
    with pytest.raises(WireError) as caught:
        Dialogue(None, LIMITS).handle(error(type="CapabilityDenied"))
    assert caught.value.code == "provider.wire-error"
    with pytest.raises(DeniedError):
        Dialogue(None, LIMITS).handle(error(type="DeniedError", code="denied.pure"))


@pytest.mark.parametrize("fatal", [AuditError("a"), ApprovalRequired("p"), KeyboardInterrupt(), RuntimeError("r")])
def test_what_a_plan_cannot_catch_ends_it(fatal: BaseException) -> None:
    host = RecordingHost()
    dialogue = Dialogue(RecordingHost({"test.call": fatal}), LIMITS)
    with pytest.raises(type(fatal)) as caught:
        dialogue.handle(call())
    assert caught.value is fatal
    assert host.calls == []


@pytest.mark.parametrize(
    "fatal",
    [
        LimitExceeded("l", limit="wall_ms", allowed=1, unit="ms"),
        BudgetExhausted("b", dimension="calls", policy="hard-stop", allowed=1, used=1, asked=1, unit="count"),
        RunAborted("a"),
    ],
)
def test_what_ends_a_run_is_told_and_then_nothing_but_the_farewell_is_taken(fatal: Any) -> None:
    host = RecordingHost({"test.call": fatal})
    for said_next in (call(1), RESULT, step("started")):
        dialogue = Dialogue(host, LIMITS)
        dialogue.handle(step("started"))
        reply = dialogue.handle(call())
        assert reply is not None
        assert checked(reply, HOST_MESSAGES)["error"]["type"] == type(fatal).__name__
        assert dialogue.fatal is fatal
        with pytest.raises(type(fatal)) as caught:
            dialogue.handle(said_next)
        assert caught.value is fatal
    dialogue = Dialogue(host, LIMITS)
    dialogue.handle(step("started"))
    dialogue.handle(call())
    dialogue.handle(step("ended"))
    with pytest.raises(type(fatal)) as caught:
        dialogue.handle(error())  # whatever it says, the host's own error it is
    assert caught.value is fatal


class Refusing(RecordingHost):
    """Refuses every step."""

    def step_started(self, name: str, options: dict[str, Any]) -> None:
        raise BudgetExhausted("b", dimension="steps", unit="count", allowed=1, used=1, asked=1, policy="hard-stop")


def test_a_step_that_waits_is_told_that_it_ends_the_run() -> None:
    waiting = step("started") | {"waits": True}
    dialogue = Dialogue(Refusing({"test.call": 1}), LIMITS)
    reply = dialogue.handle(checked(waiting, GUEST_MESSAGES))
    assert checked(reply or {}, HOST_MESSAGES)["error"]["code"] == "budget.steps"
    assert dialogue.fatal is not None
    with pytest.raises(BudgetExhausted):
        dialogue.handle(step("started"))
    with pytest.raises(BudgetExhausted):
        Dialogue(Refusing({}), LIMITS).handle(step("started"))  # a guest that does not wait is ended
    for host in (RecordingHost({"test.call": 1}), None):
        twin = Dialogue(host, LIMITS)
        assert twin.handle(waiting) == {"type": "reply", "index": 0, "step": True, "value": None}
        assert twin.handle(step("ended")) is None


def begun(place: int) -> dict[str, Any]:
    return step("started", f"s{place}") | {"options": {"place": place, "has_undo": True}}


def ended(place: int, code: str | None = None) -> dict[str, Any]:
    return step("ended", f"s{place}") | {"error": code}


def undo(event: str, place: int, code: str | None = None) -> dict[str, Any]:
    return {"type": "undo", "event": event, "name": f"s{place}", "place": place, "error": code}


def test_undos_are_told_last_in_first_out_with_what_they_do() -> None:
    host = RecordingHost({"test.call": 1})
    dialogue = Dialogue(host, LIMITS)
    for message in (
        begun(0), ended(0), begun(5), ended(5), begun(9), ended(9, "guest.error"), undo("started", 5), call(0),
        step("started"), step("ended"), undo("ended", 5, "guest.error"), undo("started", 0), undo("ended", 0),
    ):  # fmt: skip
        dialogue.handle(checked(message, GUEST_MESSAGES))
    assert host.steps[6:] == [
        ("undoing", "s5", None), ("started", "s", None), ("ended", "s", None), ("undone", "s5", "guest.error"),
        ("undoing", "s0", None), ("undone", "s0", None),
    ]  # fmt: skip
    with pytest.raises(GuestError, match="m"):
        dialogue.handle(error())


OUT_OF_ORDER = {
    "an undo of no step": ([], undo("started", 0)),
    "an undo of a step that is open": ([begun(0)], undo("started", 0)),
    "an undo of a step that failed": ([begun(0), ended(0, "guest.error")], undo("started", 0)),
    "an undo of a step without one": (
        [begun(0) | {"options": {"place": 0}}, ended(0)], undo("started", 0)),
    "an undo of another place": ([begun(0), ended(0)], undo("started", 1)),
    "an undo that is not the last": ([begun(0), ended(0), begun(1), ended(1)], undo("started", 0)),
    "the same undo again": ([begun(0), ended(0), undo("started", 0), undo("ended", 0)], undo("started", 0)),
    "an undo in an undo": ([begun(0), ended(0), begun(1), ended(1), undo("started", 1)], undo("started", 0)),
    "an undo while a step is open": ([begun(0), ended(0), begun(1)], undo("started", 0)),
    "the end of an undo that did not begin": ([begun(0), ended(0)], undo("ended", 0)),
    "the end of an undo around an open step": (
        [begun(0), ended(0), undo("started", 0), begun(1)], undo("ended", 0)),
    "a call after an undo": ([begun(0), ended(0), undo("started", 0), undo("ended", 0)], call()),
    "a step after an undo": ([begun(0), ended(0), undo("started", 0), undo("ended", 0)], begun(1)),
    "a result after an undo": ([begun(0), ended(0), undo("started", 0), undo("ended", 0)], RESULT),
    "an undo of a step of an undo": (
        [begun(0), ended(0), undo("started", 0), begun(1), ended(1), undo("ended", 0)], undo("started", 1)),
}  # fmt: skip
"""What a guest said, and what it may not say then."""


@pytest.mark.parametrize("name", OUT_OF_ORDER)
def test_undos_out_of_order_break_the_protocol(name: str) -> None:
    before, wrong = OUT_OF_ORDER[name]
    dialogue = Dialogue(RecordingHost({"test.call": 1}), LIMITS)
    for message in before:
        dialogue.handle(checked(message, GUEST_MESSAGES))
    out_of_order(dialogue, wrong)


def test_a_run_that_was_aborted_may_undo_and_an_abort_of_an_undo_is_only_its_failure() -> None:
    aborted, again = RunAborted("enough"), RunAborted("again")
    dialogue = Dialogue(RecordingHost({"test.call": aborted, "test.undo": again}), LIMITS)
    for message in (begun(0), ended(0), call(), undo("started", 0), call(1, capability="test.undo")):
        reply = dialogue.handle(message)
    assert reply is not None
    assert reply["error"]["message"] == "again"
    dialogue.handle(undo("ended", 0, "run.aborted"))
    with pytest.raises(RunAborted):
        dialogue.handle(call(2))
    failed = [{"step": "s0", "place": 0, "code": "run.aborted", "message": "again"}]
    with pytest.raises(RunAborted) as caught:
        dialogue.handle(error(details={"undo_failed": failed, "undo_failed_count": 1, "more": [1]}))
    assert caught.value is aborted
    assert caught.value.details == {"undo_failed": failed, "undo_failed_count": 1}


@pytest.mark.parametrize("part", ["arguments", "answer", "result"])
def test_values_are_bounded_in_every_direction(part: str) -> None:
    for size, is_refused in ((2_000, True), (500, False)):
        text = "x" * size
        answer = text if part == "answer" else 1
        dialogue = Dialogue(RecordingHost({"test.call": answer}), LIMITS)
        message = (
            RESULT | {"value": text} if part == "result" else call(arguments=[text] if part == "arguments" else [])
        )
        if is_refused:
            with pytest.raises(LimitExceeded) as caught:
                dialogue.handle(message)
            assert (caught.value.limit, caught.value.allowed) == ("value_bytes", 1_000)
        else:
            dialogue.handle(message)


def test_steps_are_passed_on_and_must_be_open() -> None:
    host = RecordingHost()
    dialogue = Dialogue(host, LIMITS)
    out_of_order(dialogue, step("ended"))
    dialogue.handle(step("started"))
    dialogue.handle(step("ended") | {"error": "guest.error"})
    out_of_order(dialogue, step("ended"))
    assert host.steps == [("started", "s", None), ("ended", "s", "guest.error")]


def test_the_start_message_is_one_and_is_bounded() -> None:
    plan = PlanProgram(source="1" * 5_000, name="n", inputs={"a": 1})
    checked(start_message(plan, LIMITS), HOST_MESSAGES)
    checked(start_message(GuestOperation(name="n", arguments={"a": 1}), LIMITS), HOST_MESSAGES)
    for large in (
        PlanProgram(source="1", name="n", inputs={"a": "x" * 2_000}),
        GuestOperation(name="n", arguments={"a": "x" * 2_000}),
    ):
        with pytest.raises(LimitExceeded):
            start_message(large, LIMITS)


def test_the_start_message_holds_all_modules() -> None:
    modules = tuple(ModuleText(f"m{index}", Source(f"m{index}.rtfs", "(module m)")) for index in range(MODULES_MAX))
    message = start_message(PlanProgram(source="1", name="n", modules=modules), LIMITS)
    assert checked(message, HOST_MESSAGES)["workload"]["modules"][0] == ["m0", "m0.rtfs", "(module m)"]
    assert "modules" not in start_message(PlanProgram(source="1", name="n"), LIMITS)["workload"]
    more = PlanProgram(source="1", name="n", modules=(*modules, modules[0]))
    assert MODULES_MAX == language_modules.MODULES_MAX
    with pytest.raises(WireError):
        checked(start_message(more, LIMITS), HOST_MESSAGES)


def test_a_program_of_the_largest_size_crosses() -> None:
    limits = ResourceLimits()
    half = "\N{GRINNING FACE}" * (TEXTS_CHARS_MAX // 2)
    modules = (ModuleText("m", Source("m.rtfs", half)),)
    message = start_message(PlanProgram(source=half, name="n", modules=modules), limits)
    assert unpack(pack(message, frame_bytes(limits))[HEADER_BYTES:]) == message


def test_hints_are_told_when_they_change() -> None:
    host = RecordingHost({"test.call": 1})
    dialogue = Dialogue(host, LIMITS)
    for index, hints in enumerate([{}, {"runtime.x": 1}, {"runtime.x": 1}, {}]):
        dialogue.handle(call(index, **({"hints": hints} if hints else {})))
    assert host.hints == [{"runtime.x": 1}, {}]
    assert len(host.calls) == 4


def test_hints_larger_than_a_value_may_be_are_a_limit() -> None:
    with pytest.raises(LimitExceeded):
        Dialogue(RecordingHost({"test.call": 1}), LIMITS).handle(call(hints={"runtime.x": "x" * 2_000}))


def test_the_options_of_a_step_are_told() -> None:
    host = RecordingHost({})
    dialogue = Dialogue(host, LIMITS)
    dialogue.handle(step("started") | {"options": {"place": 7, "context_keys": ["k"]}})
    dialogue.handle(step("started"))
    assert host.options == [{"place": 7, "context_keys": ["k"]}, {"place": 0}]


def test_a_step_that_does_not_say_which_it_is_breaks_the_order() -> None:
    message = step("started")
    del message["options"]
    out_of_order(Dialogue(RecordingHost({}), LIMITS), message)


class Knowing(RecordingHost):
    """Answers call after call with what is in a list, and knows how many of these answers for certain."""

    def __init__(self, answers: list[Any], *, known_count: int | None = None) -> None:
        super().__init__({})
        self.left = list(answers)
        self.known_count = len(answers) if known_count is None else known_count

    def call(self, capability_id: str, arguments: list[Any]) -> Any:
        self.known_count -= 1
        answer = self.left.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def coming_answers(self) -> Iterator[Any]:
        for answer in self.left[: max(0, self.known_count)]:
            if isinstance(answer, Exception):
                return
            yield answer


def reply(index: int, value: Any) -> dict[str, Any]:
    return {"type": "reply", "index": index, "value": value}


def test_what_is_known_is_told_ahead_and_then_not_again() -> None:
    dialogue = Dialogue(Knowing(["a", "b", "c", "d"], known_count=3), LIMITS)
    assert dialogue.handle(call(0)) == reply(0, "a")
    assert dialogue.ahead() == [reply(1, "b"), reply(2, "c")]
    assert dialogue.ahead() == []
    assert [dialogue.handle(call(1)), dialogue.handle(call(2))] == [None, None]
    assert dialogue.ahead() == []
    assert dialogue.handle(call(3)) == reply(3, "d")


def test_after_what_was_not_known_it_is_told_ahead_again() -> None:
    large = "x" * (AHEAD_BYTES_MAX + 1)
    dialogue = Dialogue(Knowing([1, 2, large, 4, GuestError("no"), 6, 7]), ResourceLimits())
    said = []
    for index in range(7):
        answer = dialogue.handle(call(index))
        said.append([*([] if answer is None else [answer["index"]]), *(each["index"] for each in dialogue.ahead())])
    assert said == [[0, 1], [], [2, 3], [], [4, 5, 6], [], []]


def test_a_host_that_knows_nothing_is_not_asked() -> None:
    dialogue = Dialogue(RecordingHost({"test.call": 1}), LIMITS)
    dialogue.handle(call(0))
    assert dialogue.ahead() == Dialogue(None, LIMITS).ahead() == []


def test_so_much_is_told_ahead_and_no_more() -> None:
    answers = ["x" * (AHEAD_BYTES_MAX - 2)] * (3 * AHEAD_COUNT_MAX)
    dialogue = Dialogue(Knowing(answers), ResourceLimits())
    told, made = len(dialogue.ahead()), 0
    while made < len(answers):
        assert made < told <= made + AHEAD_COUNT_MAX
        assert dialogue.handle(call(made)) is None
        made += 1
        told += len(dialogue.ahead())
    assert told == made


SPENT = LimitExceeded("much", limit="wall_ms", allowed=1, unit="ms")


@pytest.mark.parametrize("otherwise", ["another", GuestError("it failed"), SPENT])
def test_a_call_that_comes_to_something_else_than_was_told_ends_it(otherwise: Any) -> None:
    host = Knowing(["told", "told"])
    dialogue = Dialogue(host, LIMITS)
    assert dialogue.ahead() == [reply(0, "told"), reply(1, "told")]
    host.left[0] = otherwise
    with pytest.raises(InternalError, match="call 0 was answered before it was made"):
        dialogue.handle(call(0))


def test_another_call_than_was_told_ends_it() -> None:
    host = Knowing([1, 2])
    dialogue = Dialogue(host, LIMITS)
    dialogue.ahead()
    out_of_order(dialogue, call(1))
    host.left[0] = JournalError("another call", code="journal.diverged")
    with pytest.raises(JournalError):
        dialogue.handle(call(0))


def test_nothing_is_told_ahead_once_it_is_over() -> None:
    ended = Dialogue(Knowing([1, 2]), LIMITS)
    ended.handle(RESULT)
    failing = Dialogue(Knowing([SPENT, 2], known_count=0), LIMITS)
    failing.handle(call(0))
    failing._host.known_count = 1  # type: ignore[union-attr]
    assert ended.ahead() == failing.ahead() == []
