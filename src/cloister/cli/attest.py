"""`cloister attest show`, `cloister attest verify` and `cloister attest quote`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.cli.audit_home import audit_home, home_key
from cloister.cli.options import ExpectOption, HomeOption, JsonOption, ProviderOption
from cloister.cli.output import echo, echo_json, reporting
from cloister.cli.progress import paint

if TYPE_CHECKING:
    from cloister.isolation.attestation import Attestation
    from cloister.plan.attested import RecordedAttestation, Verdict

attest_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="The run, or last for the newest attestation.")]
FileArgument = Annotated[
    Path | None,
    typer.Argument(metavar="FILE", help="What `attest show --json` printed somewhere.", show_default=False),
]
RunOption = Annotated[
    str | None, typer.Option("--run", metavar="RUN", help="Verify what the chain has of this run [default: last].")
]
KeyOption = Annotated[
    Path | None,
    typer.Option(
        "--public-key",
        metavar="FILE",
        help="Public key (PEM): of the chain [default: that of the home]; for a FILE, of the TPM.",
    ),
]
NonceOption = Annotated[
    str | None, typer.Option("--nonce", metavar="HEX", help="Challenge, 32 bytes in hexadecimal [default: random].")
]


@attest_app.command("show", help="Print what was measured before a run was admitted.")
def show(run: RunArgument = "last", home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Print what was measured before a run was admitted."""
    from cloister.plan.attested import find  # noqa: PLC0415

    with reporting(as_json=as_json):
        place = audit_home(home)
        found = find(place.chain_path, home_key(place), run)
        if as_json:
            echo_json({"ok": True, **_recorded_data(found)})
        else:
            _print_recorded(found)


@attest_app.command("verify", help="Verify an attestation: chain, expectations, image manifest, TPM quote.")
def verify(
    file: FileArgument = None,
    run: RunOption = None,
    public_key: KeyOption = None,
    expect: ExpectOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Verify an attestation of the chain, or one in a file."""
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.audit.signer import PublicKey  # noqa: PLC0415
    from cloister.cli.options import parse_expected  # noqa: PLC0415
    from cloister.errors import InputError  # noqa: PLC0415
    from cloister.isolation.attestation import Expectations  # noqa: PLC0415
    from cloister.plan.attested import LAST, verify_file, verify_recorded  # noqa: PLC0415

    with reporting(as_json=as_json):
        expected = Expectations.parse(parse_expected(expect))
        if file is None:
            place = audit_home(home)
            key = home_key(place) if public_key is None else PublicKey.load(public_key)
            found, verdict = verify_recorded(place.chain_path, key, run or LAST, expected, place.directory / "images")
            source = {"run": found.run_id, "record": found.sequence}
        elif run is not None:
            raise InputError(
                "a run is in the chain, a file is not", code="input.attestation", hint="name one of --run and FILE"
            )
        else:
            verdict = verify_file(file, public_key, expected, (home or default_home()) / "images")
            source = {"file": str(file)}
        if as_json:
            echo_json({"ok": True, **source, **_verdict_data(verdict)})
        else:
            _print_verdict(" ".join(str(value) for value in source.values()), verdict)


@attest_app.command("quote", help="Boot a measured machine, have its TPM quote what it is, and verify that.")
def quote(
    nonce: NonceOption = None,
    provider: ProviderOption = "microvm",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Boot a measured machine and verify its quote; both are recorded."""
    from cloister.runtime import Runtime  # noqa: PLC0415

    with reporting(as_json=as_json):
        challenge = _nonce(nonce)
        with Runtime.open(home) as runtime:
            quoted_machine = runtime.quote(provider=provider, nonce=challenge)
        if as_json:
            data = _attestation_data(quoted_machine.attestation)
            echo_json({"ok": True, "run": quoted_machine.run_id, **data})
            return
        _print_attestation(quoted_machine.attestation)
        echo(f"{_good()}: the quote of {quoted_machine.run_id} answers the challenge and agrees with what was measured")


def _nonce(text: str | None) -> bytes:
    from cloister.clock import SystemClock  # noqa: PLC0415
    from cloister.errors import InputError, quoted  # noqa: PLC0415
    from cloister.isolation.microvm.tpm.quote import NONCE_BYTES  # noqa: PLC0415

    if text is None:
        return SystemClock().random_bytes(NONCE_BYTES)
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise InputError(f"--nonce {quoted(text)} is not hexadecimal", code="input.attestation") from None


def _attestation_data(attestation: Attestation) -> dict[str, Any]:
    from cloister.isolation.microvm.tpm.quote import public_key_pem  # noqa: PLC0415

    data: dict[str, Any] = {"sha256": attestation.sha256, "attestation": attestation.to_dict()}
    if attestation.tpm is not None:
        data["tpm_public_key_pem"] = public_key_pem(bytes.fromhex(attestation.tpm.public_key)).decode("ascii")
    return data


def _recorded_data(found: RecordedAttestation) -> dict[str, Any]:
    head: dict[str, Any] = {
        "run": found.run_id,
        "record": found.sequence,
        "at": found.at,
        "expected": found.expected.to_dict(),
        "error": found.error,
    }
    return head | ({"attestation": None} if found.attestation is None else _attestation_data(found.attestation))


def _verdict_data(verdict: Verdict) -> dict[str, Any]:
    return {
        "sha256": verdict.attestation.sha256,
        "chain_key_id": verdict.chain_key_id,
        "expected": verdict.expected.to_dict(),
        "image": verdict.image,
        "quote_verified": verdict.is_quoted,
    }


def _print_recorded(found: RecordedAttestation) -> None:
    from cloister.errors import quoted  # noqa: PLC0415

    echo(f"{found.run_id}  record {found.sequence}  {found.at}")
    if found.error is not None:
        refused = paint("refused", "red", stream_is_terminal=sys.stdout.isatty())
        echo(f"{refused}: {quoted(str(found.error.get('code')))}: {quoted(str(found.error.get('message')), 500)}")
    if found.attestation is not None:
        _print_attestation(found.attestation)


def _print_attestation(attestation: Attestation) -> None:
    """Print one line for each fact; digests as `--expect` takes them."""
    from cloister.errors import quoted  # noqa: PLC0415
    from cloister.isolation.attestation import PARTS, shown  # noqa: PLC0415

    machine = f"{attestation.vmm} {attestation.vmm_version} ({attestation.accelerator})"
    rows = [("provider", attestation.provider), ("machine", machine), ("measured at", attestation.measured_at)]
    rows += [(part, shown(attestation.measured(part))) for part in PARTS]
    if attestation.tpm is None:
        rows.append(("tpm", "none"))
    else:
        rows += [("tpm nonce", attestation.tpm.nonce), ("tpm key", attestation.tpm.public_key)]
        rows += [(f"pcr {event.pcr}", f"{event.part} {shown(event.sha256)}") for event in attestation.tpm.events]
    for name, value in rows:
        echo(f"  {name:<13} {quoted(value, 400)}")


def _print_verdict(source: str, verdict: Verdict) -> None:
    from cloister.errors import quoted  # noqa: PLC0415

    echo(f"{_good()}: {quoted(source, 400)}, attestation sha256:{verdict.attestation.sha256}")
    chain = "not in a chain" if verdict.chain_key_id is None else f"signed with key {verdict.chain_key_id}"
    expected = ", ".join(verdict.expected.to_dict()) or "nothing was expected"
    echo(f"  chain         {chain}")
    echo(f"  expectations  {expected}")
    echo(
        f"  manifest      {'the image is not here' if verdict.image is None else f'agrees with image {verdict.image}'}"
    )
    echo(f"  quote         {'verified' if verdict.is_quoted else 'there is none'}")


def _good() -> str:
    return paint("verified", "green", stream_is_terminal=sys.stdout.isatty())
