"""Granted directories with links that lead anywhere, in a real machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.authority.token import TokenIssuer
from cloister.clock import SystemClock
from cloister.errors import GuestError
from cloister.isolation.microvm.execution import Work
from cloister.isolation.microvm.provider import MicroVMProvider
from cloister.isolation.provider import ExternalProgram, Mount, MountMode
from cloister.limits import ResourceLimits


@pytest.fixture(scope="module")
def provider(machine_home: Path) -> Iterator[MicroVMProvider]:
    provider = MicroVMProvider(TokenIssuer(bytes(32), SystemClock()).verifier(), machine_home)
    yield provider
    provider.close()


@pytest.fixture
def granted(tmp_path: Path) -> Path:
    granted = tmp_path / "granted"
    granted.mkdir()
    (granted / "out").symlink_to("/etc/passwd")
    (granted / "up").symlink_to("../beside")
    (tmp_path / "beside").write_text("of the host", encoding="utf-8")
    return granted


def run(provider: MicroVMProvider, granted: Path, source: str) -> str:
    limits = ResourceLimits()
    stock = provider.stock(limits)
    ready = stock.take()
    try:
        mounts = (Mount(source=str(granted), target=str(granted), mode=MountMode.READ_WRITE),)
        program = ExternalProgram(argv=("/usr/bin/python3", "-c", f"import os; os.chdir({str(granted)!r}); {source}"))
        result = ready.link.execute(Work(workload=program, limits=limits, mounts=mounts))
        assert result.exit_status == 0, result.stderr
        return result.stdout.decode()
    finally:
        stock.retire(ready)


def test_they_lead_to_files_of_the_machine_and_stay_as_they_are(provider: MicroVMProvider, granted: Path) -> None:
    said = run(provider, granted, "print(open('out').read(), os.path.exists('up')); open('new', 'w').write('new')")
    assert "nobody:x:65534" in said
    assert said.endswith("False\n")
    assert (granted / "new").read_text(encoding="utf-8") == "new"
    assert str((granted / "out").readlink()) == "/etc/passwd"
    assert str((granted / "up").readlink()) == "../beside"


def test_one_that_a_program_makes_is_refused_and_nothing_is_written_back(
    provider: MicroVMProvider, granted: Path
) -> None:
    with pytest.raises(GuestError, match="leads out") as caught:
        run(provider, granted, "open('new', 'w').write('new'); os.symlink('/etc/shadow', 'made')")
    assert caught.value.code == "guest.copy"
    assert sorted(each.name for each in granted.iterdir()) == ["out", "up"]
