"""The `cloister` command: its subcommands and its way out.

Owns the assembly of the application. The commands live in modules of their own and import what they need when they
run, so that `cloister --help` loads nothing of the runtime.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from cloister.cli.approvals import approvals_app
from cloister.cli.attest import attest_app
from cloister.cli.audit import audit_app
from cloister.cli.capabilities import capabilities
from cloister.cli.check import check
from cloister.cli.compile import compile_
from cloister.cli.constitution import constitution_app
from cloister.cli.doc import doc
from cloister.cli.doctor import doctor
from cloister.cli.evaluate import evaluate
from cloister.cli.execute import execute
from cloister.cli.explain import explain
from cloister.cli.fmt import fmt
from cloister.cli.guard import guarded
from cloister.cli.image import image_app
from cloister.cli.lsp import lsp
from cloister.cli.repl import repl
from cloister.cli.run import run
from cloister.cli.runs import runs_app
from cloister.cli.session import session_app
from cloister.cli.snapshot import snapshot_app
from cloister.version import VERSION

EXIT_STATUSES = """
Exit status: 0 success · 1 the program failed · 2 unusable input · 3 denied · 4 limit reached · 5 provider ·
6 record · 7 attestation · 70 defect in cloister · 74 output cannot be written · 128+N ended by signal N.
"""

app = typer.Typer(
    name="cloister",
    help="Run plans and code written by AI agents: they can do exactly what you grant, and it is all on record.",
    epilog=EXIT_STATUSES,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("run", help="Run a plan; its calls are authorized, isolated and recorded.")(run)
app.command("eval", help="Evaluate a pure expression; it can call nothing.")(evaluate)
app.command(
    "exec",
    help="Run a command or script in a sandbox that sees only what is granted.",
    context_settings={"allow_interspersed_args": False},
)(execute)
app.add_typer(runs_app, name="runs", help="Show runs of plans, let them go on, or end them.")
app.add_typer(approvals_app, name="approvals", help="Decide about calls that runs wait for.")
app.add_typer(session_app, name="session", help="Keep a sandbox for several commands.")
app.add_typer(snapshot_app, name="snapshot", help="Keep virtual machines saved after their boot.")
app.command("repl", help="Evaluate what is typed; definitions stay.")(repl)
app.command("check", help="Check plans and directories of plans without running them.")(check)
app.command("compile", help="Compile a plan to WebAssembly, in a file that says what it can touch.")(compile_)
app.command("fmt", help="Format plans: indentation and line breaks; comments stay.")(fmt)
app.command("explain", help="Show what a plan can touch and which grants it would need.")(explain)
app.command(
    "doc",
    help="Show what a function or form does, or list them all.",
    context_settings={"ignore_unknown_options": True},  # names such as -> and - look like options
)(doc)
app.command("capabilities", help="List what plans can call; with an ID, how it is called.")(capabilities)
app.command("lsp", help="Serve an editor: errors, help and completion for RTFS.")(lsp)
app.command("doctor", help="Probe each isolation provider and show the evidence.")(doctor)
app.add_typer(image_app, name="image", help="Build and verify what virtual machines are booted from.")
app.add_typer(constitution_app, name="constitution", help="Sign, verify and show the rules above every grant.")
app.add_typer(audit_app, name="audit", help="Read and verify the causal chain.")
app.add_typer(attest_app, name="attest", help="Show and verify what was measured before a run.")


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"cloister {VERSION}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    del version


def main() -> None:
    """Run the command line and leave with its exit status."""
    sys.exit(guarded(lambda: app(standalone_mode=False)))
