"""Frames and the channel: what is accepted, what is refused, and that nothing but WireError comes of hostile bytes."""

import json
import socket
import sys
import threading
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from cloister.errors import LimitExceeded, WireError
from cloister.isolation.wire import (
    JSON_NESTING_MAX,
    Channel,
    FrameDecoder,
    Side,
    check_value_size,
    frame_bytes,
    pack,
    unpack,
    value_bytes,
)
from cloister.isolation.wire_messages import GUEST_MESSAGES, HOST_MESSAGES
from cloister.lang.transport import NESTING_MAX, decode, encode
from cloister.lang.values import Map
from cloister.limits import ResourceLimits

BYTES_MAX = 10_000
CALL = {"type": "call", "index": 0, "capability": "test.call", "arguments": [1, "é", None]}
RESULT = {"type": "result", "value": {"a": [1.5]}, "steps": 3}

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


def frame(body: bytes) -> bytes:
    return len(body).to_bytes(4, "big") + body


def decoded(data: bytes, bytes_max: int = BYTES_MAX) -> list[dict[str, object]]:
    decoder = FrameDecoder(bytes_max, GUEST_MESSAGES)
    decoder.feed(data)
    messages = list(decoder.messages())
    decoder.finish()
    return messages


@pytest.fixture
def pair() -> Iterator[tuple[Channel, Channel]]:
    host_socket, guest_socket = socket.socketpair()
    with host_socket, guest_socket:
        yield Channel(host_socket, Side.HOST, BYTES_MAX), Channel(guest_socket, Side.GUEST, BYTES_MAX)


def test_a_message_arrives_as_it_was_sent(pair: tuple[Channel, Channel]) -> None:
    host, guest = pair
    guest.send(CALL)
    assert host.receive() == CALL
    host.send({"type": "reply", "index": 0, "value": {"~keyword": "ok"}})
    assert guest.receive() == {"type": "reply", "index": 0, "value": {"~keyword": "ok"}}


def test_a_message_larger_than_any_socket_buffer_arrives(pair: tuple[Channel, Channel]) -> None:
    host, guest = pair
    host.bytes_max = guest.bytes_max = 4_000_000
    big = Channel(host.socket, Side.HOST, 4_000_000)
    message = {"type": "result", "value": "x" * 3_000_000, "steps": None}
    sender = threading.Thread(target=guest.send, args=(message,))
    sender.start()
    assert big.receive() == message
    sender.join()


def test_several_messages_in_one_read_are_kept_apart(pair: tuple[Channel, Channel]) -> None:
    host, guest = pair
    guest.send(CALL)
    guest.send(RESULT)
    assert (host.receive(), host.receive()) == (CALL, RESULT)


def test_the_end_between_frames_is_none_and_stays_so(pair: tuple[Channel, Channel]) -> None:
    host, guest = pair
    guest.send(RESULT)
    guest.socket.close()
    assert host.receive() == RESULT
    assert host.receive() is None
    assert host.receive() is None


def test_the_end_inside_a_frame_is_refused(pair: tuple[Channel, Channel]) -> None:
    host, guest = pair
    guest.socket.sendall(pack(RESULT, BYTES_MAX)[:-1])
    guest.socket.close()
    with pytest.raises(WireError) as caught:
        host.receive()
    assert caught.value.code == "provider.wire-truncated"


def test_sending_to_nobody_is_refused(pair: tuple[Channel, Channel]) -> None:
    host, guest = pair
    guest.socket.close()
    with pytest.raises(WireError) as caught:
        host.send({"type": "reply", "index": 0, "value": 1})
    assert caught.value.code == "provider.wire-closed"


def test_a_timeout_loses_nothing(pair: tuple[Channel, Channel]) -> None:
    host, guest = pair
    packed = pack(RESULT, BYTES_MAX)
    guest.socket.sendall(packed[:7])
    host.socket.settimeout(0.01)
    with pytest.raises(TimeoutError):
        host.receive()
    guest.socket.sendall(packed[7:])
    assert host.receive() == RESULT


def test_a_side_may_not_send_what_the_other_says(pair: tuple[Channel, Channel]) -> None:
    host, guest = pair
    for channel, message in ((host, CALL), (guest, {"type": "reply", "index": 0, "value": 1})):
        with pytest.raises(WireError) as caught:
            channel.send(message)
        assert caught.value.code == "provider.wire-shape"


def test_a_size_is_refused_when_announced_and_not_when_received() -> None:
    decoder = FrameDecoder(100, GUEST_MESSAGES)
    decoder.feed((101).to_bytes(4, "big"))
    with pytest.raises(WireError) as caught:
        decoder.next_message()
    assert caught.value.code == "provider.wire-oversize"
    assert caught.value.details == {"allowed": 100, "used": 101}


def test_the_largest_allowed_frame_is_accepted() -> None:
    body = json.dumps(RESULT).encode()
    assert decoded(frame(body), bytes_max=len(body)) == [RESULT]
    with pytest.raises(WireError):
        decoded(frame(body), bytes_max=len(body) - 1)
    assert unpack(pack(RESULT, value_bytes(RESULT))[4:]) == RESULT
    with pytest.raises(WireError) as caught:
        pack(RESULT, value_bytes(RESULT) - 1)
    assert caught.value.code == "provider.wire-oversize"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"type":"result","value":NaN,"steps":1}',
        b'{"type":"result","value":-Infinity,"steps":1}',
        b'{"type":"result","value":1e999,"steps":1}',
        b'{"type":"result","value":"\\ud800","steps":1}',
        b'{"type":"result","value":' + b"9" * 5_000 + b',"steps":1}',
        b'{"type":"result","value":' + b"[" * 1_000 + b"]" * 1_000 + b',"steps":1}',
        b'{"type":"result","value":1,"steps":1} ,',
    ],
)
def test_what_is_not_json_is_refused(body: bytes) -> None:
    with pytest.raises(WireError) as caught:
        decoded(frame(body))
    assert caught.value.code == "provider.wire-json"


@pytest.mark.parametrize("text", ["back\\ud800slash", "pair 😀", "\x00\x1b[31m", '"quotes\\"', "[[[{{{" * 300])
def test_odd_but_whole_text_passes(text: str) -> None:
    message = {"type": "result", "value": text, "steps": 1}
    assert decoded(pack(message, BYTES_MAX)) == [message]
    assert decoded(frame(json.dumps(message).encode()), bytes_max=20_000) == [message]


def test_nesting_is_bounded_whatever_the_recursion_limit_is() -> None:
    deep = b'{"type":"result","steps":1,"value":' + b"[" * 200_000 + b"]" * 200_000 + b"}"
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(1_000_000)
    try:
        with pytest.raises(WireError, match="nests deeper"):
            unpack(deep)
    finally:
        sys.setrecursionlimit(before)


def test_every_value_that_may_cross_is_shallow_enough() -> None:
    value: object = 1
    for _ in range(NESTING_MAX):
        value = Map({1: value})
    message = {"type": "result", "value": encode(value), "steps": None}
    received = unpack(pack(message, 100_000)[4:])
    assert decode(received["value"]) == value
    depth = json.dumps(message).count("[") + json.dumps(message).count("{")
    assert depth <= JSON_NESTING_MAX


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", b"bytes", object()])
def test_what_json_does_not_have_is_not_sent(value: object) -> None:
    with pytest.raises(WireError) as caught:
        pack({"type": "result", "value": value, "steps": 1}, BYTES_MAX)
    assert caught.value.code == "provider.wire-json"


def test_the_frame_of_an_execution_has_room_for_its_largest_value() -> None:
    limits = ResourceLimits(value_bytes=1_000)
    value = "x" * (limits.value_bytes - 2)
    assert value_bytes(value) == limits.value_bytes
    pack({"type": "result", "value": value, "steps": None}, frame_bytes(limits))
    assert frame_bytes(ResourceLimits(value_bytes=2**40)) < 2**32


@given(JSON, st.integers(1, 50))
def test_any_value_survives_any_chopping(value: object, size: int) -> None:
    message = {"type": "result", "value": value, "steps": 1}
    data = pack(message, 10_000_000) * 2
    decoder = FrameDecoder(10_000_000, GUEST_MESSAGES)
    got = []
    for start in range(0, len(data), size):
        decoder.feed(data[start : start + size])
        got.extend(decoder.messages())
    decoder.finish()
    assert got == [message, message]


@given(st.binary(max_size=300))
@example(b"\x00\x00\x00\x02{}")
@example(b"\x00\x00\x00\x00")
@example(b"\xff\xff\xff\xff")
def test_hostile_bytes_give_messages_or_wire_errors(data: bytes) -> None:
    try:
        messages = decoded(data)
    except WireError:
        return
    assert all(message["type"] in GUEST_MESSAGES for message in messages)


@given(
    st.fixed_dictionaries(
        {"type": st.sampled_from([*GUEST_MESSAGES, *HOST_MESSAGES, "other"])},
        optional={
            name: JSON
            for shape in (*GUEST_MESSAGES.values(), *HOST_MESSAGES.values())
            for name in (*shape.fields, "extra")
        },
    )
)
def test_hostile_messages_give_messages_or_wire_errors(message: dict[str, object]) -> None:
    try:
        (got,) = decoded(frame(json.dumps(message).encode()), bytes_max=10_000_000)
    except WireError as error:
        assert error.code == "provider.wire-shape"  # noqa: PT017 - the alternative is a valid message
    else:
        assert set(got) - {"type"} <= set(GUEST_MESSAGES[str(got["type"])].fields)


LEAST = ResourceLimits(value_bytes=64 * 1024, value_elements_count=8)


@given(JSON | st.lists(st.text(alphabet="\0a", max_size=1_000) | st.integers(-(2**63), 2**63 - 1), max_size=8))
def test_what_is_taken_for_small_is_small(value: object) -> None:
    """The limits are the least under which nothing is encoded to see how large it is."""
    try:
        check_value_size(value, LEAST, "it")
    except LimitExceeded:
        return
    assert value_bytes(value) <= LEAST.value_bytes


@pytest.mark.parametrize(
    ("value", "limits", "code"),
    [
        (["\0" * 1_000] * 9, ResourceLimits(value_bytes=50_000), "limit.value"),
        (["\0" * 1_000] * 8, ResourceLimits(value_bytes=40_000), "limit.value"),
        ("\0" * 11_000, LEAST, "limit.value"),
        ([1] * 9, LEAST, "limit.value-elements"),
        ([1] * 8, ResourceLimits(value_elements_count=7), "limit.value-elements"),
        ([[1] * 9], LEAST, "limit.value-elements"),
        ({"a": [1] * 8}, LEAST, "limit.value-elements"),
        ("\ud800", LEAST, "provider.wire-json"),
        ([float("nan")], LEAST, "provider.wire-json"),
    ],
)
def test_what_is_not_small_is_looked_at(value: object, limits: ResourceLimits, code: str) -> None:
    with pytest.raises((LimitExceeded, WireError)) as caught:
        check_value_size(value, limits, "it")
    assert caught.value.code == code
    check_value_size(["\0" * 1_000] * 8, LEAST, "it")
