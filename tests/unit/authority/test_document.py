"""Policies as data: texts that stand in a place of a path or a name, and are none, are refused."""

from __future__ import annotations

import pytest

from cloister.authority.document import parse_document
from cloister.errors import ConfigError


@pytest.mark.parametrize(
    ("part", "data"),
    [
        ("allow", {"read": ["a\0b"]}),
        ("allow", {"read": [""]}),
        ("allow", {"write": ["a\0b"]}),
        ("allow", {"write": ["ok", ""]}),
        ("allow", {"variables": ["LEVEL=high"]}),
        ("allow", {"variables": [""]}),
        ("allow", {"variables": ["A\0"]}),
        ("cedar", {"file": "a\0b"}),
        ("cedar", {"file": ""}),
    ],
)
def test_what_is_no_path_or_no_name_is_refused(part: str, data: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_document({part: data})
    assert caught.value.code == "config.policy"


def test_paths_and_names_are_kept_as_they_are_written() -> None:
    found = parse_document({"allow": {"read": ["."], "write": ["~/out"], "variables": ["LEVEL"]}})
    assert (found.read, found.write, found.variables) == ((".",), ("~/out",), ("LEVEL",))
