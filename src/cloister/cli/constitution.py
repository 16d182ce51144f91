"""`cloister constitution sign`, `cloister constitution verify` and `cloister constitution show`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.cli.options import HomeOption, JsonOption
from cloister.cli.output import echo, echo_json, error_data, note, reporting, show_error
from cloister.cli.progress import paint

if TYPE_CHECKING:
    from cloister.authority.constitution import Constitution
    from cloister.errors import CloisterError
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
    from cloister.plan.ruling_constitution import acceptable_constitution, ruling_constitution  # noqa: PLC0415

    with reporting(as_json=as_json):
        place = home or default_home()
        own = place / CONSTITUTION_FILE
        chosen = own if file is None else file
        if _is_same(chosen, own):
            ruling_constitution(place)  # says that one is gone, too
            found, refusal = load_constitution(own, place), None
        else:
            found = load_constitution(chosen, place)
            refusal = _refusal(lambda: acceptable_constitution(chosen, place))
        _report("verified", found, as_json=as_json, signature=str(signature_path(chosen)), refusal=refusal)


@constitution_app.command("show", help="Print the rules of a constitution, and whether runs accept it.")
def show(file: ShownArgument = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print all rules that hold with a file, or those of the home; without either, the built-in ones."""
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.authority.constitution import builtin_constitution  # noqa: PLC0415
    from cloister.plan.constitution_file import CONSTITUTION_FILE, read_unverified  # noqa: PLC0415
    from cloister.plan.ruling_constitution import acceptable_constitution, ruling_constitution  # noqa: PLC0415

    with reporting(as_json=as_json):
        place = home or default_home()
        own = place / CONSTITUTION_FILE
        is_own = file is None or _is_same(file, own)
        chosen = own if file is None and os.path.lexists(own) else file
        constitution = builtin_constitution() if chosen is None else read_unverified(chosen)
        refusal = _refusal(
            lambda: ruling_constitution(place) if is_own else acceptable_constitution(chosen or own, place)
        )
        if as_json:
            facts = {"ok": not (is_own and refusal), "constitution": constitution.to_dict(), **_accepted(refusal)}
            facts["warnings"] = _warnings(constitution, as_json=True)
            echo_json(facts | ({"error": facts["refusal"]} if is_own and refusal else {}))
        else:
            _print(constitution, refusal)
            _warnings(constitution, as_json=False)
    if is_own and refusal is not None:
        raise typer.Exit(refusal.exit_status if as_json else show_error(refusal, as_json=False))


def _is_same(file: Path, own: Path) -> bool:
    return os.path.realpath(file) == os.path.realpath(own)


def _refusal(judge: Callable[[], object]) -> CloisterError | None:
    """Return why no run begins under a constitution; None when runs accept it."""
    from cloister.errors import CloisterError  # noqa: PLC0415

    try:
        judge()
    except CloisterError as error:
        return error
    return None


def _warnings(constitution: Constitution, *, as_json: bool) -> list[str]:
    """Return which rules are about nothing here; on standard error, too, for people."""
    from cloister.authority.idle_rules import idle_rules  # noqa: PLC0415
    from cloister.capabilities.catalog import builtin_catalog  # noqa: PLC0415

    found = list(idle_rules(constitution.rules, builtin_catalog().registry))
    for each in () if as_json else found:
        note(f"warning: {each}")
    return found


def _accepted(refusal: CloisterError | None) -> dict[str, Any]:
    return {"accepted": refusal is None, "refusal": None if refusal is None else error_data(refusal)}


def _report(
    word: str, found: LoadedConstitution, *, as_json: bool, signature: str, refusal: CloisterError | None = None
) -> None:
    from cloister.errors import quoted  # noqa: PLC0415

    warnings = _warnings(found.constitution, as_json=as_json)
    if as_json:
        facts: dict[str, Any] = {**found.facts(), "signature": signature}
        told = {"ok": True, "constitution": facts, "warnings": warnings}
        echo_json(told | (_accepted(refusal) if word == "verified" else {}))
        return
    good = paint(word, "green", stream_is_terminal=sys.stdout.isatty())
    echo(f"{good}: {quoted(str(found.path), 400)}, version {found.constitution.version}, key {found.key_id}")
    echo(f"  rules      {len(found.constitution.rules)}, with the built-in ones")
    echo(f"  digest     {found.constitution.sha256}")
    echo(f"  signature  {quoted(signature, 400)}")
    if refusal is not None:
        echo(f"  refused    runs of this home would not accept it: {refusal.message}")


def _print(constitution: Constitution, refusal: CloisterError | None) -> None:
    from cloister.errors import quoted  # noqa: PLC0415

    echo(f"version {constitution.version}, sha256:{constitution.sha256}")
    if refusal is not None:
        echo(f"runs of this home do not accept it: {refusal.message}")
    for rule in constitution.rules:
        echo(f"\n{rule.id}: {rule.action.label} {rule.pattern}")
        for condition in rule.conditions:
            echo(f"  when {quoted(str(condition), 400)}")
        echo(f"  {rule.reason}")
