from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cloister.authority.authorizer import Decision
from cloister.authority.context import RuntimeContext
from cloister.authority.level import IsolationLevel
from cloister.authority.token import PermissionToken, TokenIssuer
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


def decision(path: str = "/out/new") -> Decision:
    return authorizer().authorize(CONTEXT, "ccos.io.write-file", (path, "x"))


def issue(**changes: Any) -> PermissionToken:
    return ISSUER.issue(decision(), execution_id="run/1", read_paths=["/srv"], environment=["LANG"], **changes)


FITTING: dict[str, Any] = {
    "execution_id": "run/1",
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
        {"mac": b""},
        {"mac": b"\0" * 32},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_field_is_authenticated(changes: dict[str, Any]) -> None:
    forged = replace(issue(), **changes)
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


@pytest.mark.parametrize("changes", [{"execution_id": LyingText("run/2")}, {"write_paths": LyingList(["/"])}])
def test_what_is_authenticated_is_the_content_not_what_it_says_of_itself(changes: dict[str, Any]) -> None:
    same = {name: type(value)(getattr(issue(), name)) for name, value in changes.items()}
    ISSUER.verifier().check(replace(issue(), **same), **FITTING)
    with pytest.raises(TokenRejected) as caught:
        ISSUER.verifier().check(replace(issue(), **changes), **FITTING)
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
