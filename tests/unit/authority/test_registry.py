from __future__ import annotations

from typing import Any

import pytest

from cloister.authority.context import RuntimeContext
from cloister.authority.registry import CapabilityRegistry
from cloister.authority.rules import parse_rules
from cloister.errors import CapabilityDenied, ConfigError

from .specs import ADD, READ_FILE, REGISTRY, spec


def test_aliases_lead_to_the_canonical_specification() -> None:
    assert REGISTRY.find("ccos.fs.read") is READ_FILE
    assert REGISTRY.names("ccos.io.read-file") == {"ccos.io.read-file", "ccos.fs.read"}
    assert "ccos.fs.read" in REGISTRY
    assert len(REGISTRY) == 6
    assert READ_FILE in list(REGISTRY)


def test_an_unknown_id_is_refused_with_the_nearest_name() -> None:
    assert REGISTRY.require("ccos.io.read-file") is READ_FILE
    with pytest.raises(CapabilityDenied) as caught:
        REGISTRY.require("ccos.io.raed-file")
    assert (caught.value.code, caught.value.kind) == ("denied.unknown-capability", "UnknownCapability")
    assert caught.value.hint == "did you mean ccos.io.read-file?"


@pytest.mark.parametrize(
    ("specs", "aliases"),
    [
        ([ADD, ADD], {}),
        ([ADD, READ_FILE], {"ccos.math.add": "ccos.io.read-file"}),
        ([ADD], {"sum": "ccos.math.sum"}),
        ([spec("cloister.exec")], {}),
        ([ADD], {"cloister.exec": "ccos.math.add"}),
        ([spec("")], {}),
    ],
)
def test_taken_reserved_and_dangling_names_are_refused(specs: list[object], aliases: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        CapabilityRegistry(specs, aliases=aliases)  # type: ignore[arg-type]
    assert caught.value.code == "config.capability"


def test_grants_are_checked_and_made_canonical() -> None:
    assert REGISTRY.check_grants({"ccos.fs.read", "cloister.exec"}) == {"ccos.io.read-file", "cloister.exec"}
    with pytest.raises(ConfigError) as caught:
        REGISTRY.check_grants({"ccos.fs.raed"})
    assert caught.value.hint == "did you mean ccos.fs.read?"


def test_a_very_long_foreign_id_is_quoted_short() -> None:
    with pytest.raises(CapabilityDenied) as caught:
        REGISTRY.require("x" * 100_000)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    "grants",
    [
        {"capabilities": ["ccos.io.red-file"]},
        {"capabilities": ["cccos.*"]},
        {"deny": ["ccos.io.red-file"]},
        {"rules": parse_rules([{"id": "r", "capability": "ccos.io.red-file", "action": "deny"}])},
    ],
)
def test_a_context_that_names_what_is_not_there_is_refused(grants: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        REGISTRY.check_context(RuntimeContext.controlled(**grants))
    assert caught.value.code == "config.capability"


def test_a_denial_may_be_about_more_than_is_here() -> None:
    rules = parse_rules([{"id": "r", "capability": "aws.*", "action": "deny"}])
    REGISTRY.check_context(
        RuntimeContext.controlled(
            capabilities=["ccos.io.*", "ccos.fs.read", "cloister.exec"],
            deny=["aws.s3.*", "ccos.fs.write", "cloister.UnsafeNative"],
            rules=rules,
        )
    )


def test_a_family_of_aliases_is_told_what_they_stand_for() -> None:
    with pytest.raises(ConfigError) as caught:
        REGISTRY.check_context(RuntimeContext.controlled(capabilities=["ccos.fs.*"]))
    assert caught.value.hint == "it matches aliases only; ccos.fs.read stands for ccos.io.read-file"
