"""The agent: what in a machine does what its host asks.

Owns the loop over the one connection and all executions. It trusts its host, as the machine belongs to it; what runs in
executions it does not. Until the host has set the clock and mixed in randomness nothing else is heeded: before that,
the machine may be one of many that are alike. Runs in the machine only. Part of the guest set: standard library only.
"""

from __future__ import annotations

import contextlib
import os
import random
import select
import socket
import sys
import time
from collections.abc import Callable
from typing import Any, Final, TypeAlias

from cloister.errors import WireError
from cloister.isolation.microvm.guest import kernel, payload, room, root, worker
from cloister.isolation.microvm.guest.door import Door
from cloister.isolation.microvm.guest.frames import (
    AGENT,
    ORDER_BYTES_MAX,
    STREAMS_MAX,
    Decoder,
    Frame,
    Kind,
    encode_json,
)
from cloister.isolation.microvm.guest.groups import USAGE, Group
from cloister.isolation.microvm.guest.measured import Prover
from cloister.isolation.microvm.guest.streams import Plan, Rehearsal, Stream
from cloister.isolation.process import reports, terminals
from cloister.limits import ResourceLimits

READ_BYTES: Final = 256 * 1024
ABSENT_PAUSE_S: Final = 0.005
"""A port whose host is not there reads as nothing."""
TURN_MS: Final = 200
"""How often executions are looked after while there are any."""
BEFORE_ADOPTION: Final = frozenset({Kind.ADOPT, Kind.ATTEST, Kind.REHEARSE, Kind.POWER_OFF})
ENTROPY_BYTES_MIN: Final = 32
Fork: TypeAlias = Callable[[payload.Life, tuple[int, int, int], Group], tuple[int, int]]


class PoweredOff(Exception):
    """The host needs the machine no more."""


class Agent:
    """The loop.

    Args:
        connection_fd: To the host.
        facts: Who it is: goes out with its greeting.
        can_wait: Whether a read of nothing means that the host is not there yet; else it is gone.
        prover: Who can prove what was measured at boot; None where nothing was.
        listener: Where the host connects anew before it has adopted the machine: a VMM resets the connections of a
            machine that it saves, in that machine and in those restored from it. None for a channel without such.
    """

    def __init__(
        self,
        connection_fd: int,
        facts: dict[str, Any],
        *,
        can_wait: bool,
        prover: Prover | None = None,
        listener: socket.socket | None = None,
    ) -> None:
        self._prover = prover
        self._listener = listener
        self._connection_fd = connection_fd
        self._facts = facts
        self._can_wait = can_wait
        self._decoder = Decoder(ORDER_BYTES_MAX)
        self._streams: dict[int, Stream] = {}
        self._is_adopted = False
        self._groups_count = 0
        self._check_s = 0.0
        self._door: Door | None = None
        self._worker: worker.Worker | None = None
        self._acts: dict[Kind, Callable[[Frame], None]] = {
            Kind.ADOPT: self._adopt,
            Kind.ORDER: self._begin,
            Kind.INPUT: lambda frame: self._for_stream(frame, lambda stream: self._take_input(stream, frame.body)),
            Kind.BOUND: lambda frame: self._for_stream(frame, lambda stream: stream.bound(_limits(frame.data()))),
            Kind.CREDIT: lambda frame: self._for_stream(frame, lambda stream: stream.give_credit(frame.credit())),
            Kind.END: lambda frame: self._for_stream(frame, lambda stream: stream.kill()),
            Kind.RESIZE: self._resize,
            Kind.POWER_OFF: self._power_off,
            Kind.ATTEST: self._attest,
            Kind.REHEARSE: self._prepare,
        }

    def run(self) -> None:
        """Greet the host, and do what it asks until it needs the machine no more.

        Raises:
            PoweredOff: It said so, or is gone.
            WireError: It breaks the protocol.
        """
        self._worker = worker.fork(self._new_group())
        self._worker.await_ready()
        kernel.raise_loopback()
        self._door = Door.at_loopback(self._send)
        self._greet()
        while True:
            self._turn(self._door)

    def _turn(self, door: Door) -> None:
        watched: dict[int, Stream] = {}
        poll = select.poll()
        poll.register(self._connection_fd, select.POLLIN)
        at_door = door.watched() if self._is_adopted else {}
        for descriptor, can_write in at_door.items():
            poll.register(descriptor, _events(can_write=can_write))
        for stream in self._streams.values():
            poll.register(stream.pidfd, select.POLLIN)
            watched[stream.pidfd] = stream
            for descriptor, can_write in stream.watched().items():
                poll.register(descriptor, _events(can_write=can_write))
                watched[descriptor] = stream
        ready = [descriptor for descriptor, _ in poll.poll(self._timeout_ms())]
        if self._connection_fd in ready:
            self._receive()
        for descriptor in ready:
            if descriptor in watched:
                watched[descriptor].write()
                watched[descriptor].read(descriptor)
            elif descriptor in at_door:
                door.attend(descriptor)
        self._reap()
        self._check()
        for stream in list(self._streams.values()):
            if stream.is_over:
                del self._streams[stream.number]
                stream.finish()

    def _timeout_ms(self) -> int | None:
        return TURN_MS if any(stream.is_working for stream in self._streams.values()) else None

    def _check(self) -> None:
        """Look now and then whether executions use too much: it takes longer than most plans."""
        now_s = time.monotonic()
        if now_s >= self._check_s:
            self._check_s = now_s + TURN_MS / 1000
            for stream in self._streams.values():
                stream.check()

    def _reap(self) -> None:
        """Wait for all that has ended: first processes, and orphans."""
        by_pid = {stream.pid: stream for stream in self._streams.values()}
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0] != 0:
                if ended[0] in by_pid:
                    by_pid[ended[0]].has_ended(ended[1])

    def _receive(self) -> None:
        try:
            data = os.read(self._connection_fd, READ_BYTES)
        except OSError:
            if self._listener is None:
                raise
            data = b""
        if not data and self._listener is not None and not self._is_adopted:
            self._accept_again(self._listener)
            self._greet()
            return
        if not data:
            if not self._can_wait:
                raise PoweredOff
            time.sleep(ABSENT_PAUSE_S)
        for frame in self._decoder.feed(data):
            act = self._acts.get(frame.kind) if frame.stream < STREAMS_MAX else self._at_door
            if act is None or (not self._is_adopted and frame.kind not in BEFORE_ADOPTION):
                raise WireError(f"the host may not say {frame.kind.name} now", code="provider.wire-order")
            act(frame)

    def _at_door(self, frame: Frame) -> None:
        """Pass on a frame for a stream that was opened from inside."""
        assert self._door is not None  # noqa: S101 - which is there before anything is received
        self._door.take(frame)

    def _greet(self) -> None:
        """Say who this is; a host that has gone meanwhile may connect anew."""
        while True:
            try:
                self._send(encode_json(AGENT, Kind.HELLO, self._facts))
            except OSError:
                if self._listener is None:
                    raise
                self._accept_again(self._listener)
            else:
                return

    def _accept_again(self, listener: socket.socket) -> None:
        """Wait for the host to connect anew. Nothing was done yet, so there is nothing to go on with."""
        os.close(self._connection_fd)
        connection, _ = listener.accept()
        self._connection_fd, self._decoder = connection.detach(), Decoder(ORDER_BYTES_MAX)

    def _send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._connection_fd, view) :]

    def _adopt(self, frame: Frame) -> None:
        """Set the clock and mix in randomness: of the kernel, and of this process."""
        given = frame.data()
        entropy = bytes.fromhex(given["entropy"])
        if len(entropy) < ENTROPY_BYTES_MIN:
            raise WireError("too little randomness came", code="provider.wire-shape")
        time.clock_settime_ns(time.CLOCK_REALTIME, given["clock_ns"])
        kernel.mix_in(entropy)
        random.seed()
        self._is_adopted = True
        self._send(encode_json(AGENT, Kind.ADOPT, {"clock_ns": time.time_ns()}))

    def _power_off(self, _: Frame) -> None:
        raise PoweredOff

    def _attest(self, frame: Frame) -> None:
        if self._prover is None:
            raise WireError("this machine has no TPM", code="provider.wire-order")
        self._send(encode_json(AGENT, Kind.ATTEST, self._prover.answer(frame.data())))

    def _prepare(self, _: Frame) -> None:
        self._waiting().prepare()
        self._send(encode_json(AGENT, Kind.REHEARSE, {}))

    def _for_stream(self, frame: Frame, act: Callable[[Stream], None]) -> None:
        """Do something for a stream; one that has just ended is not there any more."""
        stream = self._streams.get(frame.stream)
        if stream is not None:
            act(stream)

    def _take_input(self, stream: Stream, data: bytes) -> None:
        if not stream.is_working:
            self._check_s = time.monotonic() + TURN_MS / 1000
        stream.take_input(data)

    def _resize(self, frame: Frame) -> None:
        size = frame.data()
        self._for_stream(frame, lambda stream: stream.resize(size["rows"], size["columns"]))

    def _begin(self, frame: Frame) -> None:
        order = frame.data()
        if frame.stream == AGENT or frame.stream in self._streams:
            raise WireError("a stream began that has begun", code="provider.wire-order")
        limits = _limits(order["limits"])
        stream = _BEGINNINGS[order["do"]](self, frame.stream, order, limits)
        if stream is not None:
            if not self._streams:
                self._check_s = time.monotonic() + TURN_MS / 1000
            self._streams[frame.stream] = stream

    def _new_group(self) -> Group:
        self._groups_count += 1
        return Group(f"execution-{self._groups_count}")

    def _close_root(self, number: int, order: dict[str, Any], limits: ResourceLimits) -> None:
        """Make the root as it is to be for all that follows, and answer at once."""
        del order
        root.resize(limits)
        root.close()
        self._answer(number, {"status": 0, "private": root.private_space()})

    def _answer(self, number: int, report: dict[str, Any]) -> None:
        usage = dict.fromkeys(USAGE)
        self._send(encode_json(number, Kind.STATUS, {"report": report, "limit": None, "usage": usage}))

    def _plan(self, number: int, order: dict[str, Any], limits: ResourceLimits) -> Stream:
        """Give the plan to the process that waits for one."""
        del order
        waiting, self._worker = self._waiting(), None
        descriptor = waiting.perform(limits)
        return Plan(waiting, number=number, limits=limits, send=self._send, input_fd=descriptor, output_fd=descriptor)

    def _rehearse(self, number: int, order: dict[str, Any], limits: ResourceLimits) -> Stream:
        """Give it a plan of our own."""
        del order
        waiting = self._waiting()
        descriptor = waiting.rehearse(limits)
        return Rehearsal(
            number=number,
            pid=waiting.pid,
            group=waiting.group,
            limits=limits,
            send=self._send,
            input_fd=descriptor,
            output_fd=descriptor,
        )

    def _waiting(self) -> worker.Worker:
        """Return what waits for a plan. The end of a rehearsal may come only after the next order, so it ends here."""
        if self._worker is None:
            raise WireError("a machine runs one plan", code="provider.wire-order")
        for stream in self._streams.values():
            if isinstance(stream, Rehearsal):
                stream.kill()
        return self._worker

    def _operation(self, number: int, order: dict[str, Any], limits: ResourceLimits) -> Stream:
        del order
        ours, theirs = socket.socketpair()
        with theirs:
            streams = (theirs.fileno(), theirs.fileno(), sys.stderr.fileno())
            group = self._bounded_group(limits)
            pid, said = payload.fork(payload.guest(limits), streams, group)
        descriptor = ours.detach()
        return self._stream(number, pid, group, limits, said_fd=said, input_fd=descriptor, output_fd=descriptor)

    def _program(self, number: int, order: dict[str, Any], limits: ResourceLimits) -> Stream | None:
        life = payload.program(tuple(order["argv"]), order["environment"], order["directory"], limits)
        if order["window"] is not None:
            return self._on_terminal(number, life, order["window"], limits)
        return self._on_pipes(number, life, limits, fork=room.fork)

    def _on_terminal(self, number: int, life: payload.Life, window: list[int], limits: ResourceLimits) -> Stream | None:
        try:
            master, slave = terminals.open_pair(window[0], window[1], f"{root.ROOT}{terminals.MULTIPLEXER}")
        except OSError as error:
            detail = str(error)
            self._answer(number, reports.failure("mechanism", step="terminal", errno=error.errno, detail=detail))
            return None
        os.fchown(slave, root.USER_ID, root.GROUP_ID)
        group = self._bounded_group(limits)
        pid, said = room.fork(life, (slave, slave, slave), group, has_terminal=True)
        os.close(slave)
        return self._stream(number, pid, group, limits, said_fd=said, input_fd=master, output_fd=master)

    def _on_pipes(self, number: int, life: payload.Life, limits: ResourceLimits, fork: Fork = payload.fork) -> Stream:
        stdin, give = os.pipe2(os.O_CLOEXEC)
        take, stdout = os.pipe2(os.O_CLOEXEC)
        take_errors, stderr = os.pipe2(os.O_CLOEXEC)
        group = self._bounded_group(limits)
        pid, said = fork(life, (stdin, stdout, stderr), group)
        for descriptor in (stdin, stdout, stderr):
            os.close(descriptor)
        return self._stream(
            number, pid, group, limits, said_fd=said, input_fd=give, output_fd=take, errors_fd=take_errors
        )

    def _copy(self, number: int, order: dict[str, Any], limits: ResourceLimits) -> Stream:
        life = payload.copy(order["path"], limits, is_reading=order["do"] == "unpack")
        return self._on_pipes(number, life, limits)

    def _grant(self, number: int, order: dict[str, Any], limits: ResourceLimits) -> Stream:
        life = payload.receive_grant(order["index"], order["target"], limits, is_writable=order["is_writable"])
        return self._on_pipes(number, life, limits)

    def _give_back(self, number: int, order: dict[str, Any], limits: ResourceLimits) -> Stream:
        return self._on_pipes(number, payload.give_grant(order["index"]), limits)

    def _bounded_group(self, limits: ResourceLimits) -> Group:
        group = self._new_group()
        group.bound(limits)
        return group

    def _stream(self, number: int, pid: int, group: Group, limits: ResourceLimits, **descriptors: int) -> Stream:
        return Stream(number=number, pid=pid, group=group, limits=limits, send=self._send, **descriptors)


def _limits(data: dict[str, int]) -> ResourceLimits:
    return ResourceLimits(**data)


def _events(*, can_write: bool) -> int:
    return select.POLLIN | (select.POLLOUT if can_write else 0)


_BEGINNINGS: Final[dict[str, Callable[[Agent, int, dict[str, Any], ResourceLimits], Stream | None]]] = {
    "close-root": Agent._close_root,  # noqa: SLF001 - the table of this very class
    "plan": Agent._plan,  # noqa: SLF001
    "rehearse": Agent._rehearse,  # noqa: SLF001
    "operation": Agent._operation,  # noqa: SLF001
    "program": Agent._program,  # noqa: SLF001
    "pack": Agent._copy,  # noqa: SLF001
    "unpack": Agent._copy,  # noqa: SLF001
    "grant": Agent._grant,  # noqa: SLF001
    "give-back": Agent._give_back,  # noqa: SLF001
}
"""What an order can ask for."""
