"""How much one execution may use.

Owns the limits themselves; each is enforced where its resource is spent (the engine, the supervisor of a sandbox, the
kernel). Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from operator import attrgetter, ge
from typing import Final

from cloister.errors import ConfigError

MIB = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ResourceLimits:
    """Upper bounds of one execution. Every field has a safe default; none means unlimited.

    Attributes:
        wall_ms: Time from start to end; then the whole process tree is killed.
        cpu_ms: Processor time of all processes together, those that have ended included.
        memory_bytes: Resident memory of all processes together; for `evaluate`, by how much the process may grow.
        processes_count: Processes and threads alive at once.
        open_files_count: Open descriptors of one process.
        file_bytes: Size of one written file.
        disk_bytes: Space of the private temporary directory.
        inodes_count: Files in the private temporary directory.
        io_bytes: Bytes read from storage and written to it by all processes together. What the host has in its cache
            is not read from storage; a private temporary directory is memory.
        output_bytes: Bytes of standard output; standard error has the same bound.
        steps_count: Function calls and loop turns of RTFS code.
        depth_count: Nested RTFS calls.
        value_bytes: Size of one value that crosses the sandbox boundary, or of one text built by RTFS code.
        value_elements_count: Elements of all collections of one value that crosses the sandbox boundary or is read
            from JSON or written to it; an empty collection counts as one, a text however long is one element. A few
            bytes of data can be an object of a hundred in memory, so bytes alone would not bound that.
    """

    wall_ms: int = 30_000
    cpu_ms: int = 30_000
    memory_bytes: int = 512 * MIB
    processes_count: int = 64
    open_files_count: int = 256
    file_bytes: int = 64 * MIB
    disk_bytes: int = 64 * MIB
    inodes_count: int = 4_096
    io_bytes: int = 1024 * MIB
    output_bytes: int = 8 * MIB
    steps_count: int = 50_000_000
    depth_count: int = 10_000
    value_bytes: int = 16 * MIB
    value_elements_count: int = 250_000

    def __post_init__(self) -> None:
        for name, value in zip(self.__slots__, _values(self), strict=True):
            if type(value) is int and value >= 1:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigError(
                    f"limit {name} is {value!r}; it must be a whole number of at least 1",
                    code="config.limit",
                    hint="no limit can be switched off; name a larger number instead",
                )

    def narrow(self, other: ResourceLimits) -> ResourceLimits:
        """Return the smaller of both limits, field by field."""
        if all(map(ge, _values(self), _values(other))):
            return other
        return ResourceLimits(**dict(zip(self.__slots__, map(min, _values(self), _values(other)), strict=True)))

    def within(self, *, wall_ms: int, memory_bytes: int) -> ResourceLimits:
        """Return these limits with no more time and memory than given.

        Raises:
            ConfigError: `config.limit`: one of them is less than 1.
        """
        if wall_ms < 1 or memory_bytes < 1:
            return replace(self, wall_ms=min(wall_ms, self.wall_ms), memory_bytes=min(memory_bytes, self.memory_bytes))
        if wall_ms >= self.wall_ms and memory_bytes >= self.memory_bytes:
            return self
        # Checked here already, and asked for at every execution
        smaller, put = object.__new__(ResourceLimits), object.__setattr__
        for name, value in zip(self.__slots__, _values(self), strict=True):
            put(smaller, name, value)
        put(smaller, "wall_ms", min(self.wall_ms, wall_ms))
        put(smaller, "memory_bytes", min(self.memory_bytes, memory_bytes))
        return smaller

    def values(self) -> tuple[int, ...]:
        """Return all limits in the order of the fields."""
        return _values(self)

    def to_dict(self) -> dict[str, int]:
        """Return all limits as plain data, by field name."""
        return dict(zip(self.__slots__, _values(self), strict=True))


_values: Final[Callable[[ResourceLimits], tuple[int, ...]]] = attrgetter(*ResourceLimits.__slots__)
