from __future__ import annotations

import pytest

from cloister.authority.registry import CapabilityRegistry
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
