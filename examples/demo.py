"""The main job, shown: a plan runs, is refused with one grant less, its record verifies, a tampered copy does not.

Run it with `make demo`. Everything it does goes through the `cloister` command, printed as a person would type it, in a
home directory of its own below `demo-output/`.
"""

from __future__ import annotations

import shlex
import shutil
import sqlite3
import subprocess
import sys
import sysconfig
from pathlib import Path

OUTPUT = Path("demo-output")
HOME = OUTPUT / "home"
REPORTS = OUTPUT / "reports"
PLAN = "examples/stdlib_report.rtfs"
LIBRARY = sysconfig.get_paths()["stdlib"]
REPORT = REPORTS / "report.md"

LINE_CHARS = 100

GRANTS = {
    "list-dir": ["--allow", "ccos.io.list-dir"],
    "python": ["--allow", "ccos.sandbox.python"],
    "write-file": ["--allow", "ccos.io.write-file"],
    "library": ["--read", LIBRARY],
    "report": ["--write", str(REPORTS)],
}
INPUTS = ["--input", f"library={LIBRARY}", "--input", f"report={REPORT}"]


def say(text: str) -> None:
    """Print a heading."""
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}", flush=True)


def shown(*words: str) -> str:
    """Return a command as it would be typed, an option a line when it is long."""
    line = shlex.join(words)
    return line if len(line) < LINE_CHARS else line.replace(" --", " \\\n    --")


def cloister(*arguments: str, home: Path = HOME, expect: int = 0) -> None:
    """Run one command, shown first, and stop the demo when its exit status is not the expected one."""
    arguments = (*arguments, "--home", str(home))
    print("$ " + shown("cloister", *arguments), flush=True)
    command = [str(Path(sys.executable).with_name("cloister")), *arguments]
    status = subprocess.run(command, check=False).returncode  # noqa: S603
    if status != expect:
        sys.exit(f"demo: that ended with status {status}, not {expect}")
    if expect:
        print(f"(exit status {status}, as it should be)", flush=True)


def grants(without: str | None = None) -> list[str]:
    """Return the flags of all grants but one."""
    return [flag for name, flags in GRANTS.items() if name != without for flag in flags]


def tamper(copy: Path) -> int:
    """Copy the record and rewrite one line of it as an intruder would; return the sequence number of that line."""
    shutil.copytree(HOME, copy)
    with sqlite3.connect(copy / "chain.sqlite3") as database:
        sequence, event = database.execute(
            "SELECT sequence, event FROM records WHERE instr(CAST(event AS TEXT), '\"ccos.io.write-file\"') "
            "AND instr(CAST(event AS TEXT), 'call.intent') LIMIT 1"
        ).fetchone()
        forged = event.replace(b"ccos.io.write-file", b"ccos.io.read-file")
        database.execute("UPDATE records SET event = ? WHERE sequence = ?", (forged, sequence))
    database.close()
    return int(sequence)


def main() -> None:
    """Run the four scenes."""
    shutil.rmtree(OUTPUT, ignore_errors=True)
    REPORTS.mkdir(parents=True)

    say("1. A plan reports on the Python standard library, in sandboxes that see that library and nothing else")
    cloister("run", PLAN, *INPUTS, *grants())
    print(f"\n$ head {REPORT}\n" + "\n".join(REPORT.read_text(encoding="utf-8").splitlines()[:9]))

    say("2. The same plan with one grant removed is refused before anything runs")
    cloister("run", PLAN, *INPUTS, *grants(without="write-file"), expect=3)

    say("3. What was allowed, done and refused is on record, signed and chained")
    cloister("audit", "verify")

    copy = OUTPUT / "tampered"
    sequence = tamper(copy)
    say(f"4. In a copy, somebody rewrites record {sequence}; verification names it")
    cloister("audit", "verify", home=copy, expect=6)


if __name__ == "__main__":
    main()
