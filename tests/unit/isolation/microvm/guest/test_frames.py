"""Frames arrive whole however they were chopped up, and what is none is refused before it is kept."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples

from cloister.errors import WireError
from cloister.isolation.microvm.guest.frames import (
    BODY_BYTES_MAX,
    HEADER,
    INWARD_MAX,
    STREAMS_MAX,
    Decoder,
    Frame,
    Kind,
    encode,
    encode_credit,
    encode_json,
)

FRAMES = st.lists(
    st.builds(Frame, st.integers(0, STREAMS_MAX + INWARD_MAX - 1), st.sampled_from(Kind), st.binary(max_size=200)),
    max_size=8,
)


def refused(data: bytes) -> str:
    with pytest.raises(WireError) as caught:
        list(Decoder().feed(data))
    return caught.value.code


@given(frames=FRAMES, cuts=st.lists(st.integers(0, 2000), max_size=20))
@examples(200)
def test_frames_arrive_however_they_were_chopped_up(frames, cuts) -> None:
    data = b"".join(encode(*frame) for frame in frames)
    decoder, found, begin = Decoder(), [], 0
    for cut in (*sorted(min(cut, len(data)) for cut in cuts), len(data)):
        found += decoder.feed(data[begin:cut])
        begin = cut
    assert found == frames
    assert not decoder.is_inside


@given(data=st.binary(max_size=300))
@examples(200)
def test_arbitrary_bytes_are_frames_or_an_error_of_the_wire(data) -> None:
    decoder = Decoder()
    try:
        found = list(decoder.feed(data))
    except WireError:
        return
    assert sum(HEADER.size + len(frame.body) for frame in found) <= len(data)


def test_a_body_of_the_longest_kind_arrives_and_a_longer_one_is_refused_by_its_header_alone() -> None:
    (frame,) = Decoder().feed(encode(1, Kind.OUTPUT, bytes(BODY_BYTES_MAX)))
    assert len(frame.body) == BODY_BYTES_MAX
    assert refused(HEADER.pack(BODY_BYTES_MAX + 1, 1, Kind.OUTPUT)) == "provider.wire-oversize"


@pytest.mark.parametrize("kind", [0, max(Kind) + 1, 2**16 - 1])
def test_a_kind_that_is_not_known_is_refused(kind) -> None:
    assert refused(HEADER.pack(0, 1, kind)) == "provider.wire-shape"


def test_the_last_stream_is_one_and_the_next_is_refused() -> None:
    (frame,) = Decoder().feed(HEADER.pack(0, STREAMS_MAX + INWARD_MAX - 1, Kind.END))
    assert frame.stream == STREAMS_MAX + INWARD_MAX - 1
    assert refused(HEADER.pack(0, STREAMS_MAX + INWARD_MAX, Kind.END)) == "provider.wire-shape"


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"3", b'"x"', b"\xff\xfe", b"[" * 100_000, b"1" * 100_000, b"{}{}", b'{"a": 1e}']
)
def test_data_that_is_no_object_is_refused(body) -> None:
    with pytest.raises(WireError) as caught:
        Frame(1, Kind.STATUS, body).data()
    assert caught.value.code == "provider.wire-json"


def test_names_that_are_not_text_survive() -> None:
    (frame,) = Decoder().feed(encode_json(1, Kind.ORDER, {"path": "/a\udcff"}))
    assert frame.data() == {"path": "/a\udcff"}
    assert json.loads(frame.body.decode("ascii")) == frame.data()


@pytest.mark.parametrize("body", [b"", b"\0\0\0", b"\0" * 5, b"\0" * 8])
def test_a_credit_that_is_no_number_is_refused(body) -> None:
    with pytest.raises(WireError) as caught:
        Frame(1, Kind.CREDIT, body).credit()
    assert caught.value.code == "provider.wire-shape"


def test_a_credit_arrives() -> None:
    (frame,) = Decoder().feed(encode_credit(7, 2**32 - 1))
    assert (frame.stream, frame.credit()) == (7, 2**32 - 1)
