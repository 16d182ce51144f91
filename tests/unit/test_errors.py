"""How one error carries those that were found with it."""

from __future__ import annotations

import pytest

from cloister.errors import CompileError, GuestError, flattened


@pytest.mark.parametrize("name", ["more", "also_refused"])
def test_a_carried_error_is_told_with_all_that_it_carries_itself(name: str) -> None:
    first, second, third = (CompileError(each) for each in ("first", "second", "third"))
    second.carry([third])
    first.carry([second], name)
    assert [each["message"] for each in flattened(first.to_dict())] == ["first", "second", "third"]
    assert all("details" not in each for each in flattened(first.to_dict()))


def test_other_details_stay_with_their_error() -> None:
    error = GuestError("first", details={"errno": "ENOENT"})
    error.carry([GuestError("second")])
    assert [each.get("details") for each in flattened(error.to_dict())] == [{"errno": "ENOENT"}, None]
