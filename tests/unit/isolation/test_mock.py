"""The mock provider beyond the conformance suite: scripted answers, files in memory, and what it does not do."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from cloister.authority.context import RuntimeContext
from cloister.authority.level import IsolationLevel
from cloister.authority.permission import Permission
from cloister.authority.token import TokenVerifier
from cloister.errors import GuestError, LimitExceeded, ProviderUnavailable, TokenRejected
from cloister.isolation.mock import MockProvider
from cloister.isolation.provider import (
    ExecutionResult,
    ExternalProgram,
    GuestOperation,
    IsolationProvider,
    Mount,
    MountMode,
    ScriptLanguage,
    ScriptSource,
)
from cloister.limits import ResourceLimits
from cloister.testing_harness import ProviderHarness

TREE = {"/data/a.txt": b"alpha", "/data/sub/b.bin": b"\xff", "/data-not/c.txt": b"hidden"}
ANSWER = ExecutionResult(value={"n": 1}, stdout=b'{"n":1}', exit_status=0)
SCRIPT = ScriptSource(language=ScriptLanguage.PYTHON, source="print(1)")
RW = (Mount(source="/data", target="/data", mode=MountMode.READ_WRITE),)
RO = (Mount(source="/data", target="/data"),)
MOVED = (Mount(source="/data/sub", target="/elsewhere"),)


PROBE = {
    "read_path": "/x",
    "tcp": ["127.0.0.1", 1],
    "udp": ["127.0.0.1", 1],
    "abstract": "x",
    "host_pid": 1,
    "granted": "",
    "disk_bytes": 0,
    "inodes_count": 0,
}


class TestMock(ProviderHarness):
    """Each test has a mock provider with the tree above."""

    provider: MockProvider  # type: ignore[assignment]

    def create_provider(self, verifier: TokenVerifier, files: Mapping[str, bytes]) -> IsolationProvider:
        answers = {SCRIPT.source: ANSWER, ("/bin/false",): ExecutionResult(value=None, exit_status=1)}
        return MockProvider(verifier, files=TREE, answers=answers | {"fail": GuestError("scripted")})

    def refused(self, name: str, arguments: dict[str, Any], mounts: tuple[Mount, ...]) -> str:
        with pytest.raises(GuestError) as caught:
            self.operate(name, arguments, mounts)
        assert (caught.value.code, caught.value.kind) == ("guest.io", "IoError")
        return str(caught.value.details["errno"])

    def test_scripted_answers_are_given_and_shown(self) -> None:
        seen: list[tuple[str, bytes]] = []
        context = self.permitted(SCRIPT)
        assert self.provider.execute(context, on_output=lambda *piece: seen.append(piece)) is ANSWER
        assert seen == [("stdout", b'{"n":1}')]
        assert self.provider.execute(self.permitted(ExternalProgram(argv=("/bin/false",)))).exit_status == 1

    def test_scripted_errors_are_raised(self) -> None:
        with pytest.raises(GuestError, match="scripted"):
            self.provider.execute(self.permitted(ScriptSource(language=ScriptLanguage.SHELL, source="fail")))

    @pytest.mark.parametrize(
        "workload",
        [
            ScriptSource(language=ScriptLanguage.SHELL, source="echo"),
            ExternalProgram(argv=("/bin/true",)),
            GuestOperation(name="probe", arguments=PROBE),
        ],
    )
    def test_what_is_not_scripted_is_unavailable(self, workload: Any) -> None:
        with pytest.raises(ProviderUnavailable) as caught:
            self.provider.execute(self.permitted(workload))
        assert caught.value.code == "provider.unscripted"

    def test_scripted_output_is_bounded(self) -> None:
        with pytest.raises(LimitExceeded) as caught:
            self.provider.execute(self.permitted(SCRIPT, limits=ResourceLimits(output_bytes=3)))
        assert caught.value.limit == "output_bytes"

    def test_it_is_too_weak_for_a_context_that_demands_isolation(self) -> None:
        context = RuntimeContext.controlled(minimum_isolation=IsolationLevel.PROCESS)
        execution = self.permitted(SCRIPT)
        token = self.issue_token(context, execution_id=execution.execution_id, permission=Permission.EXECUTE_SCRIPT)
        with pytest.raises(TokenRejected) as caught:
            self.provider.execute(replace(execution, token=token))
        assert caught.value.code == "denied.token-level"
        self.provider.execute(execution)

    def test_files_are_seen_through_mounts(self) -> None:
        assert self.operate("read_file", {"path": "/data/a.txt"}, RO) == "alpha"
        assert self.operate("read_file_base64", {"path": "/elsewhere/b.bin"}, MOVED) == "/w=="
        assert self.refused("read_file", {"path": "/data/sub/b.bin"}, MOVED) == "ENOENT"
        assert self.refused("read_file", {"path": "/data-not/c.txt"}, RO) == "ENOENT"
        assert self.refused("read_file", {"path": "/data/../data-not/c.txt"}, RO) == "ENOENT"
        assert self.refused("read_file", {"path": "/data/sub"}, RO) == "EISDIR"
        assert self.operate("file_exists", {"path": "/data/sub"}, RO) is True
        assert self.operate("file_exists", {"path": "/data-not/c.txt"}, RO) is False

    def test_a_listing_is_that_of_real_files(self) -> None:
        assert self.operate("list_directory", {"path": "/data"}, RO) == [
            {"name": "a.txt", "path": "/data/a.txt", "is_dir": False, "is_file": True, "size": 5},
            {"name": "sub", "path": "/data/sub", "is_dir": True, "is_file": False, "size": 0},
        ]
        assert self.refused("list_directory", {"path": "/data/a.txt"}, RO) == "ENOTDIR"
        assert self.refused("list_directory", {"path": "/data/none"}, RO) == "ENOENT"

    def test_writing_needs_a_writable_mount(self) -> None:
        for name, more in (
            ("write_file", {"content": "x"}),
            ("write_file_base64", {"content": "eA=="}),
            ("make_directory", {}),
            ("delete_file", {"recursive": True}),
        ):
            path = "/data/sub" if name == "delete_file" else "/data/new"
            assert self.refused(name, {"path": path, **more}, RO) == "EROFS"
            self.operate(name, {"path": path, **more}, RW)
            if path == "/data/new":
                self.operate("delete_file", {"path": path}, RW)
        assert self.provider.files == {"/data/a.txt": b"alpha", "/data-not/c.txt": b"hidden"}

    def test_refusals_are_those_of_real_files(self) -> None:
        assert self.refused("write_file", {"path": "/data/none/x", "content": ""}, RW) == "ENOENT"
        assert self.refused("write_file", {"path": "/data/sub", "content": ""}, RW) == "EISDIR"
        assert self.refused("make_directory", {"path": "/data/sub"}, RW) == "EEXIST"
        assert self.refused("make_directory", {"path": "/data/x/y"}, RW) == "ENOENT"
        assert self.refused("delete_file", {"path": "/data/none"}, RW) == "ENOENT"
        assert self.refused("delete_file", {"path": "/data/sub"}, RW) == "ENOTEMPTY"
        self.operate("make_directory", {"path": "/data/x/y", "recursive": True}, RW)
        assert self.operate("file_exists", {"path": "/data/x/y"}, RW) is True

    def test_a_large_file_is_refused(self) -> None:
        with pytest.raises(LimitExceeded):
            self.operate("read_file", {"path": "/data/a.txt"}, RO, ResourceLimits(value_bytes=4))
        assert self.operate("read_file", {"path": "/data/a.txt"}, RO, ResourceLimits(value_bytes=7)) == "alpha"
        with pytest.raises(LimitExceeded, match="as data"):
            self.operate("read_file", {"path": "/data/a.txt"}, RO, ResourceLimits(value_bytes=6))

    def test_the_environment_is_the_one_given(self) -> None:
        operation = GuestOperation(name="get_environment", arguments={"name": "HOME"})
        assert self.provider.execute(self.permitted(operation)).value is None
        with pytest.raises(TokenRejected):
            self.provider.execute(replace(self.permitted(operation), environment={"HOME": "/x"}))
