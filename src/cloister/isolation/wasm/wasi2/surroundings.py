"""What a component has around it, for the functions that it imports."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cloister.isolation.wasm.wasi.descriptors import Descriptors
from cloister.isolation.wasm.wasi.paths import Paths
from cloister.isolation.wasm.wasi.streams import Input, Output
from cloister.isolation.wasm.wasi.times import Times
from cloister.limits import ResourceLimits


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What one guest has.

    Attributes:
        argv: Its words.
        environment: Its variables.
        working_directory: Where relative paths start, or None.
        stdin: Its standard input.
        stdout: Its standard output.
        stderr: Its standard error.
        descriptors: Its open files and directories, with those that it has from the start.
        paths: What it can do with paths.
        times: Its clocks and randomness.
        limits: Its bounds.
    """

    argv: tuple[str, ...]
    environment: Mapping[str, str]
    working_directory: str | None
    stdin: Input
    stdout: Output
    stderr: Output
    descriptors: Descriptors
    paths: Paths
    times: Times
    limits: ResourceLimits
