from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import pytest

from cloister.authority.authorizer import Reason, SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.authority.permission import Permission
from cloister.authority.policy import ResolvedPath
from cloister.canonical import encode
from cloister.errors import CapabilityDenied, GuestError, InternalError, PathDenied
from cloister.lang.effects import UNKNOWN
from cloister.lang.values import Keyword, Map

from .specs import REGISTRY, TableResolver, authorizer

READ = RuntimeContext.controlled(capabilities=["ccos.io.read-file"], read=["/srv/data"])


def test_a_granted_call_is_allowed_with_everything_needed_to_act() -> None:
    decision = authorizer().authorize(READ, "ccos.io.read-file", ("/srv/data/a",))
    assert decision.allowed
    assert decision.reason is Reason.ALLOWED
    assert decision.permissions == {"ccos.io.read-file", "ccos.io.file-access", "execute.operation"}
    assert decision.read_paths == ("/srv/data/a",)
    assert decision.write_paths == ()
    assert decision.arguments == {"path": "/srv/data/a"}
    assert decision.resolved["path"][0].path == "/srv/data/a"
    assert decision.require() is decision


def test_an_ungranted_capability_names_the_grant() -> None:
    context = RuntimeContext.controlled(read=["/srv/data"])
    decision = authorizer().authorize(context, "ccos.io.read-file", ("/srv/data/a",))
    assert not decision.allowed
    assert decision.reason == "denied.capability"
    assert decision.message == 'capability "ccos.io.read-file" is not granted'
    assert decision.hint == "grant it with --allow ccos.io.read-file"
    assert decision.denied_grants == ("--allow ccos.io.read-file",)
    assert decision.permissions == frozenset()


def test_a_path_outside_names_the_grants_and_the_missing_one() -> None:
    decision = authorizer().authorize(READ, "ccos.io.read-file", ("/etc/shadow",))
    assert decision.reason == "denied.path"
    assert decision.message == 'path "/etc/shadow" is outside the granted paths (/srv/data)'
    assert decision.hint == "grant it with --read /etc/shadow"
    assert decision.read_paths == ()


@pytest.mark.parametrize("granted", ["ccos.fs.read", "ccos.io.read-file"])
@pytest.mark.parametrize("called", ["ccos.fs.read", "ccos.io.read-file"])
def test_aliases_are_the_same_capability_on_both_sides(granted: str, called: str) -> None:
    context = RuntimeContext.controlled(capabilities=[granted], read=["/srv"])
    decision = authorizer().authorize(context, called, ("/srv/a",))
    assert decision.allowed
    assert decision.capability_id == "ccos.io.read-file"


@pytest.mark.parametrize("called", ["ccos.fs.write", "ccos.io.write-file"])
def test_no_name_goes_round_the_check(called: str) -> None:
    assert authorizer().authorize(READ, called, ("/srv/data/a", "x")).reason is Reason.CAPABILITY
    allowed = RuntimeContext.controlled(capabilities=["ccos.io.write-file"], write=["/srv/data"])
    assert authorizer().authorize(allowed, called, ("/srv/data/a", "x")).allowed


@pytest.mark.parametrize(
    "context",
    [RuntimeContext.pure(), READ, RuntimeContext.unsafe_everything()],
    ids=["pure", "controlled", "unsafe"],
)
def test_an_unknown_capability_is_refused_at_every_level(context: RuntimeContext) -> None:
    decision = authorizer().authorize(context, "ccos.system.shutdown", ())
    assert decision.reason is Reason.UNKNOWN_CAPABILITY
    with pytest.raises(CapabilityDenied) as caught:
        decision.require()
    assert (caught.value.code, caught.value.kind) == ("denied.unknown-capability", "UnknownCapability")


def test_pure_allows_no_capability_and_its_twin_does() -> None:
    refused = authorizer().authorize(RuntimeContext.pure(), "ccos.math.add", (1,))
    assert (refused.allowed, refused.reason) == (False, Reason.PURE)
    context = RuntimeContext.controlled(capabilities=["ccos.math.add"])
    assert authorizer().authorize(context, "ccos.math.add", (1,)).allowed


def test_unsafe_everything_allows_and_says_so() -> None:
    context = RuntimeContext.unsafe_everything()
    decision = authorizer().authorize(context, "ccos.io.write-file", ("/etc/passwd", "x"))
    assert decision.allowed
    assert decision.reason == "allowed.unsafe-everything"
    assert decision.write_paths == ("/etc/passwd",)
    assert authorizer().authorize(context, "ccos.system.get-env", ("HOME",)).environment == ("HOME",)
    assert authorizer().authorize_computed(context).allowed


def test_arguments_are_checked_only_after_the_grant() -> None:
    assert authorizer().authorize(RuntimeContext.pure(), "ccos.io.read-file", ()).reason is Reason.PURE
    with pytest.raises(GuestError) as caught:
        authorizer().authorize(READ, "ccos.io.read-file", ())
    assert caught.value.kind == "ArityMismatch"


def test_a_variable_needs_its_own_grant() -> None:
    context = RuntimeContext.controlled(capabilities=["ccos.system.get-env"], environment={"LANG": "C"})
    allowed = authorizer().authorize(context, "ccos.system.get-env", ("LANG",))
    assert allowed.environment == ("LANG",)
    assert allowed.permissions == {"ccos.system.get-env", "ccos.system.environment", "execute.operation"}
    refused = authorizer().authorize(context, "ccos.system.get-env", ("AWS_SECRET",))
    assert refused.reason == "denied.environment"
    assert refused.hint == "grant it with --env AWS_SECRET"
    with pytest.raises(CapabilityDenied):
        refused.require()


def test_every_path_of_a_vector_is_decided() -> None:
    context = RuntimeContext.controlled(capabilities=["ccos.sandbox.python"], read=["/srv"], write=["/out"])
    allowed = authorizer().authorize(context, "ccos.sandbox.python", ("code", ("/srv/a", "/out/b"), ("/out",)))
    assert allowed.read_paths == ("/srv/a", "/out/b")
    assert allowed.write_paths == ("/out",)
    assert allowed.permissions == {"ccos.sandbox.python", "execute.script", "ccos.io.file-access"}
    refused = authorizer().authorize(context, "ccos.sandbox.python", ("code", ("/srv/a", "/etc")))
    assert refused.reason is Reason.PATH
    with pytest.raises(GuestError) as caught:
        authorizer().authorize(context, "ccos.sandbox.python", ("code", ("/srv", 1)))
    assert caught.value.kind == "TypeError"


def test_a_script_without_paths_gets_no_file_permission() -> None:
    context = RuntimeContext.controlled(capabilities=["ccos.sandbox.python"], read=["/srv"])
    assert authorizer().authorize(context, "ccos.sandbox.python", ("c",)).permissions == {
        "ccos.sandbox.python",
        "execute.script",
    }


def test_before_the_arguments_are_known_only_the_capability_is_decided() -> None:
    allowed = authorizer().foresee(READ, "ccos.fs.read", [UNKNOWN])
    assert (allowed.allowed, allowed.capability_id, allowed.permissions) == (True, "ccos.io.read-file", frozenset())
    assert authorizer().foresee(READ, "ccos.io.write-file", [UNKNOWN]).reason is Reason.CAPABILITY
    assert authorizer().foresee(READ, "nonsense", [UNKNOWN]).reason is Reason.UNKNOWN_CAPABILITY


def test_what_is_known_of_the_arguments_is_decided_before_the_run() -> None:
    context = RuntimeContext.controlled(capabilities=["ccos.io.write-file"], write=["/srv/data"])

    def foresee(path: str) -> Any:
        named = Map({Keyword("path"): path, Keyword("content"): UNKNOWN})
        return authorizer().foresee(context, "ccos.io.write-file", [named])

    assert foresee("/etc/passwd").reason is Reason.PATH
    assert foresee("/srv/data/new").allowed
    assert authorizer().foresee(context, "ccos.io.write-file", [UNKNOWN, UNKNOWN]).allowed


def test_a_call_that_cannot_fit_is_known_before_the_run() -> None:
    for outline in ([], [UNKNOWN] * 3, [Map({Keyword("pth"): UNKNOWN})]):
        with pytest.raises(GuestError):
            authorizer().foresee(READ, "ccos.io.write-file", outline)


def test_unknown_values_are_refused_in_a_run() -> None:
    with pytest.raises(GuestError):
        authorizer().authorize(READ, "ccos.io.read-file", [UNKNOWN])


def test_computed_ids_need_their_own_grant() -> None:
    refused = authorizer().authorize_computed(READ)
    assert refused.reason == "denied.computed"
    assert refused.hint == "grant it with --allow-computed"
    assert authorizer().authorize_computed(RuntimeContext.controlled(allow_computed=True)).allowed


def test_the_pure_code_of_a_plan_is_always_allowed_and_sees_nothing() -> None:
    decision = authorizer().authorize_workload(READ, "cloister.plan")
    assert decision.allowed
    assert decision.permissions == {"cloister.plan", "execute.plan"}
    assert (decision.read_paths, decision.write_paths, decision.environment) == ((), (), ())
    assert authorizer().authorize_workload(RuntimeContext.pure(), "cloister.plan").allowed


def test_a_command_needs_its_grant_and_sees_the_granted_places() -> None:
    assert authorizer().authorize_workload(READ, "cloister.exec").hint == "grant it with --allow cloister.exec"
    context = RuntimeContext.controlled(
        capabilities=["cloister.exec"], read=["/srv"], write=["/out"], environment={"LANG": "C"}
    )
    decision = authorizer().authorize_workload(context, "cloister.exec")
    assert decision.allowed
    assert "execute.external" in decision.permissions
    assert (decision.read_paths, decision.write_paths, decision.environment) == (("/srv",), ("/out",), ("LANG",))


def test_a_script_has_the_grant_of_commands_and_a_permission_of_its_own() -> None:
    refused = authorizer().authorize_workload(READ, "cloister.exec", act=Permission.EXECUTE_SCRIPT)
    assert (refused.allowed, refused.hint) == (False, "grant it with --allow cloister.exec")
    context = RuntimeContext.controlled(capabilities=["cloister.exec"])
    decision = authorizer().authorize_workload(context, "cloister.exec", act=Permission.EXECUTE_SCRIPT)
    assert decision.allowed
    assert "execute.script" in decision.permissions
    assert "execute.external" not in decision.permissions


def test_a_plan_cannot_call_workloads() -> None:
    context = RuntimeContext.controlled(capabilities=["cloister.exec"])
    assert authorizer().authorize(context, "cloister.exec", ()).reason is Reason.UNKNOWN_CAPABILITY
    with pytest.raises(InternalError):
        authorizer().authorize_workload(context, "cloister.everything")


def test_require_raises_errors_of_the_right_family() -> None:
    with pytest.raises(PathDenied) as caught:
        authorizer().require(READ, "ccos.io.read-file", ("/etc",))
    assert (caught.value.code, caught.value.kind) == ("denied.path", "SecurityViolation")
    assert caught.value.details == {
        "operation": "capability_authorization",
        "capability": "ccos.io.read-file",
        "context": "controlled",
    }
    assert authorizer().require(READ, "ccos.io.read-file", ("/srv/data",)).allowed


def test_a_path_that_cannot_be_followed_is_refused() -> None:
    decision = authorizer(TableResolver(failing=("/srv/data/loop",))).authorize(
        READ, "ccos.io.read-file", ("/srv/data/loop",)
    )
    assert decision.reason is Reason.PATH_UNRESOLVED
    assert authorizer().authorize(READ, "ccos.io.read-file", ("/srv/data/loop",)).allowed


@pytest.mark.parametrize("answer", ["relative", "/srv/data/../x", "/srv/data/", ""])
def test_a_resolver_that_breaks_its_promise_is_not_believed(answer: str) -> None:
    class Careless:
        def resolve(self, path: str, roots: Collection[str]) -> ResolvedPath:
            return ResolvedPath(asked=path, path=answer, exists=True, is_directory=False)

    with pytest.raises(InternalError):
        SecurityAuthorizer(REGISTRY, Careless()).authorize(READ, "ccos.io.read-file", ("/srv/data/x",))


def test_two_leading_slashes_are_one() -> None:
    assert authorizer().authorize(READ, "ccos.io.read-file", ("//srv/data/x",)).read_paths == ("/srv/data/x",)
    assert authorizer().authorize(READ, "ccos.io.read-file", ("//etc/x",)).reason is Reason.PATH


def test_decisions_are_plain_data_for_the_chain() -> None:
    for arguments in (("/srv/data/a",), ("/etc",)):
        plain = authorizer().authorize(READ, "ccos.io.read-file", arguments).to_dict()
        assert json.loads(encode(plain)) == plain


def test_texts_of_a_plan_are_quoted_in_messages_and_hints() -> None:
    decision = authorizer().authorize(READ, "ccos.io.read-file", ("/etc/\x1b[31m; rm -rf /",))
    assert decision.message is not None
    assert decision.hint is not None
    assert "\x1b" not in decision.message + decision.hint
    assert "--read '/etc/" in decision.hint


def test_many_grants_are_listed_short() -> None:
    context = RuntimeContext.controlled(
        capabilities=["ccos.io.read-file"], read=[f"/srv/{number}" for number in range(9)]
    )
    message: Any = authorizer().authorize(context, "ccos.io.read-file", ("/etc",)).message
    assert message.endswith("(/srv/0, /srv/1, /srv/2, /srv/3, /srv/4 and 4 more)")
