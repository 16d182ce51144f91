"""The process that holds one session: it owns the runtime, and with it the sandbox, until the session ends.

Owns the life of that process and what it answers. It was started by a command that has ended since; nothing of that
command's terminal, directory or descriptors is left to it. It is no daemon: there is one for each session, and it ends
when the session does. Requests come from processes of the same user, one for each connection.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from cloister.errors import AuditError, CloisterError, InputError, InternalError
from cloister.isolation.microvm.config import MachineConfig
from cloister.plan.session import Session
from cloister.runtime import Runtime
from cloister.sessions.packets import Connection, failure, require_same_user
from cloister.sessions.place import SessionPlace
from cloister.sessions.requests import Served, serve_request
from cloister.sessions.start import context_from, terms_from

CONNECTIONS_MAX: Final = 64
WORKERS_END_TIMEOUT_S: Final = 10.0
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def main() -> None:
    """Open the session that standard input describes, say on standard output how that went, and hold it."""
    order = json.loads(sys.stdin.buffer.read())
    home = Path(order["home"])
    place = SessionPlace(home)
    try:
        name, listener = place.claim(order["name"])
        try:
            _hold(order, home, name, listener)
        finally:
            listener.close()
            place.remove(name)
    except CloisterError as error:
        _answer(failure(error))
    except Exception as error:  # noqa: BLE001 - whoever waits for the answer is told of a defect too
        _answer(failure(InternalError(f"unexpected {type(error).__name__}: {error}")))


def _answer(answer: Mapping[str, Any]) -> None:
    """Answer the command that waits, once; it reads until the end."""
    if not sys.stdout.closed:
        with contextlib.suppress(OSError):
            sys.stdout.write(json.dumps(answer))
            sys.stdout.flush()
        _detach()


def _detach() -> None:
    """Let go of the command that started this process."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    for number in range(3):
        os.dup2(nothing, number)
    os.close(nothing)
    sys.stdout = sys.stderr


def _hold(order: Mapping[str, Any], home: Path, name: str, listener: socket.socket) -> None:
    with Runtime.open(home, machines=MachineConfig.parse(order["machine"])) as runtime:
        terms = terms_from(order["terms"], name)
        session = runtime.session(
            context=context_from(order["context"]),
            provider=order["provider"],
            name=name,
            lifetime_ms=terms.lifetime_ms,
            idle_ms=terms.idle_ms,
            terminals=terms.has_terminals,
            working_directory=terms.working_directory,
            expected=order["expected"],
        )
        holder = Holder(session, listener)
        _answer({"ok": True, "session": holder.describe()})
        try:
            holder.run()
        finally:
            session.close()
            holder.finish(SessionPlace(home), name)


class Holder:
    """The loop that takes connections.

    Args:
        session: What it holds.
        listener: Where connections come.
    """

    def __init__(self, session: Session, listener: socket.socket) -> None:
        self._session = session
        self._listener = listener
        self._lock = threading.Lock()
        self._workers: dict[threading.Thread, Connection] = {}
        self._closers: list[Connection] = []
        self._started_s = self._active_s = time.monotonic()
        self._woken, self._wake = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._is_stopping = False

    def run(self) -> None:
        """Serve until the session ends, or somebody asks for that."""
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for number in _SIGNALS:
            signal.signal(number, self._stop_on_signal)
        poll = select.poll()
        for each in (self._listener.fileno(), self._session.fileno(), self._woken):
            poll.register(each, select.POLLIN)
        while not self._is_stopping:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._listener.fileno() in ready:
                self._take_connection()
            if self._session.fileno() in ready:
                return

    def _stop_on_signal(self, number: int, frame: object) -> None:
        del number, frame
        self._is_stopping = True

    def stop(self, closer: Connection | None = None) -> None:
        """Have the loop end.

        Args:
            closer: Whoever asked; it is answered when nothing is left.
        """
        with self._lock:
            if closer is not None:
                self._closers.append(closer)
            self._is_stopping = True
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake, b"s")

    def finish(self, place: SessionPlace, name: str) -> None:
        """Wait for those who are being served, whose executions have ended, and answer those who asked for the end."""
        deadline_s = time.monotonic() + WORKERS_END_TIMEOUT_S
        for worker in list(self._workers):
            worker.join(max(0, deadline_s - time.monotonic()))
        place.remove(name)
        for closer in self._closers:
            with closer, contextlib.suppress(OSError):
                closer.send_json({"ok": True})

    def describe(self) -> dict[str, Any]:
        """Return what `cloister session list` shows."""
        session, now_s = self._session, time.monotonic()
        is_idle = session.executions_count == 0
        return {
            "name": session.terms.name,
            "state": "idle" if is_idle else "running",
            "run_id": session.run_id,
            "provider": session.provider,
            "holder_pid": os.getpid(),
            "age_ms": round((now_s - self._started_s) * 1000),
            "idle_ms": round((now_s - self._active_s) * 1000) if is_idle else 0,
            "executions_count": session.executions_count,
            "lifetime_ms": session.terms.lifetime_ms,
            "idle_limit_ms": session.terms.idle_ms,
            "has_terminals": session.terms.has_terminals,
            "context": session.context.to_dict(),
        }

    def _take_connection(self) -> None:
        connection = Connection(self._listener.accept()[0])
        worker = threading.Thread(target=self._serve, args=(connection,), daemon=True)
        with self._lock:
            is_full = len(self._workers) >= CONNECTIONS_MAX
            if not is_full:
                self._workers[worker] = connection
        if is_full:
            with connection, contextlib.suppress(OSError):
                error = InputError(f"this session serves {CONNECTIONS_MAX} commands already", code="input.session-busy")
                connection.send_json(failure(error))
            return
        worker.start()

    def _serve(self, connection: Connection) -> None:
        served = Served.DONE
        try:
            served = self._answered(connection)
        finally:
            with self._lock:
                self._workers.pop(threading.current_thread(), None)
                self._active_s = time.monotonic()
            if served is Served.CLOSE:
                self.stop(connection)
            else:
                with connection:
                    pass

    def _answered(self, connection: Connection) -> Served:
        try:
            require_same_user(connection)
            return serve_request(self._session, connection, self.describe)
        except AuditError as error:
            self._tell(connection, error)
            self.stop()  # what cannot be recorded does not go on
        except CloisterError as error:
            self._tell(connection, error)
        except KeyboardInterrupt:
            pass  # whoever asked is gone, and so is the execution
        except OSError:
            pass  # the same, noticed while answering
        except Exception as error:  # noqa: BLE001 - one request must not end the session for the others
            self._tell(connection, InternalError(f"unexpected {type(error).__name__}: {error}"))
        return Served.DONE

    def _tell(self, connection: Connection, error: CloisterError) -> None:
        with contextlib.suppress(OSError):
            connection.send_json(failure(error))
