from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Any

import pytest

from cloister.authority.authorizer import Decision
from cloister.authority.context import RuntimeContext
from cloister.authority.level import IsolationLevel
from cloister.authority.token import (
    NO_ARGUMENTS_SHA256,
    TOKEN_LIFETIME_MS,
    Caveat,
    PermissionToken,
    TokenIssuer,
    UsedTokens,
)
from cloister.clock import ManualClock
from cloister.errors import InternalError, TokenRejected
from cloister.limits import ResourceLimits

from .specs import authorizer

LIMITS = ResourceLimits(wall_ms=1_000)
CONTEXT = RuntimeContext.controlled(
    capabilities=["ccos.io.write-file", "ccos.system.get-env"],
    read=["/srv"],
    write=["/out", "/single/report.md"],
    environment={"LANG": "C"},
    limits=LIMITS,
    minimum_isolation=IsolationLevel.PROCESS,
)
ISSUER = TokenIssuer(b"k" * 32, ManualClock())
ARGUMENTS = "a" * 64


def decision(path: str = "/out/new") -> Decision:
    return authorizer().authorize(CONTEXT, "ccos.io.write-file", (path, "x"))


def issue(issuer: TokenIssuer = ISSUER, **changes: Any) -> PermissionToken:
    return issuer.issue(
        decision(),
        execution_id="run/1",
        step_id="step-1",
        arguments_sha256=ARGUMENTS,
        read_paths=["/srv"],
        environment=["LANG"],
        **changes,
    )


FITTING: dict[str, Any] = {
    "execution_id": "run/1",
    "step_id": "step-1",
    "arguments_sha256": ARGUMENTS,
    "capability_id": "ccos.io.write-file",
    "permission": "execute.operation",
    "read_paths": ["/srv/a", "/out/new"],
    "write_paths": ["/out/new"],
    "environment": ["LANG"],
    "limits": LIMITS,
    "level": IsolationLevel.PROCESS,
}


def test_a_fitting_execution_is_accepted() -> None:
    ISSUER.verifier().check(issue(), **FITTING)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"execution_id": "run/2"}, "denied.token-subject"),
        ({"capability_id": "ccos.io.read-file"}, "denied.token-subject"),
        ({"step_id": "step-2"}, "denied.token-step"),
        ({"step_id": None}, "denied.token-step"),
        ({"arguments_sha256": "0" * 64}, "denied.token-arguments"),
        ({"arguments_sha256": NO_ARGUMENTS_SHA256}, "denied.token-arguments"),
        ({"permission": "execute.external"}, "denied.token-permission"),
        ({"read_paths": ["/srvx"]}, "denied.token-path"),
        ({"read_paths": ["/srv/../etc"]}, "denied.token-path"),
        ({"write_paths": ["/srv/a"]}, "denied.token-path"),
        ({"write_paths": ["/out"]}, "denied.token-path"),
        ({"environment": ["LANG", "HOME"]}, "denied.token-environment"),
        ({"limits": ResourceLimits(wall_ms=1_001)}, "denied.token-limit"),
        ({"level": IsolationLevel.NONE}, "denied.token-level"),
    ],
)
def test_an_execution_beyond_the_token_is_refused(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(TokenRejected) as caught:
        ISSUER.verifier().check(issue(), **(FITTING | changes))
    assert caught.value.code == code


@pytest.mark.parametrize(
    "changes",
    [
        {"token_id": "token-x"},
        {"execution_id": "run/2"},
        {"capability_id": "other"},
        {"permissions": frozenset({"execute.external"})},
        {"read_paths": ("/",)},
        {"write_paths": ("/",)},
        {"environment": ("HOME", "LANG")},
        {"limits": ResourceLimits(wall_ms=2_000)},
        {"minimum_isolation": IsolationLevel.NONE},
        {"step_id": "step-2"},
        {"step_id": None},
        {"arguments_sha256": "1" * 64},
        {"expires_at_ns": 2**62},
        {"caveats": (Caveat(),)},
        {"caveats": "x"},
        {"limits": None},
        {"permissions": frozenset({None, "execute.external"})},
        {"mac": None},
        {"mac": b""},
        {"mac": b"\0" * 32},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_field_is_authenticated(changes: dict[str, Any]) -> None:
    forged = issue()._replace(**changes)
    with pytest.raises(TokenRejected) as caught:
        ISSUER.verifier().check(forged, **FITTING)
    assert caught.value.code == "denied.token-forged"


class LyingText(str):
    def __repr__(self) -> str:
        return "'run/1'"

    __str__ = __repr__


class LyingList(tuple[str, ...]):
    def __repr__(self) -> str:
        return "['/out/new']"


@pytest.mark.parametrize(
    "changes",
    [{"execution_id": LyingText("run/2")}, {"execution_id": LyingText("run/1")}, {"write_paths": LyingList(["/"])}],
)
def test_nothing_that_could_say_something_else_of_itself_is_authenticated(changes: dict[str, Any]) -> None:
    ISSUER.verifier().check(issue(), **FITTING)
    with pytest.raises(TokenRejected) as caught:
        ISSUER.verifier().check(issue()._replace(**changes), **FITTING)
    assert caught.value.code == "denied.token-forged"


def test_a_token_of_another_issuer_is_refused() -> None:
    with pytest.raises(TokenRejected) as caught:
        TokenIssuer(b"x" * 32, ManualClock()).verifier().check(issue(), **FITTING)
    assert caught.value.code == "denied.token-forged"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"write_paths": ["/srv"]}, "denied.token-path"),
        ({"write_paths": ["/single"]}, "denied.token-path"),
        ({"write_paths": ["/"]}, "denied.token-path"),
        ({"limits": ResourceLimits()}, "denied.token-limit"),
        ({"minimum_isolation": IsolationLevel.NONE}, "denied.token-level"),
        ({"scratch_paths": ["/"]}, "denied.token-path"),
        ({"scratch_paths": ["relative"]}, "denied.token-path"),
        ({"scratch_paths": ["/proc/1"]}, "denied.token-path"),
    ],
)
def test_no_token_exceeds_the_context(changes: dict[str, Any], code: str) -> None:
    with pytest.raises(TokenRejected) as caught:
        issue(**changes)
    assert caught.value.code == code


def test_ungranted_paths_and_variables_do_not_get_into_a_token() -> None:
    with pytest.raises(TokenRejected) as caught:
        ISSUER.issue(decision(), execution_id="run/1", read_paths=["/etc"])
    assert caught.value.code == "denied.token-path"
    with pytest.raises(TokenRejected) as caught:
        ISSUER.issue(decision(), execution_id="run/1", environment=["HOME"])
    assert caught.value.code == "denied.token-environment"


def test_the_directory_of_a_granted_file_may_be_shown_for_a_decision_about_that_file() -> None:
    token = ISSUER.issue(decision("/single/report.md"), execution_id="run/1", write_paths=["/single"])
    assert token.write_paths == ("/single",)
    with pytest.raises(TokenRejected):
        ISSUER.issue(decision("/out/new"), execution_id="run/1", write_paths=["/single"])


def test_the_root_directory_is_never_shown_for_a_granted_file_in_it() -> None:
    context = RuntimeContext.controlled(capabilities=["ccos.io.write-file"], write=["/report.md"])
    allowed = authorizer().authorize(context, "ccos.io.write-file", ("/report.md", "x"))
    assert ISSUER.issue(allowed, execution_id="run/1").write_paths == ("/report.md",)
    with pytest.raises(TokenRejected) as caught:
        ISSUER.issue(allowed, execution_id="run/1", write_paths=["/"])
    assert caught.value.code == "denied.token-path"


def test_scratch_directories_are_writable() -> None:
    token = issue(scratch_paths=["/tmp/run-1"])
    ISSUER.verifier().check(token, **(FITTING | {"write_paths": ["/tmp/run-1/x"]}))


def test_a_denied_decision_gets_no_token() -> None:
    denied = authorizer().authorize(CONTEXT, "ccos.io.read-file", ("/srv/a",))
    with pytest.raises(InternalError):
        ISSUER.issue(denied, execution_id="run/1")


def test_short_keys_are_refused_and_no_key_is_shown() -> None:
    with pytest.raises(InternalError):
        TokenIssuer(b"short", ManualClock())
    assert "kkkk" not in repr(ISSUER) + repr(ISSUER.verifier()) + repr(issue())


def test_token_ids_differ() -> None:
    assert issue().token_id != issue().token_id


def rejected(issuer: TokenIssuer, token: PermissionToken) -> str:
    with pytest.raises(TokenRejected) as caught:
        issuer.verifier().check(token, **FITTING)
    return caught.value.code


def test_a_token_is_good_once_whichever_provider_it_is_shown_to() -> None:
    token = issue()
    ISSUER.verifier().check(token, **FITTING)
    assert rejected(ISSUER, token) == "denied.token-replayed"
    ISSUER.verifier().check(issue(), **FITTING)


def test_a_refused_token_was_not_used() -> None:
    token = issue()
    with pytest.raises(TokenRejected):
        ISSUER.verifier().check(token, **(FITTING | {"step_id": "step-2"}))
    ISSUER.verifier().check(token, **FITTING)


def test_a_token_ends_with_its_lifetime() -> None:
    clock = ManualClock()
    issuer = TokenIssuer(b"k" * 32, clock)
    late, in_time = issue(issuer), issue(issuer)
    clock.advance_ms(TOKEN_LIFETIME_MS - 1)
    issuer.verifier().check(in_time, **FITTING)
    clock.advance_ms(1)
    assert rejected(issuer, late) == "denied.token-expired"
    assert rejected(issuer, in_time) == "denied.token-expired"


class JumpingClock(ManualClock):
    """A clock whose wall time is set to something else each time it is read."""

    def now(self) -> datetime:
        return datetime(1970 + self.random_bytes(1)[0], 1, 1, tzinfo=UTC)


def test_a_wall_clock_that_jumps_neither_ends_nor_extends_a_token() -> None:
    clock = JumpingClock()
    issuer = TokenIssuer(b"k" * 32, clock)
    token, late = issue(issuer), issue(issuer)
    assert clock.now() != clock.now()
    issuer.verifier().check(token, **FITTING)
    clock.advance_ms(TOKEN_LIFETIME_MS)
    assert rejected(issuer, late) == "denied.token-expired"


def test_used_tokens_are_remembered_until_they_end_and_no_longer() -> None:
    used = UsedTokens(2)
    used.use("a", 10, 1)
    used.use("b", 20, 1)
    with pytest.raises(TokenRejected) as caught:
        used.use("c", 30, 9)
    assert caught.value.code == "denied.token-memory"
    used.use("c", 30, 10)
    for known in ("b", "c"):
        with pytest.raises(TokenRejected) as caught:
            used.use(known, 30, 10)
        assert caught.value.code == "denied.token-replayed"
    assert repr(used) == "UsedTokens(2 of 2)"


def test_a_thread_that_was_held_up_cannot_use_a_token_that_was_used_and_forgotten() -> None:
    used = UsedTokens()
    used.use("a", 10, 1)
    used.use("b", 30, 20)  # the first one is forgotten
    with pytest.raises(TokenRejected) as caught:
        used.use("a", 10, 2)  # the clock was read before all that
    assert caught.value.code == "denied.token-expired"


def test_of_many_threads_with_one_token_one_is_accepted() -> None:
    token, start, accepted = issue(), threading.Barrier(8), []

    def present() -> None:
        start.wait()
        try:
            ISSUER.verifier().check(token, **FITTING)
        except TokenRejected:
            return
        accepted.append(1)

    threads = [threading.Thread(target=present) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert accepted == [1]


@pytest.mark.parametrize("lifetime_ms", [0, -1])
def test_a_token_lives_for_some_time(lifetime_ms: int) -> None:
    with pytest.raises(InternalError):
        TokenIssuer(b"k" * 32, ManualClock(), lifetime_ms=lifetime_ms)


def test_what_is_no_plain_text_gets_into_no_token() -> None:
    with pytest.raises(InternalError):
        ISSUER.issue(decision(), execution_id=LyingText("run/1"))
