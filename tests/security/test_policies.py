"""A plan that tries to go round a policy over the capabilities and files of this machine.

Each attempt has a twin that differs in the policy alone and is allowed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cloister.authority.context import RuntimeContext
from cloister.authority.decision import Decision
from cloister.authority.rules import parse_rules
from cloister.capabilities.catalog import builtin_catalog
from cloister.errors import CapabilityDenied
from cloister.lang.values import Keyword, Map
from cloister.plan.host_authorizer import make_authorizer

READ = "ccos.io.read-file"
Decide = Callable[..., Decision]


@pytest.fixture
def decide(tmp_path: Path) -> Decide:
    """Return what decides a call of a plan that was granted the directory."""
    (tmp_path / "open").mkdir()
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "key").write_text("k", encoding="utf-8")
    (tmp_path / "open" / "a").write_text("a", encoding="utf-8")
    (tmp_path / "open" / "link").symlink_to(tmp_path / "secret" / "key")
    (tmp_path / "open" / "tree").symlink_to(tmp_path / "secret")
    asked = make_authorizer(builtin_catalog())

    def decided(capability_id: str, *arguments: Any, **policy: Any) -> Decision:
        granted = {"capabilities": ["ccos.*"], "read": [tmp_path]} | policy
        return asked.authorize(RuntimeContext.controlled(**granted), capability_id, arguments)

    return decided


def refused(decision: Decision, code: str) -> None:
    with pytest.raises(CapabilityDenied) as caught:
        decision.require()
    assert (type(caught.value), caught.value.code) == (CapabilityDenied, code)


def no_secrets(tmp_path: Path, action: str = "deny", place: str = "secret") -> dict[str, Any]:
    when = [{"argument": "path", "under": [str(tmp_path / place)]}]
    return {"rules": parse_rules([{"id": "r", "capability": READ, "action": action, "when": when}])}


@pytest.mark.parametrize(
    "name", sorted(name for name, ids in {READ: builtin_catalog().registry.names(READ)}.items() for name in ids)
)
def test_by_another_name_of_the_capability(name: str, decide: Decide, tmp_path: Path) -> None:
    path = str(tmp_path / "open" / "a")
    for denied in (READ, "ccos.io.*", "ccos.fs.*"):
        refused(decide(name, path, capabilities=["ccos.*", "ccos.fs.read"], deny=[denied]), "denied.pattern")
    assert decide(name, path, deny=["ccos.sandbox.*"]).allowed


@pytest.mark.parametrize("way", ["open/link", "open/tree/key", "open/../secret/key", "secret//./key"])
def test_by_another_way_to_the_file(way: str, decide: Decide, tmp_path: Path) -> None:
    path = f"{tmp_path}/{way}"
    refused(decide(READ, path, **no_secrets(tmp_path)), "denied.rule")
    refused(decide(READ, path, **no_secrets(tmp_path, "allow", "open")), "denied.rule")
    assert decide(READ, path, **no_secrets(tmp_path, place="other")).allowed
    assert decide(READ, path, **no_secrets(tmp_path, "allow")).allowed


@pytest.mark.parametrize("key", [Keyword("path"), "path"])
def test_by_another_form_of_the_arguments(key: Any, decide: Decide, tmp_path: Path) -> None:
    arguments = Map({key: str(tmp_path / "secret" / "key")})
    refused(decide(READ, arguments, **no_secrets(tmp_path)), "denied.rule")
    assert decide(READ, arguments, **no_secrets(tmp_path, place="other")).allowed


def test_by_leaving_the_argument_out(decide: Decide, tmp_path: Path) -> None:
    when = [{"argument": "recursive", "equals": True}]
    rules = parse_rules([{"id": "r", "capability": "ccos.io.delete-file", "action": "deny", "when": when}])
    grants = {"write": [tmp_path], "read": [], "rules": rules}
    path = str(tmp_path / "open")
    refused(decide("ccos.io.delete-file", path, True, **grants), "denied.rule")
    refused(decide("ccos.io.delete-file", path, **grants), "denied.rule")
    assert decide("ccos.io.delete-file", path, False, **grants).allowed


def test_by_one_good_path_among_bad_ones(decide: Decide, tmp_path: Path) -> None:
    when = [{"argument": "read", "under": [str(tmp_path / "open")]}]
    rules = parse_rules([{"id": "r", "capability": "ccos.sandbox.*", "action": "allow", "when": when}])
    good, bad = str(tmp_path / "open" / "a"), str(tmp_path / "secret" / "key")
    arguments = Map({"code": "1", "read": (good, bad)})
    refused(decide("ccos.sandbox.python", arguments, rules=rules), "denied.rule")
    assert decide("ccos.sandbox.python", Map({"code": "1", "read": (good,)}), rules=rules).allowed
