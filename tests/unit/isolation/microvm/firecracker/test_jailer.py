"""The jailer's command: every wall is asked for, and nothing can be asked for less."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from cloister.errors import ConfigError
from cloister.isolation.microvm.firecracker.jailer import JailPlan, command

PLAN = JailPlan(
    jailer=Path("/usr/bin/jailer"),
    firecracker=Path("/opt/firecracker-v1"),
    identity="7-abc",
    user=1_900_000_007,
    base=Path("/var/lib/jails/one"),
    group_version=2,
    group_parent="cloister-vm-1",
    group_values={"memory.max": "1000", "pids.max": "17"},
    network="/proc/1/fd/9",
    file_bytes_max=123,
    open_files_max=64,
)


def test_every_wall_is_asked_for() -> None:
    assert command(PLAN) == [
        "/usr/bin/jailer", "--id", "7-abc", "--exec-file", "/opt/firecracker-v1",
        "--uid", "1900000007", "--gid", "1900000007", "--chroot-base-dir", "/var/lib/jails/one",
        "--netns", "/proc/1/fd/9", "--new-pid-ns", "--cgroup-version", "2", "--parent-cgroup", "cloister-vm-1",
        "--cgroup", "memory.max=1000", "--cgroup", "pids.max=17",
        "--resource-limit", "fsize=123", "--resource-limit", "no-file=64", "--", "--api-sock", "api",
    ]  # fmt: skip


def test_a_filter_and_a_configuration_are_named_as_the_jail_has_them() -> None:
    words = command(dataclasses.replace(PLAN, has_filter=True, has_config=True))
    assert words[words.index("--") + 1 :] == [
        "--api-sock",
        "api",
        "--seccomp-filter",
        "filter",
        "--config-file",
        "config",
    ]


def test_filters_are_never_switched_off() -> None:
    every = command(dataclasses.replace(PLAN, has_filter=True, has_config=True))
    assert not any("no-seccomp" in word for word in every)


def test_places_are_where_the_jailer_makes_them() -> None:
    assert PLAN.root == Path("/var/lib/jails/one/firecracker-v1/7-abc/root")
    assert PLAN.pid_file == "firecracker-v1.pid"


@pytest.mark.parametrize(
    "change",
    [
        {"user": 0}, {"identity": "../x"}, {"identity": ""}, {"identity": "a" * 65}, {"group_values": {}},
        {"group_version": 3},
    ],
)  # fmt: skip
def test_a_weaker_jail_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as caught:
        dataclasses.replace(PLAN, **change)
    assert caught.value.code == "config.machine"
