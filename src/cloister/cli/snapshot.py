"""`cloister snapshot`: machines saved after their boot, from which the others go on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.cli.options import HomeOption, JsonOption, LimitOption, MachineOption, MemoryOption
from cloister.cli.output import echo, echo_json, reporting

if TYPE_CHECKING:
    from cloister.audit.signer import PublicKey
    from cloister.isolation.microvm.provider import MicroVMProvider
    from cloister.isolation.microvm.snapshot import Snapshot, SnapshotStore

snapshot_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

MIB = 2**20
IdArgument = Annotated[str, typer.Argument(metavar="ID", help="Of the snapshot.", show_default=False)]
VmmOption = Annotated[str, typer.Option("--provider", metavar="NAME", help="Which VMM saves it; as in `cloister run`.")]


@snapshot_app.command("create", help="Boot a machine and save it, unless there is one that fits.")
def create(
    memory: MemoryOption = None,
    limit: LimitOption = None,
    machine: MachineOption = None,
    provider: VmmOption = "microvm",
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Save a machine that runs within these limits go on from."""
    from cloister.cli.limits import parse_limits  # noqa: PLC0415
    from cloister.cli.options import parse_machine  # noqa: PLC0415

    with reporting(as_json=as_json), _machines(provider, parse_machine(machine, provider), home) as machines:
        limits = parse_limits(None, memory, limit)
        made = machines.stock(limits).snapshot()
    if as_json:
        echo_json({"ok": True, "snapshot": _as_data(made)})
    else:
        echo(_row(made))


@snapshot_app.command("list", help="List the snapshots, those that cannot be used too.")
def list_snapshots(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the snapshots of a home."""
    from cloister.errors import CloisterError  # noqa: PLC0415

    rows: list[dict[str, Any]] = []
    lines: list[str] = []
    with reporting(as_json=as_json):
        store, key = _store(home)
        for snapshot_id in store.names():
            try:
                found = store.get(snapshot_id, key)
            except CloisterError as error:
                rows.append({"id": snapshot_id, "error": error.code})
                lines.append(f"{snapshot_id}  unusable: {error.code}")
            else:
                rows.append(_as_data(found))
                lines.append(_row(found))
    if as_json:
        echo_json({"ok": True, "snapshots": rows})
    elif lines:
        echo("\n".join(lines))


@snapshot_app.command("rm", help="Remove a snapshot; the next run that needs it makes another.")
def remove(snapshot_id: IdArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Remove a snapshot."""
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.isolation.microvm.snapshot import DIRECTORY, SnapshotStore  # noqa: PLC0415

    with reporting(as_json=as_json):
        SnapshotStore((home or default_home()) / DIRECTORY).remove(snapshot_id)
    if as_json:
        echo_json({"ok": True})


def _store(home: Path | None) -> tuple[SnapshotStore, PublicKey]:
    from cloister.audit.home import AuditHome, default_home  # noqa: PLC0415
    from cloister.audit.signer import PublicKey  # noqa: PLC0415
    from cloister.isolation.microvm.snapshot import DIRECTORY, SnapshotStore  # noqa: PLC0415

    directory = home or default_home()
    return SnapshotStore(directory / DIRECTORY), PublicKey.load(AuditHome(directory).public_key_path)


@contextmanager
def _machines(name: str, machine: dict[str, str], home: Path | None) -> Iterator[MicroVMProvider]:
    """Give a provider that runs nothing for anybody: nobody has the key of its tokens."""
    from cloister.audit.home import default_home, open_chain  # noqa: PLC0415
    from cloister.authority.token import KEY_BYTES_MIN, TokenIssuer  # noqa: PLC0415
    from cloister.clock import SystemClock  # noqa: PLC0415
    from cloister.isolation.microvm.config import MachineConfig  # noqa: PLC0415
    from cloister.isolation.microvm.provider import MicroVMProvider  # noqa: PLC0415

    clock, directory = SystemClock(), home or default_home()
    open_chain(directory, clock).close()  # its key signs what is saved
    verifier = TokenIssuer(clock.random_bytes(KEY_BYTES_MIN), clock).verifier()
    provider = MicroVMProvider(verifier, directory, name=name, config=MachineConfig.parse(machine), clock=clock)
    try:
        yield provider
    finally:
        provider.close()


def _as_data(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "id": snapshot.snapshot_id,
        "sha256": snapshot.digest,
        "bound_to": dict(snapshot.bound_to),
        "created_at": snapshot.created_at.isoformat(),
        "size_bytes": snapshot.size_bytes,
        "error": None,
    }


def _row(snapshot: Snapshot) -> str:
    bound = snapshot.bound_to
    hardware = f"{bound['vcpus']} vCPU, {bound['memory_mib']} MiB"
    vmm = f"{bound['vmm']['vmm']} ({bound['vmm'].get('accelerator', 'kvm')})"
    size = f"{snapshot.size_bytes / MIB:.0f} MiB on disk"
    return f"{snapshot.snapshot_id}  image {bound['image_id'][:12]}  {hardware}  {vmm}  {size}"
