"""What tests of the process provider share: a provider, and executions with tokens for exactly what they ask."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from cloister.authority.context import RuntimeContext
from cloister.authority.decision import Decision, Reason
from cloister.authority.token import TokenIssuer
from cloister.clock import SystemClock
from cloister.isolation.permit import permission_for
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.provider import ProcessProvider
from cloister.isolation.provider import (
    ExecutionContext,
    ExecutionResult,
    ExternalProgram,
    GuestOperation,
    Mount,
    MountMode,
    OutputObserver,
    ScriptLanguage,
    ScriptSource,
    WireValue,
    Workload,
)
from cloister.limits import ResourceLimits

if TYPE_CHECKING:
    from tests.security.webassembly import WasmBench


class Bench:
    """A process provider and short ways to run things in it."""

    def __init__(self, without: frozenset[Mechanism] = frozenset()) -> None:
        self._issuer = TokenIssuer(bytes(range(32)), SystemClock())
        self.verifier = self._issuer.verifier()
        self.provider = ProcessProvider(self.verifier, without=without)
        self._count = 0

    def permitted(
        self,
        workload: Workload,
        *,
        limits: ResourceLimits | None = None,
        read: tuple[Path, ...] = (),
        write: tuple[Path, ...] = (),
        environment: dict[str, str] | None = None,
        working_directory: str | None = None,
    ) -> ExecutionContext:
        self._count += 1
        execution_id = f"execution-{self._count}"
        granted = RuntimeContext.controlled(
            read=[str(path) for path in read],
            write=[str(path) for path in write],
            environment=environment or {},
            limits=limits or ResourceLimits(),
        )
        decision = Decision(
            allowed=True,
            reason=Reason.ALLOWED,
            capability_id="test.bench",
            context=granted,
            permissions=frozenset({permission_for(workload).value}),
            read_paths=granted.read_paths,
            write_paths=granted.write_paths,
            environment=granted.environment_names,
        )
        modes = [(path, MountMode.READ_ONLY) for path in read] + [(path, MountMode.READ_WRITE) for path in write]
        return ExecutionContext(
            execution_id=execution_id,
            capability_id="test.bench",
            workload=workload,
            token=self._issuer.issue(decision, execution_id=execution_id),
            limits=limits or ResourceLimits(),
            mounts=tuple(Mount(source=str(path), target=str(path), mode=mode) for path, mode in modes),
            environment=environment or {},
            working_directory=working_directory,
        )

    def execute(
        self, workload: Workload, *, on_output: OutputObserver | None = None, **facts: object
    ) -> ExecutionResult:
        return self.provider.execute(self.permitted(workload, **facts), on_output=on_output)  # type: ignore[arg-type]

    def program(self, *argv: str, stdin: bytes = b"", **facts: object) -> ExecutionResult:
        return self.execute(ExternalProgram(argv=argv, stdin=stdin), **facts)  # type: ignore[arg-type]

    def python(self, source: str, arguments: WireValue = None, **facts: object) -> WireValue:
        script = ScriptSource(language=ScriptLanguage.PYTHON, source=source, arguments=arguments)
        return self.execute(script, **facts).value  # type: ignore[arg-type]

    def shell(self, source: str, **facts: object) -> WireValue:
        return self.execute(ScriptSource(language=ScriptLanguage.SHELL, source=source), **facts).value  # type: ignore[arg-type]

    def operate(self, name: str, arguments: dict[str, WireValue], **facts: object) -> WireValue:
        return self.execute(GuestOperation(name=name, arguments=arguments), **facts).value  # type: ignore[arg-type]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.provider.close()


@pytest.fixture
def bench_without() -> Iterator[Callable[..., Bench]]:
    """Makes benches from whose sandboxes mechanisms are left out."""
    made: list[Bench] = []

    def make(*without: Mechanism) -> Bench:
        made.append(Bench(frozenset(without)))
        return made[-1]

    yield make
    for each in made:
        each.provider.close()


@pytest.fixture
def marker() -> str:
    """A number of seconds that no other process sleeps for."""
    return f"1000.{os.getpid()}{os.urandom(4).hex().translate(str.maketrans('abcdef', '012345'))}"


def processes_with(word: str) -> list[int]:
    """Return the processes of this host that have the word on their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                command = (entry / "cmdline").read_bytes()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if word.encode() in command and int(entry.name) != os.getpid():
                found.append(int(entry.name))
    return found


@pytest.fixture
def leftovers(marker: str) -> Callable[[], list[int]]:
    return lambda: processes_with(marker)


@pytest.fixture
def wasm(tmp_path: Path) -> Iterator[WasmBench]:
    """A provider of WebAssembly."""
    from tests.security.webassembly import wasm_bench  # noqa: PLC0415 - it uses what is above

    with wasm_bench(tmp_path.resolve()) as bench:
        yield bench
