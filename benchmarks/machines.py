"""What a virtual machine costs: booted, restored, waiting, forked, and in memory.

Owns the subjects of these groups, all of them machines that QEMU runs with what this host has, and the bare boot beside
them: the same kernel and the same Python under QEMU with nothing of Cloister, until Python prints a line. `cold` begins
with a provider that has been asked for nothing, in a process that has its modules loaded.
"""

from __future__ import annotations

import gc
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Final

from benchmarks.direct import Direct, plan
from benchmarks.rows import Row, timed_rows, value_row
from benchmarks.timing import Staged, Subject, interleaved, leave_out, require_equal
from cloister.authority.context import RuntimeContext
from cloister.clock import SystemClock
from cloister.isolation.microvm.config import MachineConfig
from cloister.isolation.microvm.image.building import BuildOrder, build, home_signer
from cloister.isolation.microvm.image.store import ImageStore
from cloister.isolation.microvm.pool import PoolBounds
from cloister.isolation.microvm.provider import MicroVMProvider
from cloister.isolation.microvm.qemu import counter
from cloister.isolation.microvm.qemu.command import STEADY_WORDS, TRANSLATED
from cloister.isolation.microvm.stock import Stock
from cloister.limits import MIB, ResourceLimits
from cloister.runtime import Runtime

COLD: Final = "machine cold"
WARM: Final = "machine"
FORK: Final = "machine fork"
MEMORY: Final = "machine memory"

BARE: Final = "bare QEMU, the same kernel, Python and processor: to a printed line"
BARE_UNTESTED: Final = "bare QEMU, as above, without the kernel's tests of ciphers: to a printed line"
BOOTED: Final = "cloister, cold: boot to first result of `(+ 1 2)`"
RESTORED: Final = "cloister: restore to first result of `(+ 1 2)`"
WAITING: Final = "cloister, pool: `(+ 1 2)` in a machine that waits"
FORKED: Final = "cloister: fork a session into 10"
IDLE: Final = "private memory of a restored machine that waits"
AFTER: Final = "host memory that 100 runs leave taken"

COLD_ROUNDS: Final = 7
WARM_ROUNDS: Final = 40
FORK_ROUNDS: Final = 7
IDLE_ROUNDS: Final = 10
RUNS: Final = 100
REST_S: Final = 0.2
FORKS: Final = 10
TAKEN: Final = ("AnonPages", "Shmem", "SUnreclaim", "PageTables", "KernelStack", "Percpu")
READY: Final = b"ready"
UNTESTED: Final = "cryptomgr.notests=1"
"""What images say to their kernels, too."""
BOOT_TIMEOUT_S: Final = 60.0


class Machines(Direct):
    """A provider of machines, with executions that have tokens for exactly what they ask."""

    def __init__(self, home: Path, config: MachineConfig) -> None:
        super().__init__()
        self.provider.close()
        self.machines = MicroVMProvider(self.verifier, home, config=config)

    def run(self) -> None:
        """Run the plan and check its value."""
        self.staged()()

    def staged(self) -> Callable[[], None]:
        """Issue a token for the plan; return what runs it and checks its value."""
        context = self.permitted(plan("(+ 1 2)"))
        return lambda: require_equal(self.machines.execute(context).value, 3)

    @property
    def stock(self) -> Stock:
        """Where its machines come from."""
        return self.machines.stock(ResourceLimits())

    def close(self) -> None:
        """Stop its machines."""
        self.machines.close()


@contextmanager
def _home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="cloister-bench-") as directory:
        home = Path(directory) / "home"
        build(ImageStore(home), BuildOrder(), home_signer(home, SystemClock()))
        yield home


def _opened(stack: ExitStack, home: Path, **config: object) -> Machines:
    return stack.enter_context(closing(Machines(home, MachineConfig(**config))))  # type: ignore[arg-type]


def cold() -> list[Row]:
    """Time boots: bare, and with everything a first result takes."""
    with _home() as home:
        subjects = {
            BARE: lambda: _boot_bare(home),
            BARE_UNTESTED: lambda: _boot_bare(home, UNTESTED),
            BOOTED: lambda: _boot_first(home),
        }
        return timed_rows(COLD, interleaved(subjects, rounds=COLD_ROUNDS, warm_up_rounds=1, rest_s=REST_S))


def _boot_first(home: Path) -> None:
    with ExitStack() as stack:
        _opened(stack, home, keeps_snapshots=False, pool=PoolBounds(size_max=0)).run()


def _boot_bare(home: Path, more_words: str = "") -> None:
    """Boot the image's kernel and base system with Python in the place of the first process.

    Args:
        home: Has the image.
        more_words: For the kernel.
    """
    directory = ImageStore(home).open("base").directory
    khz = counter.khz()
    words = f"console=ttyS0 quiet edd=off panic=-1 reboot=k tsc_early_khz={khz} lpj={4 * khz} {STEADY_WORDS}"
    command = [
        *("qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-M", "microvm,acpi=on,rtc=on,pic=off,pit=off,isa-serial=on", "-accel", "tcg", "-m", "768M"),
        *("-cpu", TRANSLATED),
        *("-serial", "stdio", "-kernel", f"{directory}/vmlinux", "-initrd", f"{directory}/initramfs.cpio"),
        *("-append", f"{words} {more_words} rdinit=/usr/bin/python3 -- -ISc print('ready')"),
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None  # noqa: S101 - for the type checker
    said, until_s = b"", time.monotonic() + BOOT_TIMEOUT_S
    try:
        while READY not in said and time.monotonic() < until_s and (data := os.read(process.stdout.fileno(), 4096)):
            said += data
        require_equal(READY in said, True)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def warm() -> list[Row]:
    """Time machines that go on from a snapshot: restored when asked for, and waiting."""

    def staged() -> Callable[[], object]:
        _await_waiting(waiting)
        return waiting.staged()

    with _home() as home, ExitStack() as stack:
        restored = _opened(stack, home, pool=PoolBounds(size_max=0))
        waiting = _opened(stack, home, pool=PoolBounds(size_max=1))
        restored.run()
        waiting.run()
        waiting.run()
        subjects: dict[str, Subject] = {RESTORED: Staged(restored.staged), WAITING: Staged(staged)}
        return timed_rows(WARM, interleaved(subjects, rounds=WARM_ROUNDS, rest_s=REST_S))


def fork() -> list[Row]:
    """Time a fork of an idle session into ten."""
    context = RuntimeContext.controlled(capabilities=["cloister.exec"])

    def forked() -> float:
        begun = time.perf_counter()
        forks = runtime.fork(session, FORKS)
        taken_ms = (time.perf_counter() - begun) * 1000
        for each in forks:
            each.close()
        return taken_ms

    with (
        _home() as home,
        Runtime.open(home) as runtime,
        runtime.session(context=context, provider="microvm") as session,
    ):
        session.execute(["/usr/bin/python3", "-c", "print(1)"])
        return [value_row(FORK, FORKED, [forked() for _ in range(FORK_ROUNDS)], "ms")]


def memory() -> list[Row]:
    """Measure what a waiting machine holds, and what many runs leave."""
    with _home() as home, ExitStack() as stack:
        machines = _opened(stack, home, pool=PoolBounds(size_max=1))
        machines.run()
        machines.run()  # the first one that the pool is asked for
        idle = [_private_mib(machines) for _ in range(IDLE_ROUNDS)]
        before = _taken_mib(machines)
        for _ in range(RUNS):
            machines.run()
        left = _taken_mib(machines) - before
    return [value_row(MEMORY, IDLE, idle, "MiB"), value_row(MEMORY, AFTER, [left], "MiB")]


def _await_waiting(machines: Machines) -> None:
    """Wait until a machine waits: what is timed or measured is never one that was made when it was asked for."""
    pool = machines.stock.pool
    require_equal(pool.wait_until_full(BOOT_TIMEOUT_S), True)
    require_equal(pool.waiting_count > 0, True)


def _private_mib(machines: Machines) -> float:
    _await_waiting(machines)
    time.sleep(1)
    ready = machines.stock.take()
    held = ready.usage().private_bytes
    machines.stock.retire(ready)
    if held is None:
        leave_out(IDLE, "the kernel does not say")
        return float("nan")
    return held / MIB


def _taken_mib(machines: Machines) -> float:
    """Return what the host's kernel could not give to others, once everything has come to rest.

    What it would have to write to a disk first, or has in a cache, is not among it: that comes and goes by itself.

    Source: proc_meminfo(5).
    """
    _await_waiting(machines)
    gc.collect()
    time.sleep(2)
    table = dict(line.split(":") for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    return sum(int(table[name].split()[0]) for name in TAKEN) / 1024
