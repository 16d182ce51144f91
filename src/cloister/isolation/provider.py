"""The contract every isolation provider keeps.

Owns what is handed to a provider (a workload with its mounts, environment, limits and permission token), what comes
back (a value, bounded output, measured usage), and the protocol in between. Providers differ in how they isolate, never
in meaning; `cloister.testing` holds the suite that all of them pass.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, TypeAlias

from cloister.authority.level import IsolationLevel
from cloister.authority.token import NO_ARGUMENTS_SHA256, PermissionToken
from cloister.isolation.host_calls import HostCalls
from cloister.lang.program import Program
from cloister.lang.source import ModuleText
from cloister.limits import ResourceLimits

WireValue: TypeAlias = Any
"""JSON data as `cloister.lang.transport.encode` makes it."""


class MountMode(StrEnum):
    """What may be done below a mount."""

    READ_ONLY = "ro"
    READ_WRITE = "rw"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A host path made visible inside a sandbox.

    Attributes:
        source: Absolute host path without symbolic links, `.` or `..`; a file or a directory that exists.
        target: Absolute path inside the sandbox.
        mode: Read-only unless said otherwise.
    """

    source: str
    target: str
    mode: MountMode = MountMode.READ_ONLY


class ScriptLanguage(StrEnum):
    """Languages whose interpreters a provider finds by itself."""

    PYTHON = "python"
    SHELL = "shell"
    JAVASCRIPT = "javascript"
    RUBY = "ruby"
    LUA = "lua"


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomInterpreter:
    """An interpreter of another language, as the first line of a script names it.

    Attributes:
        program: Its path inside the sandbox; without `/` it is looked up in the sandbox's PATH.
    """

    program: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanProgram:
    """An RTFS program evaluated by the guest; its calls come back through `HostCalls`.

    Attributes:
        source: Program text; the guest compiles it again and trusts nothing compiled elsewhere.
        name: Name for error messages: a path, or `<eval>`.
        inputs: Values of the program's inputs by name.
        modules: The modules it imports, those they import included.
        steps_unasked: How many steps it begins without waiting for the host to agree; None for all. With the answer the
            host can end it in order.
    """

    source: str
    name: str
    inputs: Mapping[str, WireValue] = field(default_factory=dict)
    modules: tuple[ModuleText, ...] = ()
    steps_unasked: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestOperation:
    """One of the fixed operations of the guest, for example `read_file`; the table is `isolation.guest.operations`."""

    name: str
    arguments: Mapping[str, WireValue]


@dataclass(frozen=True, slots=True, kw_only=True)
class ScriptSource:
    """A script for an interpreter. It finds `arguments` as JSON on standard input; its standard output is the result.

    Text and input reach it as files, so they may be large; `argv` is bounded by the kernel.

    Attributes:
        language: Decides the interpreter.
        source: Script text.
        arguments: JSON data for the script.
        argv: Words for the script, after its own name.
        options: Words for the interpreter, before the name of the script.
        stdin: Bytes for standard input in place of the JSON data; None for the JSON data.
        is_checked: Whether an exit status other than 0 raises, and so does output that is not text. If not, the script
            comes back as an external program does: with whatever status and output it had, and without a value.
    """

    language: ScriptLanguage | CustomInterpreter
    source: str
    arguments: WireValue = None
    argv: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    stdin: bytes | None = None
    is_checked: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalProgram:
    """Any executable with its arguments.

    Attributes:
        argv: Program and arguments; a program without `/` is looked up in the sandbox's PATH.
        stdin: Bytes for standard input.
    """

    argv: tuple[str, ...]
    stdin: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanBytecode:
    """A compiled plan that came without its text. Only a provider with an engine for core can run one.

    Attributes:
        program: What `lang.wasm_engine.artefact` accepted, and nothing else: its core is trusted by engines.
        inputs: Values of the program's inputs by name.
        steps_unasked: As of `PlanProgram`.
    """

    program: Program
    inputs: Mapping[str, WireValue] = field(default_factory=dict)
    steps_unasked: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WasmFunction:
    """A function that a WebAssembly module or component exports. Only a provider that runs WebAssembly can call one.

    Attributes:
        module: Path of the module or component inside the sandbox.
        function: Name of the export; of one in an interface of a component `interface#function`.
        arguments: One for each parameter, as numbers or as texts; its types decide what fits.
    """

    module: str
    function: str
    arguments: tuple[int | float | str, ...] = ()


CommonWorkload: TypeAlias = PlanProgram | GuestOperation | ScriptSource | ExternalProgram
"""What every provider knows, whether it can run it or not."""
Workload: TypeAlias = CommonWorkload | PlanBytecode | WasmFunction


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionContext:
    """One execution: what to run, with what, within which limits, and the token that permits it.

    Attributes:
        execution_id: Unique in the process; appears in the causal chain.
        capability_id: The capability on whose behalf this runs; `cloister.plan` for a plan's own pure code and
            `cloister.exec` for a command given by the user.
        workload: What to run.
        token: Permission issued by the authority for exactly this execution; the provider checks it again.
        limits: Bounds of this execution.
        mounts: Everything of the host's files that is visible beside the interpreter's own.
        environment: All environment variables visible beside the sandbox's fixed ones.
        working_directory: Absolute path inside the sandbox; None for its private temporary directory.
        seed: Clocks and randomness that are the same each time, told apart by this number; None for the real ones. A
            provider that cannot give them refuses.
        step_id: The step of the plan it belongs to; None outside all steps. The token names the same one.
        arguments_sha256: Digest of the arguments of the call it serves, as recorded. The token names the same.
    """

    execution_id: str
    capability_id: str
    workload: Workload
    token: PermissionToken
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str | None = None
    seed: int | None = None
    step_id: str | None = None
    arguments_sha256: str = NO_ARGUMENTS_SHA256


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an execution used, as measured. A field that was not measured is None, never zero.

    Attributes:
        wall_us: Microseconds from request to result.
        cpu_user_us: Processor microseconds in user mode, all processes of the sandbox.
        cpu_system_us: Processor microseconds in the kernel on their behalf.
        memory_peak_bytes: The most memory of the sandbox at one moment. Where a control group of the kernel counts it,
            that is everything that was charged to the group: what processes hold, shared pages once, files in the
            private directories, host files it was the first to read into the cache, and the kernel's own memory for
            it. Elsewhere, and of a pure plan, it is the largest resident size of one process. Of WebAssembly it is the
            linear memory.
        io_read_bytes: Bytes read from storage; what was in the host's cache is not. At least as many as this.
        io_write_bytes: Bytes written to storage, or to the cache on their way there. At least as many as this.
        steps_count: RTFS steps.
        output_bytes: Bytes written to standard output and standard error.
        fuel_count: What the instructions of WebAssembly used, about one for each.
    """

    wall_us: int | None = None
    cpu_user_us: int | None = None
    cpu_system_us: int | None = None
    memory_peak_bytes: int | None = None
    io_read_bytes: int | None = None
    io_write_bytes: int | None = None
    steps_count: int | None = None
    output_bytes: int | None = None
    fuel_count: int | None = None

    def to_dict(self) -> dict[str, int | None]:
        """Return the figures by field name; None where nothing was measured."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionResult:
    """What came back from an execution that ended by itself.

    Attributes:
        value: Result of a plan, a guest operation, or a function of WebAssembly (a list when it has not exactly one),
            as wire data; for scripts the parsed or plain output; None for external programs and scripts that are not
            checked.
        stdout: Standard output, complete, within `output_bytes`.
        stderr: Standard error, complete, within `output_bytes`.
        exit_status: Exit status of an external program or script (0 for scripts that are checked, or an error was
            raised); None for workloads without one.
        usage: Measured figures.
    """

    value: WireValue
    stdout: bytes = b""
    stderr: bytes = b""
    exit_status: int | None = None
    usage: Usage = field(default_factory=Usage)


OutputObserver: TypeAlias = Callable[[str, bytes], None]
"""Called with `stdout` or `stderr` and each piece of output as it comes, in the calling thread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """One thing a probe attempted from inside, and what happened.

    Attributes:
        mechanism: What is being proved, for example `mount namespace`.
        attempted: The forbidden act in words, for example `read /etc/shadow`.
        observed: What the kernel answered, for example `ENOENT`.
        holds: Whether the answer is the one that proves the mechanism.
        place: The kind of sandbox it was attempted in; empty for a provider that has one kind.
    """

    mechanism: str
    attempted: str
    observed: str
    holds: bool
    place: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facility:
    """Something of this machine that a provider uses, and how much of it is here.

    Attributes:
        name: What it is, for example `Landlock`.
        state: How it is here, in a few words.
        remedy: The command or version that would give more of it; None when there is none or none is needed.
    """

    name: str
    state: str
    remedy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortfall:
    """Something this machine lacks, for which a provider declares a lower level than its full one.

    Attributes:
        missing: What, and what that leaves open.
        remedy: The command or version that would give it.
    """

    missing: str
    remedy: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeReport:
    """Whether a provider works on this machine, and how we know.

    Attributes:
        provider: Its name.
        available: Whether it may be used.
        level: The isolation it has evidence for; NONE when unavailable.
        reason: Why it is unavailable; None when it is available.
        remedy: The command or step that would make it available; None when there is none or none is needed.
        evidence: What was attempted.
        facilities: What of this machine it uses, and how much of that is here.
    """

    provider: str
    available: bool
    level: IsolationLevel
    reason: str | None = None
    remedy: str | None = None
    evidence: tuple[Evidence, ...] = ()
    facilities: tuple[Facility, ...] = ()


class IsolationProvider(Protocol):
    """Something that can run a workload apart from the host."""

    @property
    def name(self) -> str:
        """The name users choose it by."""

    @property
    def level(self) -> IsolationLevel:
        """The isolation it gives on this machine."""

    @property
    def shortfalls(self) -> tuple[Shortfall, ...]:
        """What this machine lacks for the full level of the provider; empty when nothing."""

    def probe(self) -> ProbeReport:
        """Attempt from inside what must not work, and report what happened. Never raises for a missing mechanism."""

    def execute(
        self,
        context: ExecutionContext,
        *,
        host: HostCalls | None = None,
        on_output: OutputObserver | None = None,
    ) -> ExecutionResult:
        """Run one workload and wait for its end.

        A guest-visible error that `host.call` raises (DeniedError, GuestError, InputError, ProviderError) is given to
        the plan, which may catch it; when it does not, the very same exception object is raised here, with the place of
        the call in the plan. A `LimitExceeded`, `BudgetExhausted` or `RunAborted` the plan cannot catch: it may only
        undo its steps and report the place. Any other exception from `host` ends the sandbox and is raised here.

        Args:
            context: What to run. Its token is checked before anything else happens.
            host: Needed for `PlanProgram` workloads that make calls.
            on_output: Sees output as it comes.

        Returns:
            The result of a workload that ended by itself. An external program may have a non-zero exit status, and so
            may a script that is not checked; one that is raises instead.

        Raises:
            TokenRejected: The token does not cover this execution.
            LimitExceeded: A limit was reached; everything of the execution is gone.
            GuestError: The program failed by itself.
            GuestCrashed: A process of the guest died in a way its program did not choose.
            ProviderUnavailable: A mechanism is missing on this machine.
            LaunchError: The sandbox could not be built or the program not started.
            WireError: The guest broke the protocol.
        """

    def close(self) -> None:
        """End everything the provider keeps running. Idempotent."""
