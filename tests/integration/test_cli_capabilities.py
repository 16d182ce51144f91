"""`cloister capabilities`: what there is, and how each is called."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloister.capabilities.catalog import builtin_catalog

Cloister = Callable[..., Any]
Plan = Callable[[str], Path]
IDS = sorted(builtin_catalog().capabilities)


def test_every_capability_is_listed_with_its_summary(cloister: Cloister) -> None:
    done = cloister("capabilities")
    assert done.status == 0
    assert [line.split()[0] for line in done.out.splitlines()] == IDS
    assert "Return the text of a UTF-8 file." in done.out


def test_one_is_shown_with_all_that_a_caller_needs(cloister: Cloister) -> None:
    shown = cloister("capabilities", "ccos.io.write-file").out
    for text in (
        "path", "content", "text", "required", "The whole new content.", "{:bytes n}", ":filesystem", "ccos.fs.write",
        "--allow ccos.io.write-file --write PATH", "(call :ccos.io.write-file ", "what is written",
    ):  # fmt: skip
        assert text in shown, text
    assert "Granted paths it may read." in cloister("capabilities", "ccos.sandbox.python").out
    assert "--env NAME" in cloister("capabilities", "ccos.system.get-env").out


def test_an_alias_shows_the_capability_it_stands_for(cloister: Cloister) -> None:
    shown = cloister("capabilities", "ccos.fs.read")
    assert (shown.status, shown.out) == (0, cloister("capabilities", "ccos.io.read-file").out)


def test_an_unknown_one_is_refused_with_the_nearest_name(cloister: Cloister) -> None:
    done = cloister("capabilities", "ccos.io.read-fil")
    assert done.status == 3
    assert "error[denied.unknown-capability]" in done.err
    assert "did you mean ccos.io.read-file?" in done.err
    assert cloister("capabilities", "--json", "ccos.io.read-fil").data["ok"] is False


def test_json_holds_the_list_and_the_one(cloister: Cloister) -> None:
    listed = cloister("capabilities", "--json").data["capabilities"]
    assert [each["id"] for each in listed] == IDS
    one = cloister("capabilities", "--json", "ccos.io.read-file").data["capability"]
    assert one in listed
    assert one["access"] == {"path": "read"}
    assert one["parameters"][0]["name"] == "path"


def test_every_example_is_a_call_that_fits(cloister: Cloister, tmp_path: Path) -> None:
    for each in cloister("capabilities", "--json").data["capabilities"]:
        (tmp_path / f"{each['id']}.rtfs").write_text(each["example"], encoding="utf-8")
    plans = sorted(tmp_path.glob("*.rtfs"))
    assert len(plans) == len(IDS)
    done = cloister("check", *plans)
    assert (done.status, done.err) == (0, f"checked {len(IDS)} plans: no errors\n")


def test_an_example_runs_with_the_grant_beside_it(cloister: Cloister, plan: Plan) -> None:
    for identifier in ("ccos.math.add", "ccos.sandbox.shell", "ccos.data.parse-json"):
        one = cloister("capabilities", "--json", identifier).data["capability"]
        assert cloister("run", plan(one["example"])).status == 3
        assert cloister("run", plan(one["example"]), *one["grants"][0].split()).status == 0
