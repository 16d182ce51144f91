"""`cloister constitution sign`, `cloister constitution verify` and `cloister constitution show`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.cli.options import HomeOption, JsonOption
from cloister.cli.output import echo, echo_json, reporting
from cloister.cli.progress import paint

if TYPE_CHECKING:
    from cloister.authority.constitution import Constitution
    from cloister.plan.constitution_file import LoadedConstitution

constitution_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

HomeFileArgument = Annotated[
    Path | None, typer.Argument(metavar="[FILE]", help="The constitution; that of the home when left out.")
]
FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The constitution, a TOML file.")]
ShownArgument = Annotated[
    Path | None,
    typer.Argument(metavar="[FILE]", help="A constitution, signed or not; that of the home when left out."),
]


@constitution_app.command("sign", help="Sign a constitution with this home's key, which the first signature makes.")
def sign(file: FileArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Sign a constitution; the signature is written beside it."""
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.plan.constitution_file import sign_constitution, signature_path  # noqa: PLC0415

    with reporting(as_json=as_json):
        signed = sign_constitution(file, home or default_home())
        _report("signed", signed, as_json=as_json, signature=str(signature_path(file)))


@constitution_app.command("verify", help="Verify that this home's key signed a constitution as it is now.")
def verify(file: HomeFileArgument = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Verify a constitution and its signature."""
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.plan.constitution_file import CONSTITUTION_FILE, load_constitution, signature_path  # noqa: PLC0415

    with reporting(as_json=as_json):
        place = home or default_home()
        chosen = place / CONSTITUTION_FILE if file is None else file
        found = load_constitution(chosen, place)
        _report("verified", found, as_json=as_json, signature=str(signature_path(chosen)))


@constitution_app.command("show", help="Print the rules of a constitution, without a look at its signature.")
def show(file: ShownArgument = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print all rules that hold with a file, or those of the home; without either, the built-in ones."""
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.authority.constitution import builtin_constitution  # noqa: PLC0415
    from cloister.plan.constitution_file import CONSTITUTION_FILE, read_unverified  # noqa: PLC0415

    with reporting(as_json=as_json):
        own = (home or default_home()) / CONSTITUTION_FILE
        chosen = own if file is None and own.exists() else file
        constitution = builtin_constitution() if chosen is None else read_unverified(chosen)
        if as_json:
            echo_json({"ok": True, "constitution": constitution.to_dict()})
        else:
            _print(constitution)


def _report(word: str, found: LoadedConstitution, *, as_json: bool, signature: str) -> None:
    from cloister.errors import quoted  # noqa: PLC0415

    if as_json:
        facts: dict[str, Any] = {**found.facts(), "signature": signature}
        echo_json({"ok": True, "constitution": facts})
        return
    good = paint(word, "green", stream_is_terminal=sys.stdout.isatty())
    echo(f"{good}: {quoted(str(found.path), 400)}, version {found.constitution.version}, key {found.key_id}")
    echo(f"  rules      {len(found.constitution.rules)}, with the built-in ones")
    echo(f"  digest     {found.constitution.sha256}")
    echo(f"  signature  {quoted(signature, 400)}")


def _print(constitution: Constitution) -> None:
    from cloister.errors import quoted  # noqa: PLC0415

    echo(f"version {constitution.version}, sha256:{constitution.sha256}")
    for rule in constitution.rules:
        echo(f"\n{rule.id}: {rule.action.label} {rule.pattern}")
        for condition in rule.conditions:
            echo(f"  when {quoted(str(condition), 400)}")
        echo(f"  {rule.reason}")
