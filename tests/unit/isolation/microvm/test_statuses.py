"""What an agent says of an end: exactly one shape, and whatever else a machine that was taken over says is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples
from tests.unit.isolation.microvm.agents import PRIVATE, USAGE, status

from cloister.errors import WireError
from cloister.isolation.microvm.statuses import LIMITS, checked, hung_up

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=10), each, max_size=3),
    max_leaves=8,
)


def test_a_status_says_how_it_ended() -> None:
    ended = checked(status(0x0300, limit=["cpu_ms", 1200]))
    assert ended.report == {"status": 0x0300, "private": PRIVATE}
    assert (ended.limit, ended.usage, ended.lost) == (("cpu_ms", 1200), USAGE, None)


def test_a_status_may_say_that_nothing_was_measured() -> None:
    unknown = dict.fromkeys(USAGE)
    assert checked(status(usage=unknown)).usage == unknown


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_an_agent_may_name_the_limits_it_enforces(name) -> None:
    assert checked(status(limit=[name, 1])).limit == (name, 1)


@pytest.mark.parametrize(
    "facts",
    [
        {"report": None},
        {"report": {}},
        {"report": []},
        {"report": {"status": 0}},
        {"report": {"status": 2**16, "private": PRIVATE}},
        {"report": {"status": -1, "private": PRIVATE}},
        {"report": {"status": True, "private": PRIVATE}},
        {"report": {"status": 0, "private": PRIVATE, "more": 1}},
        {"report": {"failed": "nothing known"}},
        {"report": {"failed": "exec", "program": "x" * 5000, "errno": 2}},
        {"limit": ["wall_ms", 1]},
        {"limit": ["output_bytes", 1]},
        {"limit": ["disk_bytes", 1]},
        {"limit": ["cpu_ms"]},
        {"limit": ["cpu_ms", -1]},
        {"limit": ["cpu_ms", 2**62]},
        {"limit": ["cpu_ms", 1.5]},
        {"limit": ["cpu_ms", True]},
        {"limit": [[], 1]},
        {"limit": [{}, 1]},
        {"limit": "cpu_ms"},
        {"limit": {"cpu_ms": 1}},
        {"usage": None},
        {"usage": {}},
        {"usage": {**USAGE, "more": 1}},
        {"usage": {**USAGE, "cpu_user_us": -1}},
        {"usage": {**USAGE, "cpu_user_us": 2**62}},
        {"usage": {**USAGE, "cpu_user_us": "1"}},
        {"usage": {**USAGE, "cpu_user_us": float("inf")}},
        {"more": 1},
    ],
    ids=str,
)
def test_whatever_else_is_refused(facts) -> None:
    with pytest.raises(WireError) as caught:
        checked(status(**facts))
    assert caught.value.code == "provider.wire-shape"


@given(data=st.dictionaries(st.sampled_from(["report", "limit", "usage", "more"]), JSON))
@examples(300)
def test_whatever_a_machine_says_is_a_status_or_an_error_of_the_wire(data) -> None:
    try:
        checked(data)
    except WireError:
        return
    raise AssertionError("a random object was taken for a status")


def test_why_a_connection_ended_is_shown_without_control_characters() -> None:
    assert "\x1b" not in hung_up("\x1b[2J").message
