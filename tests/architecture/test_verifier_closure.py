"""What the verifier by itself loads: an auditor reads little of Cloister to know what was checked."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from cloister.audit.event import EventType
from cloister.audit.home import AuditHome, open_chain
from cloister.clock import ManualClock

ALLOWED = re.compile(
    r"cloister(\.(audit(\.\w+)?|canonical|errors|spans|version))?|cryptography(\..+)?|_cffi_backend|_openssl(\..+)?"
)
SCRIPT = """
import runpy, sys
before = set(sys.modules)
sys.argv = ["cloister.audit", *sys.argv[1:]]
try:
    runpy.run_module("cloister.audit", run_name="__main__")
except SystemExit as ended:
    assert ended.code == 0, ended.code
loaded = {name for name in set(sys.modules) - before if name.partition(".")[0] not in sys.stdlib_module_names}
print(*sorted(loaded), sep="\\n", file=sys.stderr)
"""


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_the_verifier_loads_only_what_it_may(tmp_path: Path) -> None:
    home = AuditHome(tmp_path / "home")
    with open_chain(home.directory, ManualClock()) as chain:
        chain.append(EventType.RUN_STARTED, run_id="r")
        head = chain.head()
    noted = f"{head.count}:{head.root_sha256}"
    done = run("-c", SCRIPT, str(home.chain_path), str(home.public_key_path), "--expect", noted)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"head: {noted}\n")
    loaded = done.stderr.split()
    assert "cloister.audit.verify" in loaded
    assert [name for name in loaded if not ALLOWED.fullmatch(name)] == []


def test_the_verifier_says_what_is_wrong(tmp_path: Path) -> None:
    home = AuditHome(tmp_path / "home")
    open_chain(home.directory, ManualClock()).close()
    module = ("-m", "cloister.audit", str(home.chain_path), str(home.public_key_path))
    assert run(*module).returncode == 0
    done = run(*module, "--expect", f"5:{'0' * 64}")
    assert done.returncode == 6
    assert done.stderr.startswith("error[audit.broken]: the chain is broken at record 0: rolled back")
    assert run(*module, "--expect", "nonsense").returncode == 2
    assert run("-m", "cloister.audit", str(tmp_path / "none"), str(home.public_key_path)).returncode == 6
