"""What one guest has around it: its place among the host's files, its streams, its clocks, and its end.

Owns putting that together from what was granted, and taking it apart again. A guest runs on a thread of its own, whose
stack is larger than the guest's may become; whoever asked for it waits, and sees its output on the thread it asked on.
"""

from __future__ import annotations

import errno
import os
import resource
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

from cloister.clock import Clock
from cloister.errors import LaunchError, quoted
from cloister.isolation.given import checked_environment
from cloister.isolation.provider import ExecutionContext, Mount, OutputObserver, Usage
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine
from cloister.isolation.wasm.modules import Modules
from cloister.isolation.wasm.store import Imports, Store
from cloister.isolation.wasm.wasi import abi
from cloister.isolation.wasm.wasi.basic_calls import BasicCalls
from cloister.isolation.wasm.wasi.calls import functions_of
from cloister.isolation.wasm.wasi.descriptors import Descriptors, OpenDirectory, Traffic
from cloister.isolation.wasm.wasi.file_calls import FileCalls
from cloister.isolation.wasm.wasi.namespace import Namespace, Node, Spot, enter, facts_of, spot_of
from cloister.isolation.wasm.wasi.path_calls import PathCalls, mode_function
from cloister.isolation.wasm.wasi.paths import Paths, open_file
from cloister.isolation.wasm.wasi.streams import STDERR, STDOUT, Input, Output, Show
from cloister.isolation.wasm.wasi.times import RealTimes, SeededTimes, Times
from cloister.isolation.wasm.wasi2.surroundings import Surroundings
from cloister.lang.python_engine.deep import DeepThread
from cloister.limits import ResourceLimits

T = TypeVar("T")

HERE: Final = b"."
"""The name under which a guest has the directory that its relative paths start from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workshop:
    """What all executions of a provider share.

    Attributes:
        engine: Runs modules.
        modules: Those that were loaded.
        clock: Time and randomness.
    """

    engine: Engine
    modules: Modules
    clock: Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What a guest is given; the fields are those of `ExecutionContext`."""

    limits: ResourceLimits = field(default_factory=ResourceLimits)
    mounts: tuple[Mount, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    working_directory: str | None = None
    seed: int | None = None

    @classmethod
    def of(cls, context: ExecutionContext) -> Given:
        """Return what an execution whose token was checked gives."""
        return cls(
            limits=context.limits,
            mounts=context.mounts,
            environment=context.environment,
            working_directory=context.working_directory,
            seed=context.seed,
        )


class Room:
    """What one guest has. Get one with `Room.opened`.

    Attributes:
        given: What was granted.
        deadline: When it is over.
        namespace: What of the host's files it sees.
        stdout: Its standard output.
        stderr: Its standard error.
    """

    def __init__(self, given: Given, deadline: Deadline, clock: Clock, namespace: Namespace, show: Show | None) -> None:
        self.given = given
        self.deadline = deadline
        self.namespace = namespace
        self.stdout = Output(STDOUT, given.limits, show)
        self.stderr = Output(STDERR, given.limits, show)
        self._clock = clock
        self._descriptors = Descriptors(given.limits)

    @classmethod
    @contextmanager
    def opened(cls, given: Given, deadline: Deadline, clock: Clock, show: Show | None) -> Iterator[Room]:
        """Open what was granted, and close it afterwards.

        Args:
            given: What was granted.
            deadline: When it is over.
            clock: Time and randomness of the host.
            show: Sees output as it comes; None for nobody.

        Raises:
            PathDenied: A mount names what cannot be shown, or what was replaced since it was permitted.
        """
        with Namespace(given.mounts) as namespace:
            room = cls(given, deadline, clock, namespace, show)
            try:
                yield room
            finally:
                room._descriptors.close()

    def functions(self, argv: tuple[str, ...], stdin: bytes = b"", *, whole: bool = False) -> Imports:
        """Return what the guest may import, with the directories that it has from the start.

        Args:
            argv: Its words.
            stdin: What is on its standard input.
            whole: Whether it gets the root of all that was granted, and no other directory. For modules of ours.

        Raises:
            LaunchError: `provider.directory`: the working directory is not there.
            ConfigError: It cannot have one of the variables.
        """
        around = self.surroundings(argv, stdin, whole=whole)
        descriptors, times, paths = around.descriptors, around.times, around.paths
        functions = functions_of(
            BasicCalls(descriptors=descriptors, times=times, argv=argv, environment=around.environment),
            FileCalls(descriptors=descriptors, times=times, limits=around.limits),
            PathCalls(paths=paths, times=times),
        )
        return {**functions, **mode_function(paths)} if whole else functions

    def surroundings(self, argv: tuple[str, ...], stdin: bytes = b"", *, whole: bool = False) -> Surroundings:
        """Return what the guest has, with the directories from the start. See `functions`; for one of both, once."""
        descriptors, limits = self._descriptors, self.given.limits
        given = Input(stdin)
        for stream in (given, self.stdout, self.stderr):
            descriptors.add(stream)
        top = OpenDirectory(self.namespace.top(), owns=False, name=b"/")
        for directory in (top,) if whole else self._directories():
            descriptors.add(directory)
        return Surroundings(
            argv=argv,
            environment=checked_environment(self.given.environment),
            working_directory=self.given.working_directory,
            stdin=given,
            stdout=self.stdout,
            stderr=self.stderr,
            descriptors=descriptors,
            paths=Paths(self.namespace, descriptors, Traffic(limits)),
            times=self._times(),
            limits=limits,
        )

    def read(self, path: str, bytes_max: int) -> bytes | None:
        """Return the content of a granted file; None when it has more than that.

        Args:
            path: Absolute, or from the directory that relative paths start from.
            bytes_max: How much it may have.

        Raises:
            OSError: It cannot be read, or is no regular file.
            LaunchError: `provider.directory`.
        """
        with ExitStack() as opened:
            start = self.namespace.top() if path.startswith("/") else self.start()
            if not path.startswith("/") and start.descriptor >= 0:
                opened.callback(os.close, start.descriptor)
            try:
                holder, name = self.namespace.walk(start, os.fsencode(path).lstrip(b"/"), opened, follows=True)
                spot = enter(holder, name, opened)
                if abi.file_type(facts_of(spot).st_mode) != abi.FILE:
                    raise abi.refusal(errno.EACCES)
                descriptor = open_file(holder, name, spot, os.O_RDONLY)
            except abi.Refused as refused:
                raise os_error(refused.number) from refused
            with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor has no path
                content = file.read(bytes_max + 1)
        return content if len(content) <= bytes_max else None

    def _times(self) -> Times:
        if self.given.seed is None:
            return RealTimes(self._clock, self.deadline)
        return SeededTimes(self.given.seed, self.deadline)

    def _directories(self) -> Iterator[OpenDirectory]:
        """Yield each granted directory, those that hold granted files, and last the one that relative paths mean."""
        pending: list[tuple[bytes, Node]] = [(b"", self.namespace.root)]
        while pending:
            path, node = pending.pop()
            holds_files = any(child.holder is not None for child in node.children.values())
            if (node.grant is not None and node.grant.is_directory) or holds_files:
                yield OpenDirectory(spot_of(node), owns=False, name=path or b"/")
            for name, child in sorted(node.children.items(), reverse=True):
                if child.holder is None:
                    pending.append((path + b"/" + name, child))
        yield OpenDirectory(self.start(), owns=True, name=HERE)

    def start(self) -> Spot:
        """Return the directory that relative paths start from; whoever asks closes it.

        Raises:
            LaunchError: `provider.directory`.
        """
        path = self.given.working_directory or "/"
        with ExitStack() as opened:
            try:
                names = os.fsencode(path).strip(b"/")
                top = self.namespace.top()
                spot, _ = self.namespace.walk(top, names + b"/" if names else HERE, opened, follows=True)
            except abi.Refused as refused:
                raise _no_directory(path, refused) from refused
            descriptor = os.dup(spot.descriptor) if spot.descriptor >= 0 else -1
            return Spot(descriptor, spot.node, spot.grant)

    def usage(self, store: Store) -> Usage:
        """Return what the guest used; asked on its thread, at its end."""
        used = resource.getrusage(resource.RUSAGE_THREAD)
        return Usage(
            wall_us=self.deadline.elapsed_us,
            cpu_user_us=round(used.ru_utime * 1e6),
            cpu_system_us=round(used.ru_stime * 1e6),
            memory_peak_bytes=store.memory_peak_bytes,
            output_bytes=self.stdout.bytes_count + self.stderr.bytes_count,
            fuel_count=store.fuel_used,
        )


def os_error(number: int) -> OSError:
    """Return the kernel's error for one of WASI's."""
    kernel = abi.FROM_WASI.get(number, errno.EIO)
    return OSError(kernel, os.strerror(kernel))


def _no_directory(path: str, refused: abi.Refused) -> LaunchError:
    return LaunchError(
        f'the working directory "{quoted(path)}" is not in the sandbox: {os_error(refused.number).strerror}',
        code="provider.directory",
        hint="grant it with --read or --write",
    )


def in_room(
    workshop: Workshop,
    given: Given,
    act: Callable[[Room], T],
    on_output: OutputObserver | None = None,
) -> T:
    """Do something with a guest in a room of its own, on a thread of its own, and return what came of it.

    Args:
        workshop: What the provider has.
        given: What was granted.
        act: Runs the guest; called on its thread.
        on_output: Sees its output, on the thread that called this.

    Raises:
        BaseException: Whatever `act` or `on_output` raises.
        PathDenied: As `Room.opened`.
    """
    deadline = Deadline(given.limits, workshop.clock)
    thread = DeepThread[T](deadline.cancel)

    def show(stream: str, piece: bytes) -> None:
        if on_output is not None:
            thread.on_caller(lambda: on_output(stream, piece))

    def run() -> T:
        with (
            workshop.engine.ticking(),
            Room.opened(given, deadline, workshop.clock, show if on_output is not None else None) as room,
        ):
            return act(room)

    return thread.run_on_stack(run, workshop.engine.thread_stack_bytes)
