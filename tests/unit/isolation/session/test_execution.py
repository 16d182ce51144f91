"""One execution, from the side of whoever waits for it, when its session ends under it."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator

import pytest
from tests.unit.isolation.session.test_line import ENDED, Setting

from cloister.errors import ProviderError
from cloister.isolation.session import line as lines
from cloister.isolation.session.execution import SessionExecution
from cloister.isolation.session.orders import Order, OrderKind
from cloister.limits import ResourceLimits

PROGRAM = Order(kind=OrderKind.PROGRAM, argv=("true",), environment={}, working_directory="/tmp")


@pytest.fixture
def setting(monkeypatch) -> Iterator[Setting]:
    monkeypatch.setattr(lines, "END_TIMEOUT_S", 0.2)
    made = Setting()
    yield made
    made.close()


@contextlib.contextmanager
def started(setting: Setting) -> Iterator[tuple[SessionExecution, socket.socket]]:
    """Start one; yield it with the other end of the connection on which its report comes."""
    with SessionExecution(setting.line, PROGRAM, ResourceLimits()) as execution:
        _, (order, report, *streams), _, _ = socket.recv_fds(setting.channel, 100, 5)
        for each in (order, *streams):
            os.close(each)
        with socket.socket(fileno=report) as connection:
            yield execution, connection


def test_one_that_ended_says_with_what(setting) -> None:
    with started(setting) as (execution, report):
        report.send(b'{"status": 1792, "private": {"free_bytes": 1, "free_inodes": 1}}')
        execution.wait()
        assert execution.status() == 7


def test_one_whose_session_ended_says_why_that_did(setting) -> None:
    with started(setting) as (execution, _):
        setting.end(ENDED, b"idle")
        execution.wait()
        with pytest.raises(ProviderError, match="idle limit"):
            execution.status()


def test_one_whose_session_was_closed_by_another_thread_before_it_could_look_is_over(setting) -> None:
    with started(setting) as (execution, _):
        setting.end(ENDED)
        setting.line.close()
        execution.wait()
        with pytest.raises(ProviderError, match="it was closed"):
            execution.status()
