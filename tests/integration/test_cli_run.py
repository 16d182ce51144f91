"""`cloister run`: results, grants, refusals, and that nothing half-done stays."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cloister = Callable[..., Any]
Plan = Callable[[str], Path]


def test_pure_plan_prints_its_value(cloister: Cloister, plan: Plan) -> None:
    done = cloister("run", plan("(reduce + (map inc [1 2 3]))"))
    assert (done.status, done.out) == (0, "9\n")


def test_json_result_has_value_usage_and_chain_position(cloister: Cloister, plan: Plan) -> None:
    done = cloister("run", "--json", plan("{:sum (+ 1 2)}"))
    assert done.status == 0
    assert done.data["ok"] is True
    assert done.data["value_text"] == "{:sum 3}"
    assert done.data["usage"]["wall_us"] > 0
    assert done.data["usage"]["memory_peak_bytes"] > 0
    assert done.data["chain"]["sequence"] == 1


def test_call_without_its_grant_is_refused_and_names_it(cloister: Cloister, plan: Plan, tmp_path: Path) -> None:
    source = tmp_path / "data.txt"
    source.write_text("hello", encoding="utf-8")
    text = plan(f'(call :ccos.io.read-file "{source}")')
    refused = cloister("run", text, "--read", source)
    assert refused.status == 3
    assert "error[denied.capability]" in refused.err
    assert "grant it with --allow ccos.io.read-file" in refused.err
    assert "plan.rtfs:1:1" in refused.err
    allowed = cloister("run", text, "--read", source, "--allow", "ccos.io.read-file")
    assert (allowed.status, allowed.out) == (0, '"hello"\n')


def test_path_outside_the_grants_is_refused_before_anything_runs(
    cloister: Cloister, plan: Plan, tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "out.txt").write_text("secret", encoding="utf-8")
    text = plan(
        f'(do (call :ccos.io.write-file "{tmp_path}/in/trace" "x") (call :ccos.io.read-file "{tmp_path}/out.txt"))'
    )
    grants = ["--allow", "ccos.io.read-file", "--allow", "ccos.io.write-file", "--write", tmp_path / "in"]
    refused = cloister("run", text, *grants)
    assert refused.status == 3
    assert "error[denied.path]" in refused.err
    assert f"--read {tmp_path}/out.txt" in refused.err
    assert not (tmp_path / "in" / "trace").exists()
    allowed = cloister("run", text, *grants, "--read", tmp_path / "out.txt")
    assert (allowed.status, allowed.out) == (0, '"secret"\n')
    assert (tmp_path / "in" / "trace").read_text(encoding="utf-8") == "x"


def test_inputs_reach_the_plan_as_text(cloister: Cloister, plan: Plan) -> None:
    done = cloister("run", plan("(str greeting 1)"), "--input", "greeting=hello=")
    assert (done.status, done.out) == (0, '"hello=1"\n')


def test_missing_input_is_named(cloister: Cloister, plan: Plan) -> None:
    done = cloister("run", plan("(str greeting)"))
    assert done.status == 2
    assert "greeting" in done.err
    assert "--input greeting=" in done.err


def test_steps_are_shown_on_standard_error(cloister: Cloister, plan: Plan) -> None:
    done = cloister("run", plan('(step "outer" (step "inner" 1))'))
    assert done.out == "1\n"
    assert "  step inner: ok" in done.err
    assert "\nstep outer: ok" in "\n" + done.err


def test_printed_lines_come_before_the_value(cloister: Cloister, plan: Plan) -> None:
    text = plan('(do (call :ccos.io.println "a" 1) 2)')
    done = cloister("run", text, "--allow", "ccos.io.println")
    assert done.out == "a 1\n2\n"
    assert cloister("run", text).status == 3


def test_failing_plan_has_status_one_place_and_kind(cloister: Cloister, plan: Plan) -> None:
    done = cloister("run", plan("(let [x 0]\n  (/ 1 x))"))
    assert done.status == 1
    assert "plan.rtfs:2:3" in done.err
    assert "Division by zero" in done.err


def test_unreadable_plan_is_unusable_input(cloister: Cloister, tmp_path: Path) -> None:
    done = cloister("run", tmp_path / "absent.rtfs")
    assert done.status == 2
    assert "error[plan.unreadable]" in done.err


def test_binary_plan_is_unusable_input(cloister: Cloister, tmp_path: Path) -> None:
    path = tmp_path / "plan.rtfs"
    path.write_bytes(b"\xff\xfe(+ 1 2)")
    done = cloister("run", path)
    assert done.status == 2
    assert "error[plan.encoding]" in done.err


def test_errors_are_json_with_json(cloister: Cloister, plan: Plan) -> None:
    done = cloister("run", "--json", plan("(call :ccos.io.list-dir"))
    assert done.status == 2
    assert done.data["ok"] is False
    assert done.data["error"]["code"].startswith("read.")
    assert done.data["error"]["span"]["line"] == 1


def test_unbuilt_provider_is_refused_and_never_replaced(cloister: Cloister, plan: Plan) -> None:
    done = cloister("run", plan("1"), "--provider", "gvisor")
    assert done.status == 5
    assert "error[provider.not-built]" in done.err
    assert done.out == ""


@pytest.mark.parametrize("provider", ["microvm", "qemu", "firecracker", "cloud-hypervisor"])
def test_a_machine_that_cannot_be_had_is_refused_and_never_replaced(
    cloister: Cloister, plan: Plan, provider: str
) -> None:
    done = cloister("run", plan("1"), "--provider", provider)
    assert done.status == 5
    assert re.search(r"error\[provider\.(image|kvm|vmm)\]", done.err)
    assert done.out == ""


def test_demanded_isolation_refuses_a_weaker_provider(cloister: Cloister, plan: Plan) -> None:
    refused = cloister("run", plan("1"), "--isolation", "machine")
    assert refused.status == 3
    assert "error[denied.isolation]" in refused.err
    assert cloister("run", plan("1"), "--isolation", "process").out == "1\n"


def test_unknown_capability_is_refused_with_the_nearest_name(cloister: Cloister, plan: Plan) -> None:
    done = cloister("run", plan('(call :ccos.io.read-fil "x")'))
    assert done.status == 3
    assert "error[denied.unknown-capability]" in done.err
    assert "ccos.io.read-file" in done.err


def test_computed_capability_needs_its_own_grant(cloister: Cloister, plan: Plan) -> None:
    text = plan('(call (str "ccos.math" ".add") 1 2)')
    refused = cloister("run", text, "--allow", "ccos.math.add")
    assert refused.status == 3
    assert "--allow-computed" in refused.err
    allowed = cloister("run", text, "--allow", "ccos.math.add", "--allow-computed")
    assert (allowed.status, allowed.out) == (0, "3\n")


def test_computed_capability_is_still_checked(cloister: Cloister, plan: Plan) -> None:
    done = cloister("run", plan('(call (str "ccos.math" ".add") 1 2)'), "--allow-computed")
    assert done.status == 3
    assert "--allow ccos.math.add" in done.err


def test_timeout_ends_a_plan_that_runs_away(cloister: Cloister, plan: Plan) -> None:
    done = cloister("run", plan("(loop [i 0] (recur (+ i 1)))"), "--timeout", "300ms")
    assert done.status == 4
    assert "error[limit." in done.err


def test_misspelt_grant_is_an_error_not_just_without_effect(cloister: Cloister, plan: Plan) -> None:
    done = cloister("run", plan("1"), "--allow", "ccos.io.read-fil")
    assert done.status == 2
    assert "did you mean ccos.io.read-file?" in done.err
    assert cloister("run", plan("1"), "--allow", "ccos.io.read-file").status == 0


def test_total_usage_adds_the_calls_to_the_plan(cloister: Cloister, plan: Plan) -> None:
    text = plan('(do (call :ccos.sandbox.python "x = bytearray(150_000_000)") (call :ccos.sandbox.shell "echo 1"))')
    grants = ["--allow", "ccos.sandbox.python", "--allow", "ccos.sandbox.shell"]
    data = cloister("run", "--json", text, *grants).data
    parts = [data["usage"], *(call["usage"] for call in data["calls"])]
    assert len(parts) == 3
    for name in ("wall_us", "cpu_user_us", "cpu_system_us", "output_bytes"):
        assert data["usage_total"][name] == sum(part[name] for part in parts), name
    peak = max(part["memory_peak_bytes"] for part in parts)
    assert data["usage_total"]["memory_peak_bytes"] == peak > data["usage"]["memory_peak_bytes"]
    assert data["usage_total"]["steps_count"] == data["usage"]["steps_count"]
    shown = re.search(r"peak memory (\d+) MiB", cloister("run", text, *grants).err)
    assert shown is not None
    assert int(shown[1]) >= 143


def test_total_usage_is_unknown_where_a_part_is(cloister: Cloister, plan: Plan) -> None:
    data = cloister("run", "--json", "--provider", "mock", plan("1")).data
    assert data["usage"]["memory_peak_bytes"] is None
    assert data["usage_total"] == data["usage"]
    assert "peak memory" not in cloister("run", "--provider", "mock", plan("1")).err
