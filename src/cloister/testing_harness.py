"""What the conformance suite stands on: fakes, assertions, and a provider with something on its host to touch.

Owns everything of `cloister.testing` that is not a check; take the public names from there.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from cloister.authority.context import RuntimeContext
from cloister.authority.decision import Decision, Reason
from cloister.authority.permission import Permission
from cloister.authority.token import NO_ARGUMENTS_SHA256, PermissionToken, TokenIssuer, TokenVerifier
from cloister.clock import ManualClock
from cloister.errors import CapabilityDenied, CloisterError
from cloister.isolation.permit import permission_for
from cloister.isolation.provider import (
    ExecutionContext,
    ExecutionResult,
    GuestOperation,
    IsolationProvider,
    Mount,
    MountMode,
    PlanProgram,
    WireValue,
    Workload,
)
from cloister.lang.host import OptionData
from cloister.limits import ResourceLimits

_Error = TypeVar("_Error", bound=CloisterError)

CAPABILITY: Final = "test.conformance"
HOST_FILES: Final[Mapping[str, bytes]] = {
    "granted/text.txt": b"caf\xc3\xa9\n",
    "granted/binary.bin": b"\xff\x00\xfe",
    "granted-not/secret.txt": b"secret\n",
}
"""What is on the host below `ProviderConformance.root` when a check starts."""


class RecordingHost:
    """A host with scripted answers that remembers what it was asked; implements `isolation.provider.HostCalls`.

    Args:
        answers: By capability id: JSON data to return, an exception to raise, or a function of the arguments that
            returns JSON data.

    Attributes:
        calls: Capability id and arguments of each call, in order.
        steps: For each event `started` or `ended` of a step, `undoing` or `undone` of an undo, the name, and the error
            code or None, in order.
        undone: The places of the steps that were undone, in order.
    """

    def __init__(self, answers: Mapping[str, Any] | None = None) -> None:
        self._answers = dict(answers or {})
        self.calls: list[tuple[str, list[WireValue]]] = []
        self.steps: list[tuple[str, str, str | None]] = []
        self.options: list[dict[str, OptionData]] = []
        self.undone: list[int] = []
        self.hints: list[dict[str, WireValue]] = []

    def __repr__(self) -> str:
        return f"RecordingHost({len(self.calls)} calls, {len(self.steps)} step events)"

    def call(self, capability_id: str, arguments: list[WireValue]) -> WireValue:
        """Record a call and give its scripted answer.

        Raises:
            CapabilityDenied: When there is none.
            Exception: The scripted one.
        """
        self.calls.append((capability_id, arguments))
        if capability_id not in self._answers:
            raise CapabilityDenied(f"the recording host has no answer for {capability_id}")
        answer = self._answers[capability_id]
        if isinstance(answer, BaseException):
            raise answer
        return answer(arguments) if callable(answer) else answer

    def hints_changed(self, hints: dict[str, WireValue]) -> None:
        """Record what hints the calls from here on have."""
        self.hints.append(hints)

    def step_started(self, name: str, options: dict[str, OptionData]) -> None:
        """Record that a step began."""
        self.steps.append(("started", name, None))
        self.options.append(options)

    def step_ended(self, name: str, error_code: str | None) -> None:
        """Record that a step ended."""
        self.steps.append(("ended", name, error_code))

    def undo_started(self, name: str, place: int) -> None:
        """Record that a step is being undone."""
        self.steps.append(("undoing", name, None))
        self.undone.append(place)

    def undo_ended(self, name: str, error_code: str | None) -> None:
        """Record that it was undone, or not."""
        self.steps.append(("undone", name, error_code))


def require(condition: bool, what: str) -> None:
    """Fail a check.

    Raises:
        AssertionError: When the condition does not hold.
    """
    if not condition:
        raise AssertionError(what)


def require_equal(got: object, expected: object, what: str) -> None:
    """Fail a check unless both are equal.

    Raises:
        AssertionError: When they are not.
    """
    require(got == expected, f"{what}: expected {expected!r}, got {got!r}")


def require_error(error_class: type[_Error], act: Callable[[], object], code: str | None = None) -> _Error:
    """Return the error that `act` must raise.

    Raises:
        AssertionError: When it returns, or raises an error of that class with another code.
    """
    try:
        got = act()
    except error_class as error:
        if code is not None:
            require_equal(error.code, code, f"the code of {error!r}")
        return error
    raise AssertionError(f"{error_class.__name__} was expected; got the value {got!r}")


class ProviderHarness:
    """A provider under test, fresh for each check, with files on its host. `ProviderConformance` adds the checks.

    Attributes:
        root: Directory on the host, canonical, with `HOST_FILES` below it.
        provider: The provider under test.
        clock: Of the tokens; it stands still until a check moves it.
    """

    root: str
    provider: IsolationProvider
    clock: ManualClock

    def create_provider(self, verifier: TokenVerifier, files: Mapping[str, bytes]) -> IsolationProvider:
        """Return the provider to check.

        Args:
            verifier: Of the tokens that the checks issue.
            files: `HOST_FILES` by absolute path; they are on the disk already.
        """
        raise NotImplementedError

    def host_file(self, path: str) -> bytes | None:
        """Return what the host has at a path now, or None when there is no file."""
        place = Path(path)
        return place.read_bytes() if place.is_file() else None

    def setup_method(self) -> None:
        """Make the host files and the provider. Called before each check."""
        self.root = str(Path(tempfile.mkdtemp(prefix="cloister-conformance-")).resolve())
        self.clock = ManualClock()
        self._issuer = TokenIssuer(bytes(range(32)), self.clock)
        self._executions_count = 0
        files = {f"{self.root}/{path}": content for path, content in HOST_FILES.items()}
        for path, content in files.items():
            Path(path).parent.mkdir(exist_ok=True)
            Path(path).write_bytes(content)
        self.provider = self.create_provider(self._issuer.verifier(), files)

    def teardown_method(self) -> None:
        """Close the provider and remove the host files. Called after each check."""
        if hasattr(self, "provider"):
            self.provider.close()
        shutil.rmtree(self.root)

    def issue_token(
        self,
        context: RuntimeContext,
        *,
        execution_id: str,
        permission: Permission,
        step_id: str | None = None,
        arguments_sha256: str = NO_ARGUMENTS_SHA256,
    ) -> PermissionToken:
        """Return a token for one execution under a context."""
        decision = Decision(
            allowed=True,
            reason=Reason.ALLOWED,
            capability_id=CAPABILITY,
            context=context,
            permissions=frozenset({permission.value}),
            read_paths=context.read_paths,
            write_paths=context.write_paths,
        )
        return self._issuer.issue(
            decision, execution_id=execution_id, step_id=step_id, arguments_sha256=arguments_sha256
        )

    def permitted(
        self,
        workload: Workload,
        *,
        limits: ResourceLimits | None = None,
        mounts: tuple[Mount, ...] = (),
        step_id: str | None = None,
        arguments_sha256: str = NO_ARGUMENTS_SHA256,
    ) -> ExecutionContext:
        """Return an execution with a token for exactly what it asks."""
        self._executions_count += 1
        execution_id = f"execution-{self._executions_count}"
        limits = limits or ResourceLimits()
        context = RuntimeContext.controlled(
            read=[mount.source for mount in mounts if mount.mode is MountMode.READ_ONLY],
            write=[mount.source for mount in mounts if mount.mode is MountMode.READ_WRITE],
            limits=limits,
        )
        token = self.issue_token(
            context,
            execution_id=execution_id,
            permission=permission_for(workload),
            step_id=step_id,
            arguments_sha256=arguments_sha256,
        )
        return ExecutionContext(
            execution_id=execution_id,
            capability_id=CAPABILITY,
            workload=workload,
            token=token,
            limits=limits,
            mounts=mounts,
            step_id=step_id,
            arguments_sha256=arguments_sha256,
        )

    def granted(self, mode: MountMode = MountMode.READ_ONLY) -> tuple[Mount, ...]:
        """Return the mount that shows the granted directory and nothing else."""
        place = f"{self.root}/granted"
        return (Mount(source=place, target=place, mode=mode),)

    def run(
        self,
        source: str,
        host: RecordingHost | None = None,
        limits: ResourceLimits | None = None,
        inputs: Mapping[str, WireValue] | None = None,
    ) -> ExecutionResult:
        """Execute a program."""
        program = PlanProgram(source=source, name="<conformance>", inputs=inputs or {})
        return self.provider.execute(self.permitted(program, limits=limits), host=host or RecordingHost())

    def operate(
        self,
        name: str,
        arguments: Mapping[str, WireValue],
        mounts: tuple[Mount, ...] = (),
        limits: ResourceLimits | None = None,
    ) -> WireValue:
        """Execute one operation of the guest and return its value."""
        operation = GuestOperation(name=name, arguments=arguments)
        return self.provider.execute(self.permitted(operation, limits=limits, mounts=mounts)).value
