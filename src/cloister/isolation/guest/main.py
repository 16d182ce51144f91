"""The guest: what runs inside a sandbox and is spoken to over one socket.

Owns the life of one execution: take the start message, run what it names, report the result or the one error it ended
with. It never lets an exception pass unreported. After a sandbox is built there may be no file system to import from,
so everything the guest can need is imported with this module. Part of the guest set: standard library only.
"""

from __future__ import annotations

import socket
from typing import Any

from cloister.errors import CloisterError, InternalError, LimitExceeded, WireError, quoted
from cloister.isolation.guest.link import HostLost, Link, require_size
from cloister.isolation.guest.operations import run_operation
from cloister.isolation.guest.plan import LinkHost, RunsPrograms, run_plan
from cloister.isolation.wire import Channel, Side, frame_bytes, frame_elements
from cloister.isolation.wire_errors import guest_error
from cloister.isolation.wire_messages import Message
from cloister.lang.program import run_program
from cloister.limits import ResourceLimits


def connect(channel_socket: socket.socket, limits: ResourceLimits) -> Channel:
    """Return a link over a connected socket.

    Args:
        channel_socket: Stream socket to the host; the caller closes it.
        limits: Upper bounds of what is run over it.
    """
    return Channel(channel_socket, Side.GUEST, frame_bytes(limits), frame_elements(limits))


def serve(channel_socket: socket.socket, limits: ResourceLimits) -> None:
    """Run one execution over a connected socket. See `run`."""
    run(connect(channel_socket, limits), limits)


def run(link: Link, limits: ResourceLimits, start: Message | None = None, engine: RunsPrograms = run_program) -> None:
    """Run one execution over a link.

    Args:
        link: To the host.
        limits: Upper bounds; the start message may lower them.
        start: The start message, when a provider handed over one that it had checked; else it is received.
        engine: Runs plans.

    Raises:
        WireError: The host did not start with a start message. There is nothing that could be reported then.
    """
    start = start or link.receive()
    if start is None:
        return
    if start["type"] != "start":
        raise WireError(f"the host began with {start['type']}, not with start", code="provider.wire-order")
    bounds = limits.narrow(ResourceLimits(**start["limits"])) if "limits" in start else limits
    try:
        _report(link, _ending(LinkHost(link, bounds), start["workload"], bounds, engine))
    except HostLost:
        return


def _ending(host: LinkHost, workload: dict[str, Any], limits: ResourceLimits, engine: RunsPrograms) -> Message:
    """Return the last message of the execution: what came of the workload."""
    try:
        value, steps = _result(host, workload, limits, engine)
    except CloisterError as error:
        return {"type": "error", "error": guest_error(error, host.call_index_of(error))}
    except MemoryError:
        return {"type": "error", "error": guest_error(_out_of_memory(limits))}
    except RecursionError:
        return {"type": "error", "error": guest_error(_too_deep(limits))}
    except Exception as error:  # noqa: BLE001 - the host must hear of every end; the details name the place for a report
        return {"type": "error", "error": guest_error(_defect(error))}
    return {"type": "result", "value": value, "steps": steps}


def _result(
    host: LinkHost, workload: dict[str, Any], limits: ResourceLimits, engine: RunsPrograms
) -> tuple[Any, int | None]:
    if workload["kind"] == "plan":
        return run_plan(host, workload, limits, engine)
    value = run_operation(workload["name"], workload["arguments"], limits)
    require_size(value, limits, f"the result of {workload['name']}")
    return value, None


def _report(link: Link, ending: Message) -> None:
    try:
        link.send(ending)
    except WireError as error:
        if error.code == "provider.wire-closed":
            return
        # The ending itself does not fit a frame: say at least that much
        link.send({"type": "error", "error": guest_error(InternalError(f"the end was unsayable: {error.message}"))})


def _out_of_memory(limits: ResourceLimits) -> LimitExceeded:
    return LimitExceeded(
        f"the program needed more memory than it may use ({limits.memory_bytes} bytes)",
        limit="memory_bytes",
        allowed=limits.memory_bytes,
        unit="bytes",
        hint="work on smaller pieces, or raise the limit memory_bytes",
    )


def _too_deep(limits: ResourceLimits) -> LimitExceeded:
    return LimitExceeded(
        "the program or one of its values is nested too deep for the interpreter",
        limit="depth_count",
        allowed=limits.depth_count,
        unit="count",
        hint="use loop/recur or reduce instead of recursion",
    )


def _defect(error: Exception) -> InternalError:
    """Return what a user sees of an exception that nobody foresaw: no traceback, but enough for a report."""
    place = "an unknown place"
    trace = error.__traceback__
    while trace is not None:
        place = f"{trace.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{trace.tb_lineno}"
        trace = trace.tb_next
    return InternalError(
        "the guest failed in a way that is a defect of Cloister, not of the program",
        hint="please report it with the program and the details of this error",
        details={"exception": type(error).__name__, "at": place, "said": quoted(str(error))},
    )
