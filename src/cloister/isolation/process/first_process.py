"""The first process of a sandbox: it builds the walls around itself, waits, gives everything up, starts the payload.

Owns its life. As process 1 of its pid namespace it takes every other process of the sandbox with it when it ends. A
forked guest runs in it directly; a program is executed in a child, whose end it reports; for a session it becomes the
server of `session_server`. It is hostile territory from the moment the payload starts. Standard library only; part of
the guest set.
"""

from __future__ import annotations

import functools
import os
import socket
from collections.abc import Callable, Mapping
from typing import Final, NoReturn

from cloister.isolation.process import interpreter, measuring, payloads, privileges, reports
from cloister.isolation.process.calls import AT_ONCE
from cloister.isolation.process.interpreter import WaitingInterpreter
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.order import Ends, Order
from cloister.isolation.process.reports import Report
from cloister.isolation.process.standing import Facts
from cloister.isolation.process.steps import Failure, step
from cloister.isolation.process.walls import Walls, enter


def run(walls: Walls, group: bytes, groups_count: int, is_spare: bool, clocks: bytes) -> NoReturn:
    """Become a sandbox: build all that is the same for every one of a lane, wait for an order, and carry it out.

    Never returns, and never lets an exception into the launcher's code above it.

    Args:
        walls: Laid out for what it can become.
        group: What its control group is called at the end, in each hierarchy.
        groups_count: How many these are.
        is_spare: Whether nobody waits for it yet, so that there is time to rehearse.
        clocks: What sets its clocks; see `namespaces.offsets_text`.
    """
    status, ends = 1, walls.ends
    try:
        ends.is_spare = is_spare
        try:
            walls.foundation.build(group, groups_count, clocks)
            if is_spare and walls.lane is Lane.PLAN:
                _rehearse()
            _LIVES[walls.lane](walls, ends)
            status = 0
        except Failure as failure:
            _tell(ends, failure.report)
    except BaseException as error:  # noqa: BLE001 - a defect; whatever it is, it ends here and not in the launcher's code
        os.write(2, f"{type(error).__name__}: {error}\n".encode("utf-8", "replace"))
    finally:
        os._exit(status)


def _run_plan(walls: Walls, ends: Ends) -> None:
    """Finish the walls before anyone waits for them: nothing in a sandbox for plans differs from one to the next."""
    walls.finish("/")
    ends.take_streams()
    usual = payloads.USUAL_PLAN
    channel = _channel(ends)
    link = payloads.connect(channel, usual)
    walls.limit(usual)
    _give_way()
    private_bytes = _private_bytes(walls, ends)
    walls.confine(ends.descriptors | {walls.foundation.proc_fd, ends.order.fileno()})
    walls.foundation.hand_over_proc(private_bytes)
    ends.report.close()  # now and not when somebody waits: it wakes the launcher
    wanted = ends.await_order(has_streams=True)
    wanted.take_streams()
    if wanted.spec is not usual:
        walls.limit(wanted.spec)  # none becomes wider by that, whatever is wanted
        link = payloads.connect(channel, wanted.spec)
    payloads.serve_guest(wanted.spec, wanted.start, link)
    payloads.stay(channel)


def _run_operation(walls: Walls, ends: Ends) -> None:
    wanted = _be_ordered(walls, ends)
    ends.report.close()
    with _channel(ends) as channel:
        payloads.serve_guest(wanted.spec, wanted.start, payloads.connect(channel, wanted.spec))


def _run_program(walls: Walls, ends: Ends) -> None:
    wanted = _await_order(walls, ends)
    if not walls.complete_usual(wanted):
        _complete(walls, ends, wanted)
    if wanted.spec.session is not None:
        ends.report.send(payloads.serve_session(wanted.spec))
    else:
        ends.report.send(payloads.ended(_execute(wanted)))


def _run_python(walls: Walls, ends: Ends) -> None:
    waiting = _fork_interpreter(walls)
    _be_ordered(walls, ends, waiting)
    _report_script(waiting, ends)


def _run_script(walls: Walls, ends: Ends) -> None:
    """Finish the walls before anyone waits for them: only the script itself differs from one sandbox to the next."""
    waiting = _fork_interpreter(walls)
    script_fd = walls.complete_for_scripts()
    waiting.finished()
    kept = {walls.foundation.proc_fd, script_fd, ends.order.fileno(), ends.stdout_fd, ends.stderr_fd}
    private_bytes = _private_bytes(walls, ends)
    walls.confine(ends.descriptors | waiting.descriptors | kept)
    walls.foundation.hand_over_proc(private_bytes)
    wanted = ends.await_order()
    with step("script"), open(script_fd, "wb") as file:  # noqa: PTH123 - a descriptor
        file.write((wanted.spec.script or "").encode("utf-8", "surrogatepass"))
    waiting.start(wanted)
    wanted.take_streams()
    walls.limit(wanted.spec)
    _report_script(waiting, ends)


def _report_script(waiting: WaitingInterpreter, ends: Ends) -> None:
    report = payloads.ended(waiting.pid)
    failure = waiting.failure()
    ends.report.send(report if failure is None else reports.to_bytes(failure))


def _await_order(walls: Walls, ends: Ends) -> Order:
    walls.foundation.hand_over_proc(_private_bytes(walls, ends))
    return ends.await_order()


def _be_ordered(walls: Walls, ends: Ends, waiting: WaitingInterpreter | None = None) -> Order:
    """Wait for the order, complete the walls as it says, and be confined by them."""
    wanted = _await_order(walls, ends)
    _complete(walls, ends, wanted, waiting)
    return wanted


def _complete(walls: Walls, ends: Ends, wanted: Order, waiting: WaitingInterpreter | None = None) -> None:
    if wanted.spec.session is not None:
        payloads.load_session()
    walls.complete(wanted.spec)
    if waiting is not None:
        waiting.finished()
        waiting.start(wanted)
    wanted.take_streams()
    walls.confine({*ends.descriptors, *wanted.handed, *(waiting.descriptors if waiting is not None else ())})
    walls.limit(wanted.spec)


def _fork_interpreter(walls: Walls) -> WaitingInterpreter:
    """Fork it. It is held to the same ruleset: what is allowed after the fork is allowed to both."""
    with step("interpreter"):
        return interpreter.fork(
            functools.partial(_confine_script, walls), functools.partial(_ready_script, walls), walls.ruleset_fd
        )


def _confine_script(walls: Walls, connection_fd: int) -> Report | None:
    """Confine the process that waits for a script; see `interpreter.Confine`."""
    try:
        with step("proc file system"):
            proc_fd = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            facts = Facts.open(AT_ONCE, proc_fd)
            os.close(proc_fd)
        walls.confine_other(facts, {connection_fd})
        with step("privileges"):
            # As an executed program is: else the launcher of an ordinary user could not measure its memory
            privileges.set_dumpable(AT_ONCE, True)
    except Failure as failure:
        return failure.report
    return None


def _ready_script(walls: Walls, wanted: Order) -> Report | None:
    """Make the last things ready for a script; see `interpreter.Ready`."""
    wanted.take_streams()
    try:
        enter(wanted.spec.working_directory)
        walls.limit(wanted.spec)
    except Failure as failure:
        return failure.report
    return None


def _rehearse() -> None:
    """Be ordered to run plans, and run them: what is done once is done faster the next time."""
    for start in payloads.prompts(payloads.REHEARSALS):
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours, step("rehearsal"):
            ours.send(Order.encode(payloads.USUAL_PLAN, start))
            ends = Ends(report=ours, order=theirs, stdout_fd=1, stderr_fd=2, channel_fd=None)
            wanted = ends.await_order(has_streams=True)
            payloads.rehearse_guest(wanted.spec, wanted.start)


def _private_bytes(walls: Walls, ends: Ends) -> int:
    """Return what the sandbox holds for itself while it waits. Once it is confined not every launcher may read it."""
    return measuring.private_bytes(walls.foundation.proc_fd) if ends.is_spare else 0


def _give_way() -> None:
    """Preempt nobody at waking up: killed by its host on the host's processor, it would first end there.

    A policy that somebody chose for the host and all it starts is left; by none of them it would preempt its host.

    Source: sched(7), SCHED_BATCH.
    """
    if os.sched_getscheduler(0) == os.SCHED_OTHER:
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def _channel(ends: Ends) -> socket.socket:
    assert ends.channel_fd is not None  # noqa: S101 - guests have one
    return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, ends.channel_fd)


def _execute(wanted: Order) -> int:
    try:
        child = payloads.execute(wanted.spec, wanted.handed)
    except OSError as error:
        raise Failure(reports.failure("exec", program=wanted.spec.argv[0], errno=error.errno)) from None
    for descriptor in wanted.handed:
        os.close(descriptor)
    return child


def _tell(ends: Ends, message: Report) -> None:
    """Say why it goes no further: to the launcher, or where a guest's last words are kept when it listens no more."""
    data = reports.to_bytes(message)
    if ends.report.fileno() >= 0:
        ends.report.send(data)
    else:
        os.write(2, data)


_LIVES: Final[Mapping[Lane, Callable[[Walls, Ends], None]]] = {
    Lane.PLAN: _run_plan,
    Lane.OPERATION: _run_operation,
    Lane.PROGRAM: _run_program,
    Lane.SCRIPT: _run_script,
    Lane.PYTHON: _run_python,
    Lane.MACHINE: _run_program,
}
