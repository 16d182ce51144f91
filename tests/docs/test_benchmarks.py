"""The benchmark page holds what was measured; a subject that cannot be measured has no row and meets no bar."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from math import isnan

import pytest
from benchmarks import figures, peers
from benchmarks.bars import BARS, Bar
from benchmarks.direct import Direct, Prepared
from benchmarks.figures import Group
from benchmarks.load import settled_sandboxes, sustained
from benchmarks.rows import Row, median_of, timed_rows, value_row
from benchmarks.subjects import GROUPS, select
from benchmarks.timing import LeftOut, Timing, WrongAnswer, interleaved


def group(name: str, median: float, day: str = "2026-01-01") -> Group:
    row = Row(group=name, subject=f"{name}: act", median=median, p95=2 * median, rounds=3)
    return Group(machine={"cores": 2, "measured_on": day}, rows=(row,))


def test_the_page_is_made_from_the_kept_figures() -> None:
    kept = figures.load()
    assert kept.keys() <= GROUPS.keys()
    assert figures.PAGE.read_text(encoding="utf-8") == figures.page(kept)


def test_figures_are_kept_as_they_are(tmp_path) -> None:
    groups = {"reading": group("reading", 1.5), "sandbox": group("sandbox", 2.5)}
    figures.save(groups, tmp_path / "kept" / "latest.json")
    assert figures.load(tmp_path / "kept" / "latest.json") == groups
    assert figures.load(tmp_path / "nothing.json") == {}


def test_a_group_is_measured_again_without_the_others() -> None:
    kept = {"sandbox": group("sandbox", 1), "reading": group("reading", 2), "renamed": group("renamed", 3)}
    fresh = {"sandbox": group("sandbox", 9, "2026-02-02"), "start-up": group("start-up", 4, "2026-02-02")}
    merged = figures.merged(kept, fresh, ["start-up", "sandbox", "reading"])
    assert [(name, each.rows[0].median) for name, each in merged.items()] == [
        ("start-up", 4), ("sandbox", 9), ("reading", 2),
    ]  # fmt: skip
    text = figures.page(merged)
    assert "- start-up, sandbox: cores: 2, measured on: 2026-02-02." in text
    assert "- reading: cores: 2, measured on: 2026-01-01." in text
    assert "| sandbox | sandbox: act |  | 9.000 | 18.000 | ms | 3 |" in text


def test_groups_are_found_by_their_first_words() -> None:
    assert select([]) == list(GROUPS)
    assert select(["memory"]) == ["memory"]
    assert select(["sandbox memory", "start-up"]) == ["start-up", "sandbox memory"]
    sandboxes = select(["sandbox"])
    assert {"sandbox", "sandbox python", "sandbox throughput"} <= set(sandboxes)
    assert all(name.startswith("sandbox") for name in sandboxes)
    with pytest.raises(ValueError, match='no group "sand"; there are: start-up'):
        select(["sand"])


def test_a_bar_is_a_ceiling_or_a_floor() -> None:
    rows = group("sandbox", 5).rows
    bars = {
        (limit, is_floor): Bar(
            text="", limit=limit, unit="ms", is_floor=is_floor, measured=lambda rows: median_of(rows, "sandbox: act")
        )
        for limit, is_floor in itertools.product((4, 5, 6), (False, True))
    }
    met = {facts for facts, bar in bars.items() if bar.is_met(rows)}
    assert met == {(5, False), (6, False), (4, True), (5, True)}


@pytest.mark.parametrize("bar", BARS, ids=lambda bar: bar.text)
def test_a_bar_without_its_rows_is_not_met(bar) -> None:
    assert isnan(bar.measured(()))
    assert not bar.is_met(())


def test_the_bad_end_of_a_row() -> None:
    assert value_row("g", "s", [1, 2, 9], "ms").p95 == 9
    assert value_row("g", "s", [1, 2, 9], "1/s", less_is_worse=True).p95 == 1


def test_the_least_is_kept_and_shown(tmp_path) -> None:
    timing = Timing(least_ms=2, median_ms=4, p95_ms=8, rounds=3)
    groups = {
        "g": Group(machine={}, rows=(*timed_rows("g", {"s": timing}, divide_by=2), value_row("g", "t", [3, 5], "x")))
    }
    figures.save(groups, tmp_path / "latest.json")
    assert figures.load(tmp_path / "latest.json") == groups
    text = figures.page(groups)
    assert "| g | s | 1.000 | 2.000 | 4.000 | ms | 3 |" in text
    assert "| g | t | 3.000 | 4.000 | 5.000 | x | 2 |" in text


def test_a_subject_that_is_left_out_has_no_row(capsys) -> None:
    turns: list[str] = []

    def good() -> None:
        turns.append("good")

    def bad() -> None:
        turns.append("bad")
        if turns.count("bad") == 2:
            raise LeftOut("it broke")

    timings = interleaved({"good": good, "bad": bad}, rounds=3, warm_up_rounds=1)
    assert (list(timings), timings["good"].rounds) == (["good"], 3)
    assert turns == ["good", "bad", "good", "bad", "good", "good"]
    assert capsys.readouterr().err == "left out: bad: it broke\n"


def test_a_wrong_answer_of_ours_ends_the_measurement() -> None:
    def wrong() -> None:
        raise WrongAnswer("42 was expected")

    with pytest.raises(WrongAnswer):
        interleaved({"ours": wrong}, rounds=1)


def test_every_call_has_a_number_of_its_own() -> None:
    seen: list[int] = []
    rate = sustained(seen.append, threads=3, window_s=0.05)
    assert seen
    assert sorted(seen) == list(range(len(seen)))
    assert 0 < rate <= len(seen) / 0.05


def test_a_call_that_fails_ends_the_measurement() -> None:
    def fail(number: int) -> None:
        raise WrongAnswer(str(number))

    with pytest.raises(WrongAnswer):
        sustained(fail, threads=1, window_s=60)


def test_a_missing_peer_is_left_out_with_its_reason(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with ExitStack() as stack:
        assert peers.BWRAP not in {peer.name for peer in peers.present(stack)}
    assert f"left out: {peers.BWRAP}: it is not installed: apt-get install bubblewrap\n" in capsys.readouterr().err


def test_bubblewrap_does_the_job() -> None:
    with ExitStack() as stack:
        found = {peer.name: peer for peer in peers.present(stack)}
        assert found[peers.BWRAP].python("print(6*7)") == b"42\n"
        with pytest.raises(LeftOut):
            found[peers.BWRAP].program(["/bin/false"])


@pytest.mark.parametrize(("prepared", "is_waiting"), [(Prepared.NOTHING, False), (Prepared.USUAL, True)])
def test_a_cold_provider_has_no_sandbox_waiting(prepared, is_waiting) -> None:
    with Direct(prepared) as direct:
        assert direct.program("/bin/echo", "42").stdout == b"42\n"
        assert bool(settled_sandboxes(direct.provider.launcher_pids)) is is_waiting
