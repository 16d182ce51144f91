from __future__ import annotations

import pytest

from cloister.authority.policy import (
    covering_root,
    granted_path,
    intersect_roots,
    is_canonical,
    is_kernel_path,
    is_within,
    outermost,
    uncovered,
)
from cloister.errors import ConfigError


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/tmp", "/tmp", True),
        ("/tmp/a", "/tmp", True),
        ("/tmpfoo", "/tmp", False),
        ("/tmp", "/tmp/a", False),
        ("/", "/", True),
        ("/etc", "/", True),
        ("/", "/etc", False),
        ("/tmp/../etc", "/tmp", False),
        ("/tmp/./a", "/tmp", False),
        ("/tmp//a", "/tmp", False),
        ("/tmp/a/", "/tmp", False),
        ("//tmp/a", "/tmp", False),
        ("//tmp/a", "/", False),
        ("tmp/a", "/", False),
        ("", "/", False),
        ("/tmp/a\0b", "/tmp", False),
        ("/tmp/a", "", False),
        ("/tmp/a", "/tmp/", False),
        ("/tmp/..a", "/tmp", True),
        ("/tmp/a..", "/tmp", True),
        ("/tmp/...", "/tmp", True),
    ],
)
def test_within_compares_components_of_canonical_paths(path: str, root: str, expected: bool) -> None:
    assert is_within(path, root) is expected


def test_covering_root_names_the_root() -> None:
    assert covering_root("/b/c", ("/a", "/b")) == "/b"
    assert covering_root("/bc", ("/a", "/b")) is None


def test_uncovered_names_the_first_path_outside() -> None:
    assert uncovered(("/a/1", "/c", "/d"), ("/a",)) == "/c"
    assert uncovered(("/a/1",), ("/a",)) is None


@pytest.mark.parametrize("path", ["/proc", "/proc/1/environ", "/sys/kernel", "/dev/sda"])
def test_kernel_trees_are_recognised(path: str) -> None:
    assert is_kernel_path(path)


@pytest.mark.parametrize("path", ["/process", "/srv/proc", "/devel", "/"])
def test_twins_of_kernel_trees_are_ordinary(path: str) -> None:
    assert not is_kernel_path(path)


def test_intersection_keeps_the_deeper_root() -> None:
    assert intersect_roots(("/a", "/b/c", "/x"), ("/a/1", "/b", "/y")) == ("/a/1", "/b/c")


def test_outermost_drops_roots_inside_others() -> None:
    assert outermost(("/a/b", "/a", "/ab", "/a")) == ("/a", "/ab")


@pytest.mark.parametrize(
    ("given", "canonical"), [("/a/b/", "/a/b"), ("/a//b", "/a/b"), ("/a/./b", "/a/b"), ("//a", "/a"), ("/", "/")]
)
def test_a_grant_is_put_in_canonical_form(given: str, canonical: str) -> None:
    assert granted_path(given) == canonical
    assert is_canonical(canonical)


@pytest.mark.parametrize("given", ["", "a/b", ".", "/a/../b", "/a/..", "/a\0b", "/proc", "/dev/null", "//sys", "~/x"])
def test_a_grant_that_cannot_be_meant_is_refused(given: str) -> None:
    with pytest.raises(ConfigError) as caught:
        granted_path(given)
    assert caught.value.code == "config.path"
