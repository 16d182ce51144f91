from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cloister.authority.context import RuntimeContext
from cloister.authority.level import IsolationLevel, StepIsolation
from cloister.cli.limits import parse_limits
from cloister.cli.options import build_context
from cloister.cli.policy_file import POLICY_BYTES_MAX
from cloister.errors import ConfigError

LIMITS = partial(parse_limits, None, None, None)


def context(tmp_path: Path, text: str, **options: Any) -> RuntimeContext:
    path = tmp_path / "policy.toml"
    path.write_text(text, encoding="utf-8")
    return build_context(policy=path, **{"limits": LIMITS} | options)


def refused(code: str, tmp_path: Path, text: str, **options: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        context(tmp_path, text, **options)
    assert caught.value.code == code
    return caught.value


def test_an_empty_policy_grants_nothing(tmp_path: Path) -> None:
    assert context(tmp_path, "") == RuntimeContext.controlled()


def test_a_policy_says_everything_a_context_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICY_TEST", "1")
    found = context(
        tmp_path,
        """
        parameters = { depth = 3 }
        [allow]
        capabilities = ["a.b", "c.*"]
        effects = ["fs", ":network"]
        read = ["data"]
        write = ["/srv/../srv/out"]
        hosts = ["GET Example.com"]
        variables = ["POLICY_TEST"]
        computed = true
        [deny]
        capabilities = ["c.d"]
        effects = [":process"]
        hosts = ["b.example"]
        [[rules]]
        id = "r"
        capability = "c.*"
        action = "deny"
        when = [{ argument = "n", at-most = 0.5 }]
        [cedar]
        text = "permit(principal, action, resource);"
        [isolation]
        minimum = "wasm"
        steps = ["inherit"]
        [limits]
        wall-ms = "2s"
        steps-count = 7
        [expose]
        tags = ["t"]
        """,
    )
    assert (found.capabilities, found.patterns, found.denied) == ({"a.b"}, {"c.*"}, {"c.d"})
    assert (found.allowed_effects, found.denied_effects) == ({":filesystem", ":network"}, {":process"})
    assert (found.read_paths, found.write_paths) == ((str(tmp_path / "data"),), ("/srv/out",))
    assert ([str(rule) for rule in found.hosts], len(found.denied_hosts)) == (["GET example.com"], 1)
    assert found.environment == (("POLICY_TEST", "1"),)
    assert found.allow_computed
    assert [rule.id for rule in found.rules[0]] == ["r"]
    assert found.cedar_policies == ("permit(principal, action, resource);",)
    assert (found.minimum_isolation, found.step_isolation) == (IsolationLevel.WASM, {StepIsolation.INHERIT})
    assert (found.limits.wall_ms, found.limits.steps_count) == (2000, 7)
    assert found.is_context_exposure_allowed_for("x", ["t"])
    assert found.parameters == {"depth": 3}


def test_options_are_added_to_a_policy(tmp_path: Path) -> None:
    text = """
        [allow]
        capabilities = ["a.b"]
        effects = [":network"]
        variables = ["POLICY_TEST_NOT_SET"]
        [deny]
        capabilities = ["x.*"]
        [isolation]
        minimum = "wasm"
        [limits]
        wall-ms = "2s"
        memory-bytes = "1GiB"
    """
    found = context(
        tmp_path, text, allow=["c.*"], deny=["y.*"], allow_effect=[":system"], connect=["a.example"],
        env=["POLICY_TEST_NOT_SET=2"], read=[Path("/srv")], isolation="process",
        limits=partial(parse_limits, "10s", "64MiB", None),
    )  # fmt: skip
    assert (found.capabilities, found.patterns, found.denied) == ({"a.b"}, {"c.*"}, {"x.*", "y.*"})
    assert found.allowed_effects == {":network", ":system"}
    assert found.environment == (("POLICY_TEST_NOT_SET", "2"),)
    assert (found.minimum_isolation, found.read_paths) == (IsolationLevel.WASM, ("/srv",))
    assert (found.limits.wall_ms, found.limits.memory_bytes, found.limits.cpu_ms) == (2000, 64 * 2**20, 10_000)


def test_what_the_policy_denies_and_an_option_grants_is_refused(tmp_path: Path) -> None:
    text = '[deny]\ncapabilities = ["a.b", "cloister.exec"]'
    refused("config.contradiction", tmp_path, text, allow=["a.b"])
    # A command that is a workload grants it by being typed, so that the denial is what is told
    assert context(tmp_path, text, allow=["cloister.exec"]).denied == {"a.b", "cloister.exec"}


def test_everything_stands_beside_denials_and_no_policy(tmp_path: Path) -> None:
    refused("config.context", tmp_path, "", unsafe_everything=True)
    found = build_context(limits=LIMITS, unsafe_everything=True, deny=["a.*"], deny_effect=[":network"])
    assert (found.is_unsafe, found.denied, found.denied_effects) == (True, {"a.*"}, {":network"})


def test_a_policy_in_cedar_is_read_from_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "p.cedar").write_text("permit(principal, action, resource);", encoding="utf-8")
    assert len(context(tmp_path, '[cedar]\nfile = "p.cedar"').cedar_policies) == 1
    refused("config.policy", tmp_path, '[cedar]\nfile = "missing.cedar"')
    (tmp_path / "p.cedar").write_text("permit(", encoding="utf-8")
    refused("config.cedar", tmp_path, '[cedar]\nfile = "p.cedar"')


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("config.policy", "[allow"),
        ("config.policy", "[grant]\n"),
        ("config.policy", "allow = 3"),
        ("config.policy", '[allow]\ncapability = ["a.b"]'),
        ("config.policy", '[allow]\ncapabilities = "a.b"'),
        ("config.policy", "[allow]\ncapabilities = [3]"),
        ("config.policy", "[allow]\ncomputed = 1"),
        ("config.policy", "[cedar]\n"),
        ("config.policy", '[cedar]\ntext = "x"\nfile = "y"'),
        ("config.policy", "[isolation]\nminimum = 3"),
        ("config.policy", '[isolation]\nsteps = ["alone"]'),
        ("config.policy", "[limits]\nwall-ms = true"),
        ("config.limit", "[limits]\nwall = 3"),
        ("config.limit", "[limits]\nwall-ms = 0"),
        ("config.isolation", '[isolation]\nminimum = "strong"'),
        ("config.effect", '[deny]\neffects = ["magic"]'),
        ("config.pattern", '[allow]\ncapabilities = ["*"]'),
        ("config.capability", '[allow]\ncapabilities = ["a b"]'),
        ("config.host", '[allow]\nhosts = ["a b c"]'),
        ("config.rule", "rules = 3"),
        ("config.rule", '[[rules]]\nid = "r"'),
        ("config.condition", '[[rules]]\nid = "r"\ncapability = "a.b"\naction = "deny"\nwhen = [{ argument = "x" }]'),
        ("config.context", "[expose]\n"),
        ("config.parameters", "[parameters]\nx = 1.5"),
        ("config.contradiction", '[allow]\nhosts = ["a.b"]\n[deny]\nhosts = ["a.b"]'),
        ("config.contradiction", '[allow]\neffects = [":ai"]\n[deny]\neffects = [":ai"]'),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(code: str, text: str, tmp_path: Path) -> None:
    refused(code, tmp_path, text)


def test_a_misspelt_table_is_told_its_name(tmp_path: Path) -> None:
    assert refused("config.policy", tmp_path, "[alow]\n").hint == "did you mean allow?"


@pytest.mark.parametrize("data", [b"\xff", b"#" * (POLICY_BYTES_MAX + 1), None])
def test_a_file_that_is_no_policy_is_refused(data: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "policy.toml"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(ConfigError) as caught:
        build_context(policy=path, limits=LIMITS)
    assert caught.value.code == "config.policy"
    path.write_bytes(b"#" * POLICY_BYTES_MAX)
    assert build_context(policy=path, limits=LIMITS) == RuntimeContext.controlled()


def test_a_pipe_in_the_place_of_a_policy_is_not_waited_for(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for given in (pipe, Path("/dev/zero")):
        with pytest.raises(ConfigError) as caught:
            build_context(policy=given, limits=LIMITS)
        assert caught.value.code == "config.policy"
        assert "not a regular file" in caught.value.message
    place = tmp_path / "policy.toml"
    place.write_text("", encoding="utf-8")
    link = tmp_path / "link"
    link.symlink_to(place)
    assert build_context(policy=link, limits=LIMITS) == build_context(policy=place, limits=LIMITS)
