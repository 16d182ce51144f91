"""The life of one execution in the guest: every end is reported, and a host that is gone ends it quietly."""

import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from cloister.errors import WireError
from cloister.isolation.guest import main
from cloister.isolation.wire import Channel, Side, frame_bytes
from cloister.limits import ResourceLimits

LIMITS = ResourceLimits(value_bytes=2_000)


def plan(source: str, **inputs: object) -> dict[str, Any]:
    return {"type": "start", "workload": {"kind": "plan", "source": source, "name": "test", "inputs": inputs}}


class Guest:
    """A guest that serves on a thread, and the host's end of its channel."""

    def __init__(self) -> None:
        ours, self._theirs = socket.socketpair()
        self.host = Channel(ours, Side.HOST, frame_bytes(LIMITS))
        self.failure: Exception | None = None
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        try:
            main.serve(self._theirs, LIMITS)
        except WireError as error:
            self.failure = error
        self._theirs.close()

    def ask(self, message: dict[str, Any]) -> dict[str, Any]:
        self.host.send(message)
        answer = self.host.receive()
        assert answer is not None
        return answer

    def join(self) -> None:
        self._thread.join(timeout=30)
        assert not self._thread.is_alive()


@pytest.fixture
def guest() -> Iterator[Guest]:
    guest = Guest()
    yield guest
    guest.host.socket.close()
    guest.join()


class ScriptedLink:
    """A link that was given one message and keeps what it is told; its first sends may fail."""

    def __init__(self, start: Any, failures: tuple[WireError, ...] = ()) -> None:
        self._start = start
        self._failures = list(failures)
        self.sent: list[dict[str, Any]] = []

    def send(self, message: dict[str, Any]) -> None:
        if self._failures:
            raise self._failures.pop(0)
        self.sent.append(message)

    def receive(self) -> dict[str, Any] | None:
        message, self._start = self._start, None
        return message


def test_a_plan_is_run_and_the_channel_ends(guest: Guest) -> None:
    answer = guest.ask(plan("(+ x 2)", x=1))
    assert (answer["type"], answer["value"]) == ("result", 3)
    assert answer["steps"] >= 0
    assert guest.host.receive() is None


def test_calls_and_steps_are_messages_in_order(guest: Guest) -> None:
    started = guest.ask(plan('(step "s" (call :a.b 1 {:k [nil]}))'))
    said = {"place": 0}
    assert started == {"type": "step", "event": "started", "name": "s", "error": None, "options": said}
    call = guest.host.receive()
    argument = {"~map": [[{"~keyword": "k"}, [None]]]}
    assert call == {"type": "call", "index": 0, "capability": "a.b", "arguments": [1, argument]}
    ended = guest.ask({"type": "reply", "index": 0, "value": {"~keyword": "done"}})
    assert ended == {"type": "step", "event": "ended", "name": "s", "error": None}
    result = guest.host.receive()
    assert result is not None
    assert result["value"] == {"~keyword": "done"}


def test_hints_and_options_go_with_their_messages(guest: Guest) -> None:
    started = guest.ask(plan('(step "s" :context-keys ["k"] ^{:runtime.x {:a 1}} (call :a)) (call :b)'))
    assert started["options"] == {"place": 0, "context_keys": ["k"]}
    call = guest.host.receive()
    assert call is not None
    assert call["hints"] == {"runtime.x": {"~map": [[{"~keyword": "a"}, 1]]}}
    guest.ask({"type": "reply", "index": 0, "value": None})
    plain = guest.host.receive()
    assert plain == {"type": "call", "index": 1, "capability": "b", "arguments": []}


def test_a_hint_that_cannot_cross_is_an_error_of_the_plan(guest: Guest) -> None:
    failed = guest.ask(plan("^{:runtime.x (fn [] 1)} (call :a)"))
    assert failed["error"]["kind"] == "TypeError"


def test_an_uncaught_error_of_a_call_names_the_call(guest: Guest) -> None:
    error = {"type": "PathDenied", "code": "denied.path", "message": "no", "kind": "SecurityViolation"}
    assert guest.ask(plan("(try (call :a) (catch e 1)) (call :b)"))["index"] == 0
    assert guest.ask({"type": "reply", "index": 0, "error": error})["index"] == 1
    ending = guest.ask({"type": "reply", "index": 1, "error": error})
    assert (ending["type"], ending["error"]["call_index"]) == ("error", 1)
    assert (ending["error"]["type"], ending["error"]["code"]) == ("PathDenied", "denied.path")


def test_an_error_caught_and_replaced_is_the_plans_own(guest: Guest) -> None:
    assert guest.ask(plan("(try (call :a) (catch e (/ 1 0)))"))["type"] == "call"
    error = {"type": "GuestError", "code": "guest.io", "message": "no", "kind": "IoError"}
    ending = guest.ask({"type": "reply", "index": 0, "error": error})
    assert (ending["error"]["call_index"], ending["error"]["kind"]) == (None, "DivisionByZero")


@pytest.mark.parametrize(
    ("source", "code"),
    [
        ("(+ 1", "read."),
        ("(lenght [])", "compile.unknown-name"),
        ("(/ 1 0)", "guest."),
        ("(fn [x] x)", "guest."),
        ("(call :a (fn [x] x))", "guest."),
        (f"(call :{'a' * 201})", "guest."),
        (f'"{"x" * 3_000}"', "limit.value"),
        (f'(call :a "{"x" * 3_000}")', "limit.value"),
        ("(defn f [x] (+ 1 (f x))) (f 1)", "limit."),
    ],
)
def test_every_failure_is_reported_as_its_error(guest: Guest, source: str, code: str) -> None:
    ending = guest.ask(plan(source))
    assert ending["type"] == "error"
    assert ending["error"]["code"].startswith(code)


def test_limits_of_the_start_only_lower(guest: Guest) -> None:
    start = plan("(loop [n 0] (if (< n 1000) (recur (+ n 1)) n))")
    limits = ResourceLimits(steps_count=100, value_bytes=2**40).to_dict()
    ending = guest.ask(start | {"limits": limits})
    assert ending["error"]["details"]["allowed"] == 100


def test_limits_of_the_start_never_raise(guest: Guest) -> None:
    limits = ResourceLimits(value_bytes=2**40).to_dict()
    ending = guest.ask(plan(f'"{"x" * 3_000}"') | {"limits": limits})
    assert ending["error"]["details"]["allowed"] == LIMITS.value_bytes


def test_operations_are_run(guest: Guest) -> None:
    start = {"type": "start", "workload": {"kind": "operation", "name": "file_exists", "arguments": {"path": "/"}}}
    assert guest.ask(start) == {"type": "result", "value": True, "steps": None}


def test_a_large_result_of_an_operation_is_a_limit(guest: Guest, tmp_path: Any) -> None:
    (tmp_path / "control").write_text("\x01" * 1_000)  # six bytes each as JSON
    arguments = {"path": f"{tmp_path}/control"}
    start = {"type": "start", "workload": {"kind": "operation", "name": "read_file", "arguments": arguments}}
    assert guest.ask(start)["error"]["code"] == "limit.value"


def test_a_host_that_goes_away_during_a_call_ends_the_guest(guest: Guest) -> None:
    source = "(try (call :a) (catch e 1) (finally (call :b)))"
    assert guest.ask(plan(source))["type"] == "call"
    guest.host.socket.close()
    guest.join()
    assert guest.failure is None


def test_a_host_that_says_nothing_ends_the_guest(guest: Guest) -> None:
    guest.host.socket.close()
    guest.join()
    assert guest.failure is None


def test_a_wrong_reply_ends_the_guest(guest: Guest) -> None:
    assert guest.ask(plan("(try (call :a) (catch e 1))"))["type"] == "call"
    guest.host.send({"type": "reply", "index": 5, "value": 1})
    assert guest.host.receive() is None


def test_a_host_that_does_not_start_is_refused(guest: Guest) -> None:
    guest.host.send({"type": "reply", "index": 0, "value": 1})
    guest.join()
    assert isinstance(guest.failure, WireError)
    assert guest.failure.code == "provider.wire-order"


def test_what_nobody_foresaw_is_reported_without_a_traceback() -> None:
    link = ScriptedLink({"type": "start", "workload": {"kind": "operation", "name": [], "arguments": {}}})
    main.run(link, LIMITS)
    (ending,) = link.sent
    error = ending["error"]
    assert (error["type"], error["code"]) == ("InternalError", "internal.error")
    assert error["details"]["exception"] == "TypeError"
    assert error["details"]["at"].startswith("operations.py:")
    assert "Traceback" not in str(ending)


@pytest.mark.parametrize(("exhaustion", "limit"), [(MemoryError(), "memory_bytes"), (RecursionError(), "depth_count")])
def test_exhaustion_is_a_limit(exhaustion: Exception, limit: str) -> None:
    class Exhausting(dict[str, Any]):
        def __getitem__(self, name: str) -> Any:
            raise exhaustion

    link = ScriptedLink({"type": "start", "workload": Exhausting()})
    main.run(link, LIMITS)
    assert link.sent[0]["error"]["details"]["limit"] == limit


def test_an_end_that_cannot_be_said_is_at_least_mentioned() -> None:
    link = ScriptedLink(plan("1"), (WireError("too large", code="provider.wire-oversize"),))
    main.run(link, LIMITS)
    assert [message["error"]["code"] for message in link.sent] == ["internal.error"]


def test_an_end_that_nobody_hears_is_no_failure() -> None:
    link = ScriptedLink(plan("1"), (WireError("gone", code="provider.wire-closed"),))
    main.run(link, LIMITS)
    assert link.sent == []


def test_a_plan_with_too_many_steps_inside_one_another_fails_by_itself() -> None:
    source = '(defn f [n] (if (= n 0) 7 (step "s" (f (- n 1))))) (f {})'
    for depth, ending in ((256, "result"), (257, "error")):
        link = ScriptedLink(plan(source.format(depth)))
        main.run(link, ResourceLimits())
        last = link.sent[-1]
        assert last["type"] == ending
        started = [message for message in link.sent if message.get("event") == "started"]
        ended = [message for message in link.sent if message.get("event") == "ended"]
        assert len(started) == len(ended) == 256
        if ending == "error":
            assert (last["error"]["code"], last["error"]["kind"]) == ("guest.steps", "ResourceError")


def test_a_result_of_too_many_elements_is_reported_as_a_limit() -> None:
    limits = ResourceLimits(value_elements_count=100)
    for count, ending in ((100, "result"), (101, "error")):
        link = ScriptedLink(plan(f"(range 0 {count})"))
        main.run(link, limits)
        assert link.sent[-1]["type"] == ending
    assert link.sent[-1]["error"]["code"] == "limit.value-elements"


def test_keywords_count_as_the_objects_they_cross_as() -> None:
    link = ScriptedLink(plan("[:a :b :c]"))
    main.run(link, ResourceLimits(value_elements_count=5))
    assert link.sent[-1]["error"]["code"] == "limit.value-elements"
    link = ScriptedLink(plan("[:a :b :c]"))
    main.run(link, ResourceLimits(value_elements_count=6))
    assert link.sent[-1]["type"] == "result"


def test_answers_that_come_before_the_reply_to_a_step_are_kept_for_their_calls(guest: Guest) -> None:
    order = plan('(do (step "a" 1) (step "b" [(call :test.one) (call :test.two)]))')
    order["workload"]["steps_unasked"] = 1
    assert guest.ask(order)["name"] == "a"
    assert guest.host.receive()["event"] == "ended"
    assert guest.host.receive()["waits"] is True
    for index, value in enumerate(("one", "two")):
        guest.host.send({"type": "reply", "index": index, "value": value})
    guest.host.send({"type": "reply", "index": 0, "step": True, "value": None})
    assert [guest.host.receive()["type"] for _ in range(4)] == ["call", "call", "step", "result"]
    guest.join()


def test_the_reply_to_a_step_is_no_answer_to_a_call(guest: Guest) -> None:
    assert guest.ask(plan("(call :test.one)"))["type"] == "call"
    guest.host.send({"type": "reply", "index": 0, "step": True, "value": "step"})
    assert guest.host.receive() is None
    guest.join()
