"""Installing on the real kernel, in processes of their own."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from cloister.isolation.process.lanes import LANES
from cloister.isolation.process.seccomp.calls import Profile
from cloister.isolation.process.walls import PROFILES

PRELUDE = (
    "import json, os, sys\nfrom cloister.isolation.process import launcher, syscalls\n"
    "from cloister.isolation.process.calls import AT_ONCE\n"
    "from cloister.isolation.process.seccomp import install\n"
    "from cloister.isolation.process.seccomp.calls import Profile\n"
)
MODE = "[line.split()[1] for line in open('/proc/self/status') if line.startswith('Seccomp_filters')][0]"


def said(source: str) -> object:
    done = subprocess.run([sys.executable, "-c", PRELUDE + source], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("kind", LANES)
def test_a_launcher_makes_its_filter_before_it_forks(kind) -> None:
    profiles = {PROFILES[lane] for lane in LANES[kind]}
    show = "print(json.dumps(list(install._MADE)))"
    assert said(f"launcher._prepare('{kind}', sys.path[-1])\n{show}") == list(profiles)


@pytest.mark.parametrize("profile", Profile)
def test_a_filter_is_installed_whether_it_was_prepared_or_not(profile) -> None:
    act = f"before = {MODE}; syscalls.prctl(38, 1); install.install(Profile('{profile}'))\n"
    refusal = "try: AT_ONCE.open('fsopen', 'tmpfs', 0)\nexcept OSError as e: code = e.errno\n"
    show = f"print(json.dumps([int({MODE}) - int(before), code]))"
    assert said(act + refusal + show) == [1, 1]
    assert said(f"install.prepare(Profile('{profile}'))\n" + act + refusal + show) == [1, 1]
