"""What every isolation provider must pass, for its authors: the conformance suite and the fakes it uses.

Owns the checks. A provider's tests subclass `ProviderConformance` under a name that starts with `Test` and say how to
create the provider; pytest finds the checks, and nothing of pytest is needed to run them otherwise::

    class TestMine(ProviderConformance):
        def create_provider(self, verifier, files):
            return MyProvider(verifier)

Every refusal is checked beside its permitted twin, which differs in the grant alone.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Final

from cloister.authority.token import TOKEN_LIFETIME_MS
from cloister.errors import (
    ApprovalRequired,
    AuditError,
    BudgetExhausted,
    CapabilityDenied,
    CompileError,
    DeniedError,
    GuestError,
    LimitExceeded,
    ProviderError,
    ReadError,
    RunAborted,
    TokenRejected,
)
from cloister.isolation.provider import ExecutionContext, GuestOperation, Mount, MountMode, PlanProgram
from cloister.limits import ResourceLimits
from cloister.testing_harness import (
    HOST_FILES,
    ProviderHarness,
    RecordingHost,
    require,
    require_equal,
    require_error,
)

__all__ = [
    "HOST_FILES",
    "OperationConformance",
    "PlanConformance",
    "ProviderConformance",
    "RecordingHost",
    "require",
    "require_equal",
    "require_error",
]

SMALL: Final = ResourceLimits(value_bytes=4_000, file_bytes=1_000)
CATCH_ALL: Final = '(try (call :test.call) (catch anything e "caught"))'


def _write(path: str, content: str) -> GuestOperation:
    return GuestOperation(name="write_file", arguments={"path": path, "content": content})


class OperationConformance(ProviderHarness):
    """The checks of files, tokens and life. A provider that runs no plans passes these."""

    def test_files_are_read_within_mounts_only(self) -> None:
        """A mounted file is read; its neighbour outside, whose name begins alike, is not there."""
        inside, outside = f"{self.root}/granted/text.txt", f"{self.root}/granted-not/secret.txt"
        require_equal(self.operate("read_file", {"path": inside}, self.granted()), "café\n", "the text")
        for path in (outside, f"{self.root}/granted/../granted-not/secret.txt"):
            error = require_error(
                GuestError, partial(self.operate, "read_file", {"path": path}, self.granted()), "guest.io"
            )
            require_equal(error.kind, "IoError", "the kind of an unreadable file")
        listed = self.operate("list_directory", {"path": f"{self.root}/granted"}, self.granted())
        require_equal([entry["name"] for entry in listed], ["binary.bin", "text.txt"], "the listing")

    def test_binary_files_are_no_text(self) -> None:
        """A file that is not UTF-8 is refused as text and read as base64."""
        arguments = {"path": f"{self.root}/granted/binary.bin"}
        error = require_error(
            GuestError, lambda: self.operate("read_file", arguments, self.granted()), "guest.encoding"
        )
        require_equal(error.kind, "IoError", "the kind")
        require_equal(self.operate("read_file_base64", arguments, self.granted()), "/wD+", "the bytes")

    def test_files_are_written_within_writable_mounts_only(self) -> None:
        """A writable mount takes a file; the same mount for reading does not, and nothing changes on the host."""
        path = f"{self.root}/granted/new.txt"
        arguments = {"path": path, "content": "new"}
        require_error(GuestError, lambda: self.operate("write_file", arguments, self.granted()), "guest.io")
        require(self.host_file(path) is None, "the refused file is not there")
        self.operate("write_file", arguments, self.granted(MountMode.READ_WRITE))
        require_equal(self.host_file(path), b"new", "the written file")

    def test_writing_is_all_or_nothing(self) -> None:
        """A file that is too large leaves the old content and nothing beside it; a smaller one replaces it."""
        path, mounts = f"{self.root}/granted/text.txt", self.granted(MountMode.READ_WRITE)
        large, small = ({"path": path, "content": "x" * size} for size in (2_000, 500))
        error = require_error(LimitExceeded, lambda: self.operate("write_file", large, mounts, SMALL))
        require_equal(error.limit, "file_bytes", "the limit")
        require_equal(self.host_file(path), HOST_FILES["granted/text.txt"], "the old content")
        self.operate("write_file", small, mounts, SMALL)
        require_equal(self.host_file(path), b"x" * 500, "the new content")
        listed = self.operate("list_directory", {"path": f"{self.root}/granted"}, mounts)
        require_equal([entry["name"] for entry in listed], ["binary.bin", "text.txt"], "the names in the directory")

    def test_token_must_cover_the_execution(self) -> None:
        """Whatever an execution asks beyond its token is refused before anything happens; the token's own passes."""
        path, context = self._writing()
        wider = Mount(source=self.root, target=self.root, mode=MountMode.READ_WRITE)
        plan = PlanProgram(source="1", name="<conformance>")
        refused = {
            "denied.token-subject": replace(context, execution_id="another"),
            "denied.token-step": replace(context, step_id="another"),
            "denied.token-arguments": replace(context, arguments_sha256="1" * 64),
            "denied.token-path": replace(context, mounts=(wider,)),
            "denied.token-limit": replace(context, limits=ResourceLimits(value_bytes=2**30)),
            "denied.token-permission": replace(context, workload=plan),
            "denied.token-environment": replace(context, environment={"SECRET": "value"}),
        }
        for code, asked in refused.items():
            self._refuse(asked, code, path)
        self.provider.execute(context)
        require_equal(self.host_file(path), b"x", "what the permitted execution wrote")

    def test_token_must_be_the_issuers(self) -> None:
        """A token that was changed in any way, to its own favour or not, is refused; the unchanged one passes."""
        path, context = self._writing()
        token = context.token
        weaker = token.attenuate(write_paths=())
        forged = (
            token._replace(write_paths=("/",)),
            token._replace(expires_at_ns=token.expires_at_ns + 1),
            token._replace(step_id=None),
            token._replace(mac=bytes(32)),
            weaker._replace(caveats=()),
        )
        for each in forged:
            self._refuse(replace(context, token=each), "denied.token-forged", path)
        self.provider.execute(context)
        require_equal(self.host_file(path), b"x", "what the permitted execution wrote")

    def test_token_is_good_for_one_execution(self) -> None:
        """A token that was accepted is refused the next time, and so is a weaker one made of it; a new one passes."""
        path, context = self._writing()
        self.provider.execute(context)
        require_equal(self.host_file(path), b"x", "what the permitted execution wrote")
        again = replace(context, workload=_write(path, "again"))
        for token in (context.token, context.token.attenuate(write_paths=context.token.write_paths)):
            refused = partial(self.provider.execute, replace(again, token=token))
            require_error(TokenRejected, refused, "denied.token-replayed")
            require_equal(self.host_file(path), b"x", "what a replayed token left alone")
        _, fresh = self._writing()
        self.provider.execute(replace(fresh, workload=again.workload))
        require_equal(self.host_file(path), b"again", "what the next permitted execution wrote")

    def test_token_expires(self) -> None:
        """A token is refused once its time is over, by the monotonic clock; a moment before it passes."""
        path, late = self._writing()
        _, in_time = self._writing()
        self.clock.advance_ms(TOKEN_LIFETIME_MS - 1)
        listing = GuestOperation(name="list_directory", arguments={"path": f"{self.root}/granted"})
        require_equal(len(self.provider.execute(replace(in_time, workload=listing)).value), 2, "what was listed")
        self.clock.advance_ms(1)
        self._refuse(late, "denied.token-expired", path)

    def test_token_can_be_weakened_without_a_key_and_not_widened(self) -> None:
        """A holder's weaker token permits what is left and nothing else, whatever its caveats name."""
        path, context = self._writing()
        token, (mount,) = context.token, context.mounts
        refused = {
            "denied.token-path": token.attenuate(write_paths=()),
            "denied.token-permission": token.attenuate(permissions=()),
            "denied.token-limit": token.attenuate(limits=replace(context.limits, value_bytes=1)),
            "denied.token-expired": token.attenuate(expires_at_ns=0),
        }
        for code, weaker in refused.items():
            self._refuse(replace(context, token=weaker), code, path)
        wider = Mount(source=self.root, target=self.root, mode=MountMode.READ_WRITE)
        self._refuse(
            replace(context, token=token.attenuate(write_paths=("/",)), mounts=(wider,)), "denied.token-path", path
        )
        self.provider.execute(replace(context, token=token.attenuate(write_paths=(mount.source,))))
        require_equal(self.host_file(path), b"x", "what the weaker token still permits")

    def _writing(self) -> tuple[str, ExecutionContext]:
        """Return the path of a file that is not there, and a permitted execution in a step that writes it."""
        path = f"{self.root}/granted/token.txt"
        mounts = self.granted(MountMode.READ_WRITE)
        return path, self.permitted(_write(path, "x"), mounts=mounts, step_id="step-1", arguments_sha256="a" * 64)

    def _refuse(self, context: ExecutionContext, code: str, path: str) -> None:
        require_error(TokenRejected, partial(self.provider.execute, context), code)
        require(self.host_file(path) is None, f"nothing was written before {code}")

    def test_probe_tells_the_level(self) -> None:
        """The probe's report names the provider and the level it gives, with evidence."""
        report = self.provider.probe()
        require_equal((report.provider, report.level), (self.provider.name, self.provider.level), "the report")
        require(report.available, f"the provider is available: {report.reason}")
        require(report.evidence != (), "the report has evidence")

    def test_closing_is_final_and_idempotent(self) -> None:
        """After `close`, and after another, nothing is executed; before it was."""
        listing = partial(self.operate, "list_directory", {"path": f"{self.root}/granted"}, self.granted())
        require_equal(len(listing()), 2, "what was listed before")
        self.provider.close()
        self.provider.close()
        require_error(ProviderError, listing, "provider.closed")


class PlanConformance(ProviderHarness):
    """The checks of plans."""

    def test_plan_gives_its_value(self) -> None:
        """A plan's value comes back as data, tagged where JSON has no such type."""
        result = self.run('[1 2.5 "text" :word nil true {:a 1} {"b" x}]', inputs={"x": [7]})
        expected = [1, 2.5, "text", {"~keyword": "word"}, None, True, {"~map": [[{"~keyword": "a"}, 1]]}, {"b": [7]}]
        require_equal(result.value, expected, "the value of the plan")

    def test_call_reaches_the_host_and_gets_its_answer(self) -> None:
        """Calls carry their arguments out and their answers back, in order."""
        host = RecordingHost({"test.add": sum, "test.none": None})
        value = self.run("[(call :test.add 1 2) (call :test.none) (call :test.add 3)]", host).value
        require_equal(value, [3, None, 3], "the answers")
        require_equal(host.calls, [("test.add", [1, 2]), ("test.none", []), ("test.add", [3])], "the calls")

    def test_denial_is_catchable_as_security_violation(self) -> None:
        """A plan may catch a denial; one that does not ends with the very object that the host raised."""
        denied = CapabilityDenied("not granted", hint="grant it")
        host = RecordingHost({"test.call": denied})
        caught = self.run("(try (call :test.call) (catch SecurityViolation e (getMessage e)))", host).value
        require_equal(caught, "not granted", "the message a plan sees")
        error = require_error(CapabilityDenied, lambda: self.run("(call :test.call)", host))
        require(error is denied, "the uncaught denial is the host's own object")

    def test_every_kind_of_call_error_is_itself_outside(self) -> None:
        """Uncaught errors of calls keep their class and identity, whichever of the catchable ones they are."""
        for raised in (DeniedError("d"), GuestError("g", kind="IoError"), ReadError("i"), ProviderError("p")):
            host = RecordingHost({"test.call": raised})
            require_equal(self.run(CATCH_ALL, host).value, "caught", f"catching {raised!r}")
            error = require_error(type(raised), partial(self.run, "(call :test.call)", host))
            require(error is raised, f"the uncaught {raised!r} is the host's own object")
            place = error.span and (error.span.line, error.span.column)
            require_equal(place, (1, 1), f"the place of the uncaught {raised!r}")

    def test_fatal_errors_of_the_host_are_not_catchable(self) -> None:
        """A limit, a budget, an abort, a pause or an unwritable record ends the plan; an ordinary error is caught."""
        twin = RecordingHost({"test.call": GuestError("ordinary")})
        require_equal(self.run(CATCH_ALL, twin).value, "caught", "the ordinary error")
        limit = LimitExceeded("enough", limit="steps_count", allowed=1, unit="steps")
        budget = BudgetExhausted(
            "spent", dimension="calls", policy="hard-stop", allowed=1, used=1, asked=1, unit="count"
        )
        for fatal in (limit, budget, AuditError("cannot record"), ApprovalRequired("wait"), RunAborted("no more")):
            host = RecordingHost({"test.call": fatal, "test.after": 1})
            program = f"(do {CATCH_ALL} (call :test.after))"
            error = require_error(type(fatal), partial(self.run, program, host))
            require(error is fatal, f"the fatal {fatal!r} is the host's own object")
            if not isinstance(fatal, (AuditError, ApprovalRequired)):
                place = error.span and (error.span.line, error.span.column)
                require_equal(place, (1, 10), f"the place of the fatal {fatal!r}")
            require_equal([name for name, _ in host.calls], ["test.call"], "the calls before the end")

    def test_steps_are_reported_in_order(self) -> None:
        """Steps are reported when they start and end, nested ones inside, failed ones with their code."""
        host = RecordingHost()
        self.run('(do (step "one" 1) (step "two" (step "inner" 2)))', host)
        names = [(event, name) for event, name, _ in host.steps]
        expected = "started one, ended one, started two, started inner, ended inner, ended two"
        require_equal(", ".join(f"{event} {name}" for event, name in names), expected, "the steps")
        require_equal({code for _, _, code in host.steps}, {None}, "the codes of steps that succeed")
        failing = RecordingHost()
        error = require_error(GuestError, lambda: self.run('(step "bad" (/ 1 0))', failing))
        require_equal(failing.steps[-1], ("ended", "bad", error.code), "the end of a failed step")

    def test_finished_steps_are_undone_when_the_plan_fails(self) -> None:
        """The last step is undone first, a failing undo stops no other, and the original error comes out with it."""
        undo = '(step "{0}" :undo (fn [result] (call :test.{0} result)) (call :test.echo "{0}"))'
        program = f'(do (try {undo.format("a")} (catch e 1)) {undo.format("b")} (step "c" {undo.format("d")}) {{}})'
        answers = {"test.echo": lambda given: given[0], "test.a": None, "test.b": GuestError("no"), "test.d": None}
        limit = LimitExceeded("enough", limit="steps_count", allowed=1, unit="steps")
        for ending in (GuestError("it failed"), limit, RunAborted("no more")):
            host = RecordingHost(answers | {"test.end": ending})
            error = require_error(type(ending), partial(self.run, program.format("(call :test.end)"), host))
            require(error is ending, "the error is the host's own object")
            undone = [(name, arguments) for name, arguments in host.calls if name not in {"test.echo", "test.end"}]
            require_equal(undone, [("test.d", ["d"]), ("test.b", ["b"]), ("test.a", ["a"])], "the undos")
            require_equal([each["step"] for each in error.details["undo_failed"]], ["b"], "the undos that failed")
            require_equal(host.undone, [program.index(f'(step "{name}" :u') for name in "dba"], "the steps undone")
        for fatal in (AuditError("cannot record"), ApprovalRequired("wait")):
            host = RecordingHost(answers | {"test.end": fatal})
            require_error(type(fatal), partial(self.run, program.format("(call :test.end)"), host))
            require_equal(host.undone, [], f"the steps undone after {fatal!r}")
        host = RecordingHost(answers)
        require_equal(self.run(program.format("7"), host).value, 7, "the value of the plan that does not fail")
        require_equal(host.undone, [], "the steps undone after success")

    def test_step_limit_ends_a_loop(self) -> None:
        """A loop without end is ended by its limit, and cannot catch that."""
        loop = '(try (loop [n 0] (if (< n {}) (recur (+ n 1)) n)) (catch anything e "caught"))'
        limits = ResourceLimits(steps_count=10_000)
        error = require_error(LimitExceeded, lambda: self.run(loop.format(10_000_000), limits=limits))
        require_equal(error.limit, "steps_count", "the limit")
        require_equal(self.run(loop.format(100), limits=limits).value, 100, "the loop that ends")

    def test_large_values_are_refused(self) -> None:
        """A result or an argument larger than one value may be is a limit reached; smaller ones pass."""
        host = RecordingHost({"test.call": 1})
        for program in ('"{}"', '(call :test.call "{}")'):
            large, small = program.format("x" * 5_000), program.format("x" * 1_000)
            error = require_error(LimitExceeded, partial(self.run, large, host, SMALL))
            require_equal(error.limit, "value_bytes", "the limit")
            self.run(small, host, limits=SMALL)
        answer = RecordingHost({"test.call": "x" * 5_000})
        error = require_error(LimitExceeded, lambda: self.run(CATCH_ALL, answer, limits=SMALL))
        require_equal(error.limit, "value_bytes", "the limit of an answer")

    def test_errors_are_errors(self) -> None:
        """A program that cannot be read, compiled, or go on ends in its error, with its place; never in a value."""
        require(require_error(ReadError, lambda: self.run("(+ 1")).span is not None, "a ReadError has a place")
        unknown = require_error(CompileError, lambda: self.run("\n  (lenght [])"), "compile.unknown-name")
        require(unknown.span is not None and unknown.span.line == 2, "a CompileError has its line")
        failed = require_error(GuestError, lambda: self.run("(/ 1 0)"))
        require_equal(failed.kind, "DivisionByZero", "the kind of a failure")
        require_error(GuestError, lambda: self.run("(fn [x] x)"))  # code cannot leave

    def test_executions_share_nothing(self) -> None:
        """A second execution sees neither the names nor the files of the first."""
        require_equal(self.run("(do (def leftover 1) leftover)").value, 1, "the first execution")
        require_error(CompileError, lambda: self.run("leftover"), "compile.unknown-name")
        trace = "/tmp/cloister-trace"  # noqa: S108 - a path inside the sandbox
        try:
            self.operate("write_file", {"path": trace, "content": "left"})
        except GuestError as error:
            require_equal(error.code, "guest.io", "the refusal of a write outside all mounts")
        require_equal(self.operate("file_exists", {"path": trace}), False, "what the second execution sees")
        require(self.host_file(trace) is None, "nothing of what is not mounted reaches the host")

    def test_usage_is_measured_or_unknown(self) -> None:
        """Usage has whole numbers or None, and the steps of a plan are counted."""
        usage = self.run("(reduce + 0 (range 100))").usage
        for name, figure in usage.to_dict().items():
            require(figure is None or (type(figure) is int and figure >= 0), f"usage {name} is {figure!r}")
        require(usage.steps_count is None or usage.steps_count > 0, "steps are counted")


class ProviderConformance(PlanConformance, OperationConformance):
    """All checks. Subclasses define `create_provider`, and `host_file` when their host files are not on the disk."""
