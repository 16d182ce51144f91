"""What the self-test concludes: one wall that does not hold is enough, and no answer is no proof."""

import pytest

from cloister.authority.level import IsolationLevel
from cloister.errors import LaunchError, WireError
from cloister.isolation.microvm import selftest
from cloister.isolation.microvm.selftest import TABLE, concluded, in_machines
from cloister.isolation.provider import Evidence, Facility

LEVEL = IsolationLevel.MACHINE_REDUCED
FACILITIES = (Facility(name="VMM", state="qemu"),)


def evidence(*holds: bool) -> tuple[Evidence, ...]:
    return tuple(
        Evidence(mechanism=f"wall {n}", attempted="pass", observed="no", holds=each) for n, each in enumerate(holds)
    )


def test_it_is_available_when_every_wall_holds() -> None:
    report = concluded("microvm", LEVEL, [lambda: evidence(True, True), lambda: evidence(True)], FACILITIES)
    assert (report.available, report.level, report.reason, len(report.evidence)) == (True, LEVEL, None, 3)


def test_one_wall_that_does_not_hold_is_enough() -> None:
    report = concluded("microvm", LEVEL, [lambda: evidence(True, False), lambda: evidence(True)], FACILITIES)
    assert (report.available, report.level) == (False, IsolationLevel.NONE)
    assert "wall 1" in (report.reason or "")


def test_a_part_that_fails_is_enough_and_the_others_are_still_tried() -> None:
    def fails() -> tuple[Evidence, ...]:
        raise LaunchError("it did not start", code="provider.machine", hint="install it")

    report = concluded("microvm", LEVEL, [fails, lambda: evidence(True)], FACILITIES)
    assert (report.available, report.level, report.reason, report.remedy) == (
        False, IsolationLevel.NONE, "it did not start", "install it",
    )  # fmt: skip
    assert len(report.evidence) == 1


GOOD = {
    "boot_id": "00000000-0000-0000-0000-000000000000",
    "interfaces": ["lo"],
    "connect": "ENETUNREACH",
    "host_file": "ENOENT",
    "write_root": "EROFS",
    "processes": [1],
    "user_id": 1000,
    "become_root": "EPERM",
    "mount": "EPERM",
    "module": "EPERM",
    "reboot": "EPERM",
    "devices": [],
    "clock_s": None,
    "random": "ab" * selftest.RANDOM_BYTES,
}


def judged(answers: object, other: object = None) -> dict[str, Evidence]:
    """Judge answers of one machine, beside those of another."""
    given = [GOOD | {"random": "cd" * selftest.RANDOM_BYTES} if other is None else other, answers]
    found = in_machines(lambda *_: given.pop(0))
    return {row.act: each for row, each in zip(TABLE, found, strict=True)}


def now() -> dict[str, object]:
    return GOOD | {"clock_s": selftest.time.time()}


def test_the_answers_of_a_good_machine_hold() -> None:
    found = judged(now())
    assert [act for act, each in found.items() if not each.holds] == []
    assert {each.place for each in found.values()} == {"guest"}


@pytest.mark.parametrize("act", sorted(GOOD))
@pytest.mark.parametrize("answer", [None, "done", "", {}, 0, ["eth0"], float("nan")], ids=str)
def test_whatever_else_is_answered_does_not_hold(act, answer) -> None:
    assert not judged(now() | {act: answer})[act].holds


@pytest.mark.parametrize("act", sorted(GOOD))
def test_no_answer_does_not_hold(act) -> None:
    answers = now()
    del answers[act]
    assert not judged(answers)[act].holds


def test_the_kernel_of_the_host_does_not_hold() -> None:
    boot_id = selftest.Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    assert not judged(now() | {"boot_id": boot_id})["boot_id"].holds


def test_the_randomness_of_the_other_machine_does_not_hold() -> None:
    assert not judged(now(), now())["random"].holds


@pytest.mark.parametrize("answers", [None, [], "text", 3])
def test_answers_that_are_none_are_an_error(answers) -> None:
    with pytest.raises(WireError):
        judged(answers)


def test_what_is_shown_of_an_answer_is_short_and_clean() -> None:
    shown = judged(now() | {"connect": "\x1b[2J" * 10_000})["connect"].observed
    assert len(shown) <= selftest.SHOWN_CHARS_MAX
    assert "\x1b" not in shown
