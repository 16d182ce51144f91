"""Weaker tokens made without the key: what a holder takes away is gone, and nothing can be added."""

from __future__ import annotations

from typing import Any

import pytest

from cloister.authority.level import IsolationLevel
from cloister.authority.token import CAVEATS_MAX, Caveat, PermissionToken
from cloister.errors import TokenRejected
from cloister.limits import ResourceLimits

from .test_token import FITTING, ISSUER, issue

WEAKER: dict[str, dict[str, Any]] = {
    "denied.token-permission": {"permissions": ["ccos.io.file-access"]},
    "denied.token-path": {"write_paths": ["/out/other"]},
    "denied.token-environment": {"environment": []},
    "denied.token-limit": {"limits": ResourceLimits(wall_ms=999)},
    "denied.token-level": {"minimum_isolation": IsolationLevel.MACHINE},
    "denied.token-expired": {"expires_at_ns": 0},
}
SAME: dict[str, dict[str, Any]] = {
    "denied.token-permission": {"permissions": ["execute.operation"]},
    "denied.token-path": {"write_paths": ["/out"]},
    "denied.token-environment": {"environment": ["LANG"]},
    "denied.token-limit": {"limits": ResourceLimits(wall_ms=1_000)},
    "denied.token-level": {"minimum_isolation": IsolationLevel.PROCESS},
    "denied.token-expired": {"expires_at_ns": 1},
}


def code_of(token: PermissionToken, **changes: Any) -> str:
    with pytest.raises(TokenRejected) as caught:
        ISSUER.verifier().check(token, **(FITTING | changes))
    return caught.value.code


@pytest.mark.parametrize("code", WEAKER)
def test_what_a_holder_took_away_is_refused_and_what_is_left_is_accepted(code: str) -> None:
    assert code_of(issue().attenuate(**WEAKER[code])) == code
    ISSUER.verifier().check(issue().attenuate(**SAME[code]), **FITTING)


def test_what_is_read_may_be_narrowed_beside_what_is_written() -> None:
    token = issue().attenuate(read_paths=["/srv/a"])
    assert code_of(token, read_paths=["/srv/b"]) == "denied.token-path"
    ISSUER.verifier().check(token, **(FITTING | {"read_paths": ["/srv/a", "/out/new"]}))
    nothing_written = issue().attenuate(write_paths=[])
    assert code_of(nothing_written, read_paths=["/srv"]) == "denied.token-path"
    ISSUER.verifier().check(nothing_written, **(FITTING | {"write_paths": []}))


@pytest.mark.parametrize(
    ("wider", "asked", "code"),
    [
        ({"permissions": ["execute.external"]}, {"permission": "execute.external"}, "denied.token-permission"),
        ({"read_paths": ["/"]}, {"read_paths": ["/etc"]}, "denied.token-path"),
        ({"write_paths": ["/"]}, {"write_paths": ["/srv"]}, "denied.token-path"),
        ({"write_paths": ["/"]}, {"read_paths": ["/etc"]}, "denied.token-path"),
        ({"environment": ["HOME", "LANG"]}, {"environment": ["HOME"]}, "denied.token-environment"),
        ({"limits": ResourceLimits()}, {"limits": ResourceLimits()}, "denied.token-limit"),
        ({"minimum_isolation": IsolationLevel.NONE}, {"level": IsolationLevel.NONE}, "denied.token-level"),
    ],
)
def test_a_caveat_that_names_more_gives_nothing(wider: dict[str, Any], asked: dict[str, Any], code: str) -> None:
    assert code_of(issue().attenuate(**wider), **asked) == code
    if "permissions" not in wider:
        ISSUER.verifier().check(issue().attenuate(**wider), **FITTING)


def test_every_caveat_counts_not_the_last_alone() -> None:
    token = issue().attenuate(write_paths=["/out/new/a"]).attenuate(write_paths=["/out"])
    assert code_of(token) == "denied.token-path"
    ISSUER.verifier().check(token, **(FITTING | {"write_paths": ["/out/new/a"]}))


@pytest.mark.parametrize(
    "change",
    [
        lambda token: token._replace(caveats=()),
        lambda token: token._replace(caveats=token.caveats[:1]),
        lambda token: token._replace(caveats=token.caveats[::-1]),
        lambda token: token._replace(caveats=(Caveat(), *token.caveats)),
        lambda token: token._replace(caveats=(token.caveats[0], Caveat(environment=("LANG", "HOME")))),
        lambda token: token._replace(caveats=(*token.caveats, token.caveats[1])),
        lambda token: token._replace(caveats=(Caveat(permissions=token.permissions), token.caveats[1])),
    ],
    ids=["all gone", "last gone", "reversed", "one before", "last wider", "one more", "first wider"],
)
def test_no_caveat_can_be_taken_off_or_changed(change: Any) -> None:
    token = issue().attenuate(read_paths=["/srv", "/out"]).attenuate(environment=["LANG"])
    assert code_of(change(token)) == "denied.token-forged"
    ISSUER.verifier().check(token, **FITTING)


@pytest.mark.parametrize(
    "changes",
    [
        {"permissions": frozenset({"execute.operation"})},
        {"read_paths": ("/srv",)},
        {"write_paths": ("/out",)},
        {"environment": ("LANG",)},
        {"limits": ResourceLimits()},
        {"minimum_isolation": IsolationLevel.NONE},
        {"expires_at_ns": 2**62},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_every_field_of_a_caveat_is_authenticated(changes: dict[str, Any]) -> None:
    token = issue().attenuate()
    assert code_of(token._replace(caveats=(Caveat(**changes),))) == "denied.token-forged"
    ISSUER.verifier().check(token, **FITTING)


def test_a_seal_of_the_original_does_not_fit_a_weaker_token() -> None:
    token = issue()
    weaker = token.attenuate(environment=[])
    assert code_of(weaker._replace(mac=token.mac)) == "denied.token-forged"
    assert code_of(weaker._replace(caveats=(), mac=weaker.mac)) == "denied.token-forged"


def test_a_token_and_what_was_made_of_it_are_used_once_together() -> None:
    token = issue()
    weaker = token.attenuate(environment=["LANG"])
    ISSUER.verifier().check(weaker, **FITTING)
    assert code_of(token) == "denied.token-replayed"
    assert code_of(weaker.attenuate(environment=["LANG"])) == "denied.token-replayed"


def test_caveats_are_bounded_where_they_are_made_and_where_they_are_checked() -> None:
    token = issue()
    for _ in range(CAVEATS_MAX):
        token = token.attenuate()
    ISSUER.verifier().check(token, **FITTING)
    with pytest.raises(TokenRejected) as caught:
        token.attenuate()
    assert caught.value.code == "denied.token-caveats"
    assert code_of(token._replace(caveats=(*token.caveats, Caveat()))) == "denied.token-caveats"
