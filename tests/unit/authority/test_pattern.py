from __future__ import annotations

import pytest

from cloister.authority.pattern import CapabilityPattern, Glob
from cloister.errors import ConfigError


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("aws.s3.*", "aws.s3.get"),
        ("aws.s3.*", "aws.s3.object.get"),
        ("aws.s3.*", "aws.s3."),
        ("ccos.io.read-*", "ccos.io.read-file"),
        ("*", "anything"),
        ("*.get", "a.b.get"),
        ("a*b*c", "a-b-b-c"),
        ("a*b*c", "abc"),
        ("ab*ba", "abba"),
        ("a**b", "a.b"),
        ("a*aa*a", "aaaa"),
    ],
)
def test_a_glob_matches_the_whole_text(pattern: str, text: str) -> None:
    assert Glob(pattern).matches(text)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("aws.s3.*", "aws.s3"),
        ("aws.s3.*", "xaws.s3.get"),
        ("aws.s3.*", "aws-s3.get"),
        ("aws.s3.get", "aws.s3.get2"),
        ("*.get", "a.get.b"),
        ("a*b*c", "a-c-b"),
        ("ab*ba", "aba"),
        ("a*aa*a", "aaa"),
        ("a?c", "abc"),
        ("[ab]", "a"),
    ],
)
def test_nothing_else_matches(pattern: str, text: str) -> None:
    assert not Glob(pattern).matches(text)


def test_case_counts() -> None:
    assert not Glob("AWS.*").matches("aws.s3")
    assert Glob("aws.*").matches("aws.s3")


@pytest.mark.parametrize("pattern", ["*", "c*", "cloiste*", "*exec", "*.*"])
def test_no_star_opens_a_reserved_id(pattern: str) -> None:
    assert not CapabilityPattern(pattern).matches("cloister.exec")


def test_a_reserved_id_is_named_whole() -> None:
    assert CapabilityPattern("cloister.exec").matches("cloister.exec")
    assert not CapabilityPattern("cloister.exec").matches("cloister.execute")


@pytest.mark.parametrize(
    "pattern", ["", "cloister.*", "cloister.e*c", "a b", "a;b", ".a", "-a", "a\n", "a?", "x" * 201]
)
def test_what_cannot_be_a_pattern_over_capabilities_is_refused(pattern: str) -> None:
    with pytest.raises(ConfigError) as caught:
        CapabilityPattern(pattern)
    assert caught.value.code == "config.pattern"


@pytest.mark.parametrize(
    ("wide", "small", "covered"),
    [
        ("ccos.*", "ccos.io.*", True),
        ("ccos.*", "ccos.io.read-file", True),
        ("ccos.*", "ccos.*", True),
        ("*", "a*b", True),
        ("a*c", "a*b*c", True),
        ("ccos.io.*", "ccos.*", False),
        ("a.*", "*.b", False),
        ("ccos.io.read-file", "ccos.io.*", False),
        ("a*b*c", "a*c", False),
    ],
)
def test_one_pattern_covers_another(wide: str, small: str, covered: bool) -> None:
    assert CapabilityPattern(wide).covers(CapabilityPattern(small)) is covered


def test_any_name_of_a_capability_counts() -> None:
    pattern = CapabilityPattern("ccos.fs.*")
    assert pattern.matches_any({"ccos.io.read-file", "ccos.fs.read"})
    assert not pattern.matches_any({"ccos.io.read-file"})
