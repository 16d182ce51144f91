"""A quote verifies as it is, and no longer when anything in it, or anything it is compared with, is another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from tests.unit.isolation.microvm.tpm.tpms import DIGESTS, NONCE, Started, attestation, powered_on, quoted

from cloister.errors import AttestationError, CloisterError, DigestMismatch, SignatureInvalid
from cloister.isolation.attestation import Attestation, MeasuredEvent, TpmQuote
from cloister.isolation.microvm.tpm import wire
from cloister.isolation.microvm.tpm.client import KEY_HANDLE, Tpm, over_socket
from cloister.isolation.microvm.tpm.log import PCR_OF, PCRS
from cloister.isolation.microvm.tpm.quote import (
    answered,
    measured_parts,
    public_key_pem,
    verify_attested,
    verify_quote,
)
from cloister.isolation.microvm.tpm.swtpm import SoftwareTpm


@dataclass(frozen=True)
class Machine:
    quote: TpmQuote
    public_key: bytes

    def verify(self, quote: TpmQuote | None = None, **other: Any) -> None:
        given = {"public_key": self.public_key, "nonce": NONCE, "expected": DIGESTS} | other
        verify_quote(quote or self.quote, **given)


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    with SoftwareTpm.start(Started) as tpm:
        yield Machine(quoted(tpm), tpm.key.public_key)


def refusal(act: Callable[[], object]) -> AttestationError:
    with pytest.raises(AttestationError) as caught:
        act()
    assert caught.value.exit_status == 7
    return caught.value


def test_a_true_quote_verifies(machine: Machine) -> None:
    machine.verify()


def test_one_without_drives_verifies_where_none_is_expected() -> None:
    with SoftwareTpm.start(Started) as tpm:
        other = Machine(quoted(tpm, parts=("command-line", "agent")), tpm.key.public_key)
    other.verify(expected=DIGESTS | {"rootfs": None, "capabilities": None})
    assert isinstance(refusal(other.verify), DigestMismatch)


@pytest.mark.parametrize("name", ["attested", "signature"])
def test_every_flipped_bit_is_refused(machine: Machine, name: str) -> None:
    data = bytes.fromhex(getattr(machine.quote, name))
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        forged = replace(machine.quote, **{name: flipped.hex()})
        assert refusal(lambda forged=forged: machine.verify(forged)).code in {
            "attestation.signature",
            "attestation.quote",
        }
    machine.verify()


def test_every_flipped_bit_of_the_key_is_refused(machine: Machine) -> None:
    for bit in range(len(machine.public_key) * 8):
        flipped = bytearray(machine.public_key)
        flipped[bit // 8] ^= 1 << bit % 8
        key = bytes(flipped)
        refusal(lambda key=key: machine.verify(public_key=key))
        refusal(lambda key=key: machine.verify(replace(machine.quote, public_key=key.hex())))
    machine.verify()


@pytest.mark.parametrize("part", DIGESTS)
def test_another_measurement_is_a_mismatch_that_names_the_part(machine: Machine, part: str) -> None:
    error = refusal(lambda: machine.verify(expected=DIGESTS | {part: "ff" * 32}))
    assert isinstance(error, DigestMismatch)
    assert error.details == {"part": part, "expected": "ff" * 32, "measured": DIGESTS[part]}


@pytest.mark.parametrize("index", range(len(DIGESTS)))
def test_a_log_that_says_what_is_expected_but_was_not_measured_is_refused(machine: Machine, index: int) -> None:
    events = list(machine.quote.events)
    events[index] = replace(events[index], sha256="ff" * 32)
    forged = replace(machine.quote, events=tuple(events))
    error = refusal(lambda: machine.verify(forged, expected=DIGESTS | {events[index].part: "ff" * 32}))
    assert error.code == "attestation.quote"
    assert "do not hold what the log says" in error.message


LOGS: dict[str, Callable[[list[MeasuredEvent]], list[MeasuredEvent]]] = {
    "twice": lambda events: [*events, events[0]],
    "another register": lambda events: [replace(events[0], pcr=9), *events[1:]],
    "unknown part": lambda events: [replace(events[0], part="kernel"), *events[1:]],
    "further": lambda events: [*events, MeasuredEvent(pcr=14, part="more", sha256="00" * 32)],
}


@pytest.mark.parametrize("change", LOGS)
def test_a_log_with_what_does_not_belong_there_is_refused(machine: Machine, change: str) -> None:
    forged = replace(machine.quote, events=tuple(LOGS[change](list(machine.quote.events))))
    error = refusal(lambda: machine.verify(forged))
    assert (error.code, "does not belong there" in error.message) == ("attestation.quote", True)


def test_the_order_of_the_log_within_different_registers_means_nothing(machine: Machine) -> None:
    machine.verify(replace(machine.quote, events=machine.quote.events[::-1]))


def test_an_old_quote_does_not_answer_a_new_challenge(machine: Machine) -> None:
    error = refusal(lambda: machine.verify(nonce=bytes(32)))
    assert "challenge" in error.message
    refusal(lambda: machine.verify(replace(machine.quote, nonce="00" * 32)))


def test_a_quote_of_another_tpm_is_refused(machine: Machine) -> None:
    with SoftwareTpm.start(Started) as tpm:
        other = Machine(quoted(tpm), tpm.key.public_key)
    other.verify()
    forged = replace(other.quote, public_key=machine.quote.public_key)
    assert isinstance(refusal(lambda: machine.verify(forged)), SignatureInvalid)


def test_a_machine_that_was_reset_is_refused() -> None:
    with SoftwareTpm.start(Started) as tpm:
        first, second = quoted(tpm), quoted(tpm)
        Machine(first, tpm.key.public_key).verify()
        error = refusal(lambda: Machine(second, tpm.key.public_key).verify())
    assert "reset" in error.message


@pytest.mark.parametrize("pcrs", [PCRS[:-1], (*PCRS, 10)])
def test_a_quote_about_other_registers_is_refused(pcrs: tuple[int, ...]) -> None:
    with SoftwareTpm.start(Started) as tpm, powered_on(tpm) as connection:
        inside = Tpm(over_socket(connection))
        inside.startup()
        for part, digest in DIGESTS.items():
            inside.extend(PCR_OF[part], bytes.fromhex(digest))
        events = [{"pcr": PCR_OF[part], "part": part, "sha256": digest} for part, digest in DIGESTS.items()]

        def quote(wanted: tuple[int, ...]) -> TpmQuote:
            stated = inside.quote(NONCE, wanted)
            answer = {"attested": stated.attested.hex(), "signature": stated.signature.hex(), "events": events}
            return answered(answer, nonce=NONCE, public_key=tpm.key.public_key, resets_count=tpm.key.resets_count)

        one = Machine(quote(PCRS), tpm.key.public_key)
        one.verify()
        assert "other registers" in refusal(lambda: one.verify(quote(pcrs))).message


def test_a_statement_that_is_no_quote_is_refused(machine: Machine) -> None:
    attested = bytes.fromhex(machine.quote.attested)
    assert wire.statement(attested).nonce == NONCE
    for forged in (b"\x00" + attested[1:], attested[:5] + b"\x17" + attested[6:], attested + b"\x00", attested[:-1]):
        with pytest.raises(CloisterError) as caught:
            wire.statement(forged)
        assert caught.value.code == "provider.tpm-wire"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"attested": "00", "signature": "00"},
        {"attested": "0", "signature": "00", "events": []},
        {"attested": "00", "signature": 0, "events": []},
        {"attested": "00" * 5000, "signature": "00", "events": []},
        {"attested": "00", "signature": "00", "events": {}},
        {"attested": "00", "signature": "00", "events": [{"pcr": 8, "part": "agent", "sha256": "00"}]},
        {"attested": "00", "signature": "00", "events": [{"pcr": True, "part": "agent", "sha256": "00" * 32}]},
        {"attested": "00", "signature": "00", "events": [{"pcr": 8, "part": "agent", "sha256": "00" * 32}] * 17},
        {"attested": "00", "signature": "00", "events": [], "more": 1},
    ],
)
def test_an_answer_of_another_form_is_refused(answer: dict[str, Any]) -> None:
    error = refusal(lambda: answered(answer, nonce=NONCE, public_key=b"", resets_count=0))
    assert error.code == "attestation.format"


def test_the_quote_of_an_attestation_agrees_with_the_rest_of_it(machine: Machine) -> None:
    whole = attestation(machine.quote)
    assert Attestation.from_dict(whole.to_dict()) == whole
    assert measured_parts(whole) == DIGESTS
    verify_attested(whole)
    verify_attested(whole, public_key=machine.public_key)
    assert isinstance(refusal(lambda: verify_attested(replace(whole, agent_tree_sha256="ff" * 32))), DigestMismatch)
    assert refusal(lambda: verify_attested(attestation(None))).code == "attestation.quote"


def test_the_key_as_pem_is_the_key(machine: Machine) -> None:
    key = load_pem_public_key(public_key_pem(machine.public_key))
    assert isinstance(key, EllipticCurvePublicKey)
    assert isinstance(key.curve, SECP256R1)
    x, _ = wire.public_point(machine.public_key)
    assert key.public_numbers().x == int.from_bytes(x, "big")


RESTRICTED = 1 << 16
OUR_KEY = wire.create_primary()
KEYS = {
    "ours": (OUR_KEY, None),
    # There the number of resets is obscured, so that it would prove nothing
    "of the owner's hierarchy": (
        OUR_KEY.replace(wire.ENDORSEMENT.to_bytes(4, "big"), wire.OWNER.to_bytes(4, "big")),
        "endorsement hierarchy",
    ),
    # Such a key signs whatever it is given, statements that look like a TPM's among them
    "unrestricted": (OUR_KEY.replace(b"\x00\x05\x04\x72", b"\x00\x04\x04\x72"), "not a restricted"),
}


@pytest.mark.parametrize("kind", KEYS)
def test_a_key_of_another_kind_is_refused(kind: str) -> None:
    command, reason = KEYS[kind]
    assert (command == OUR_KEY) == (reason is None)
    handle = KEY_HANDLE + 1
    with SoftwareTpm.start(Started) as tpm, powered_on(tpm) as connection:
        ask = over_socket(connection)
        Tpm(ask).startup()
        first, public_key = wire.created_key(wire.answer_body(ask(command), "make a key"))
        wire.answer_body(ask(wire.evict_control(first, handle)), "keep it")
        events = []
        for part, digest in DIGESTS.items():
            Tpm(ask).extend(PCR_OF[part], bytes.fromhex(digest))
            events.append({"pcr": PCR_OF[part], "part": part, "sha256": digest})
        stated = wire.quoted(wire.answer_body(ask(wire.quote(handle, NONCE, PCRS)), "quote"))
        resets_count = tpm.key.resets_count
    answer = {"attested": stated.attested.hex(), "signature": stated.signature.hex(), "events": events}
    machine = Machine(answered(answer, nonce=NONCE, public_key=public_key, resets_count=resets_count), public_key)
    if reason is None:
        machine.verify()
    else:
        error = refusal(machine.verify)
        assert (error.code, reason in error.message) == ("attestation.quote", True)
