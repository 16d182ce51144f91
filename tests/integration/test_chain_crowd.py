"""Many runs over one chain, of threads and of processes: nothing is lost, and a run keeps its order."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from cloister.audit.chain import CausalChain
from cloister.audit.event import Draft, EventType
from cloister.audit.home import AuditHome, open_chain
from cloister.audit.signer import PublicKey
from cloister.audit.verify import verify_chain
from cloister.clock import SystemClock

RUNS_COUNT = 100
CALLS_COUNT = 6
RECORDS_COUNT = 2 + 2 * CALLS_COUNT


def record_run(chain: CausalChain, run_id: str) -> None:
    """Record a run as the runtime does: some durable, some not, some as a group."""
    started = chain.append(EventType.RUN_STARTED, run_id=run_id, body={"number": 0}).event.sequence
    for call in range(CALLS_COUNT):
        number = 1 + 2 * call
        if call % 2:
            chain.append_all(
                [
                    Draft(event_type=EventType.CALL_INTENT, run_id=run_id, parent=started, body={"number": number}),
                    Draft(
                        event_type=EventType.CALL_OUTCOME, run_id=run_id, parent_in_group=0, body={"number": number + 1}
                    ),
                ]
            )
        else:
            intent = chain.append(EventType.CALL_INTENT, run_id=run_id, parent=started, body={"number": number})
            chain.append(
                EventType.CALL_OUTCOME,
                run_id=run_id,
                parent=intent.event.sequence,
                body={"number": number + 1},
                durable=False,
            )
    chain.append(EventType.RUN_COMPLETED, run_id=run_id, parent=started, body={"number": RECORDS_COUNT - 1})


def assert_complete(home: AuditHome, run_ids: list[str]) -> None:
    report = verify_chain(home.chain_path, PublicKey.load(home.public_key_path), anchor_path=home.anchor_path)
    assert (report.count, report.runs_count) == (len(run_ids) * RECORDS_COUNT, len(run_ids))
    with open_chain(home.directory, SystemClock()) as chain:
        by_run: dict[str, list[object]] = {}
        for record in chain.records():
            event = record.event
            by_run.setdefault(event.run_id, []).append(event.body["number"])
            if event.event_type is EventType.CALL_OUTCOME:
                assert event.parent is not None
                assert event.parent < event.sequence
    assert by_run == {run_id: list(range(RECORDS_COUNT)) for run_id in run_ids}


def test_a_hundred_runs_of_threads(tmp_path: Path) -> None:
    home = AuditHome(tmp_path / "home")
    run_ids = [f"run-{number}" for number in range(RUNS_COUNT)]
    with open_chain(home.directory, SystemClock()) as chain, ThreadPoolExecutor(16) as pool:
        for done in [pool.submit(record_run, chain, run_id) for run_id in run_ids]:
            done.result()
    assert_complete(home, run_ids)


WORKER = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from cloister.audit.home import open_chain
from cloister.clock import SystemClock
from tests.integration.test_chain_crowd import record_run
run_ids = sys.argv[2:]
with open_chain(Path(sys.argv[1]), SystemClock()) as chain, ThreadPoolExecutor(4) as pool:
    print("ready", flush=True)
    sys.stdin.readline()
    for done in [pool.submit(record_run, chain, run_id) for run_id in run_ids]:
        done.result()
"""


def test_a_hundred_runs_of_four_processes(tmp_path: Path) -> None:
    home = AuditHome(tmp_path / "home")
    run_ids = [f"run-{number}" for number in range(RUNS_COUNT)]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(home.directory), *run_ids[number::4]],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
        )
        for number in range(4)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"go\n")
        worker.stdin.flush()
    for worker in workers:
        _, errors = worker.communicate(timeout=120)
        assert (worker.returncode, errors) == (0, b"")
    assert_complete(home, run_ids)
