"""`cloister repl`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from cloister.cli.options import (
    AllowComputedOption,
    AllowOption,
    EnvOption,
    HomeOption,
    IsolationOption,
    LimitOption,
    MemoryOption,
    ModulePathOption,
    ProviderOption,
    ReadOption,
    TimeoutOption,
    UnsafeOption,
    WriteOption,
)
from cloister.cli.output import echo, note, reporting, show_error, unexpected
from cloister.errors import CloisterError, PlanError

if TYPE_CHECKING:
    from cloister.authority.context import RuntimeContext
    from cloister.cli.repl_loop import Conversation
    from cloister.repl.session import Executor

PIPED_CHARS_MAX: Final = 4 * 2**20
WELCOME: Final = "Cloister {version}. ,help lists commands, (doc name) shows documentation, Ctrl-D leaves."


def repl(
    allow: AllowOption = None,
    read: ReadOption = None,
    write: WriteOption = None,
    env: EnvOption = None,
    provider: ProviderOption = "process",
    timeout: TimeoutOption = None,
    memory: MemoryOption = None,
    limit: LimitOption = None,
    isolation: IsolationOption = None,
    allow_computed: AllowComputedOption = False,
    unsafe_everything: UnsafeOption = False,
    module_path: ModulePathOption = None,
    home: HomeOption = None,
    history: Annotated[
        bool, typer.Option("--history/--no-history", help="Keep what was typed, in the home directory.")
    ] = True,
) -> None:
    """Evaluate what is typed; definitions stay."""
    from cloister.cli.limits import parse_limits  # noqa: PLC0415
    from cloister.cli.options import build_context  # noqa: PLC0415
    from cloister.cli.repl_loop import Conversation  # noqa: PLC0415
    from cloister.plan.module_files import ModuleFiles  # noqa: PLC0415

    with reporting(as_json=False), ExitStack() as stack:
        limits = parse_limits(timeout, memory, limit)
        grants = (allow, read, write, env, isolation, allow_computed, unsafe_everything)
        execute = None
        if any(grants):
            context = build_context(
                allow=allow,
                allow_computed=allow_computed,
                read=read,
                write=write,
                env=env,
                limits=limits,
                isolation=isolation,
                unsafe_everything=unsafe_everything,
            )
            if unsafe_everything:
                note("warning: UnsafeEverything: what is typed may call every capability on every path")
            execute = _executor(stack, context, provider, home, isolation)
        conversation = Conversation(limits, execute, ModuleFiles(module_path or ()))
        if sys.stdin is not None and sys.stdin.isatty() and sys.stdout.isatty():
            _interactive(conversation, home, keeps_history=history)
        else:
            raise typer.Exit(_piped(conversation))


def _executor(
    stack: ExitStack, context: RuntimeContext, provider: str, home: Path | None, isolation: str | None
) -> Executor:
    """Return what runs programs that call capabilities: isolated, authorized and recorded, as `cloister run` does."""
    opened: list[Any] = []

    def execute(program: Any, inputs: Mapping[str, Any]) -> Any:
        from cloister.cli.level_note import note_level  # noqa: PLC0415
        from cloister.cli.progress import choose_progress  # noqa: PLC0415
        from cloister.lang.transport import from_python  # noqa: PLC0415
        from cloister.runtime import Runtime  # noqa: PLC0415

        if not opened:
            opened.append(stack.enter_context(Runtime.open(home)))
            note_level(provider, isolation)
        progress = choose_progress(as_json=False)
        try:
            result = opened[0].run(program, context=context, provider=provider, inputs=inputs, observer=progress)
        finally:
            progress.stop()
        return from_python(result.value)

    return execute


def _interactive(conversation: Conversation, home: Path | None, *, keeps_history: bool) -> None:
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.cli.repl_prompt import Prompt  # noqa: PLC0415
    from cloister.version import VERSION  # noqa: PLC0415

    prompt = Prompt(conversation, (home or default_home()) if keeps_history else None)
    is_ending = _ending()
    echo(WELCOME.format(version=VERSION))
    while True:
        try:
            text = prompt.ask()
        except EOFError:
            return
        except KeyboardInterrupt:
            if is_ending():
                raise
            continue
        if _answered(conversation, text, is_ending) is None:
            return


def _answered(conversation: Conversation, text: str, is_ending: Callable[[], bool]) -> int | None:
    """Answer an input and show what went wrong; return the exit status of that, or None when the user leaves."""
    try:
        return 0 if conversation.answer(text) else None
    except CloisterError as error:
        return show_error(error, as_json=False)
    except KeyboardInterrupt:
        if is_ending():
            raise
        note("interrupted")
        return 0
    except Exception as error:  # noqa: BLE001 - a defect met by one input must not lose the definitions of the others
        return show_error(unexpected(error), as_json=False)


def _ending() -> Callable[[], bool]:
    """Return a function that says whether an interrupt was a signal to end, which is ignored from then on."""
    was_ignored = signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    return lambda: signal.getsignal(signal.SIGTERM) is signal.SIG_IGN and not was_ignored


def _piped(conversation: Conversation) -> int:
    """Answer what comes in as soon as a form is complete; return the first error's exit status."""
    from cloister.editor.scan import Nesting  # noqa: PLC0415
    from cloister.repl.session import is_incomplete  # noqa: PLC0415

    statuses: list[int] = []
    pending, nesting, chars = [], Nesting(), 0
    is_ending = _ending()
    for line in _lines():
        pending.append(line)
        nesting.feed(line)
        chars += len(line)
        # Reading the whole anew for each line would take quadratic time; brackets are counted as they come
        if chars <= PIPED_CHARS_MAX and (nesting.is_open or is_incomplete("".join(pending))):
            continue
        status = _answered(conversation, "".join(pending), is_ending)
        pending, nesting, chars = [], Nesting(), 0
        if status is None:
            break
        statuses.append(status)
    if pending:
        statuses.append(_answered(conversation, "".join(pending), is_ending) or 0)
    return next((status for status in statuses if status), 0)


def _lines() -> Iterator[str]:
    if sys.stdin is None:
        return
    while line := sys.stdin.buffer.readline(PIPED_CHARS_MAX):
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise PlanError(
                f"standard input is not UTF-8 text: a byte is {line[error.start]:#04x}",
                code="plan.encoding",
                hint="send it as UTF-8",
            ) from error
