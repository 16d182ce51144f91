"""`cloister image`: what virtual machines are booted from."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.cli.options import HomeOption, JsonOption
from cloister.cli.output import echo, echo_json, note, reporting
from cloister.cli.progress import paint

if TYPE_CHECKING:
    from cloister.isolation.microvm.image.building import Built, Earlier
    from cloister.isolation.microvm.image.manifest import Manifest
    from cloister.isolation.microvm.image.store import ImageStore

image_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

NOT_MEASURED = "not measured"
MIB = 2**20


def _names(incomplete: str) -> list[str]:
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.isolation.microvm.image.store import ImageStore  # noqa: PLC0415

    return [name for name in ImageStore(default_home()).names() if name.startswith(incomplete)]


NameArgument = Annotated[str, typer.Argument(metavar="NAME", help="Of the image.", autocompletion=_names)]
KeyOption = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="Public key (PEM) [default: keys/chain.pub of the home].")
]


@image_app.command("build", help="Build an image: kernel, base system, and a payload drive if one is asked for.")
def build(
    kind: Annotated[str, typer.Option("--kind", metavar="KIND", help="What boots it: vm.", show_default=False)],
    name: Annotated[str, typer.Option("--name", metavar="NAME", help="How to call it.")] = "base",
    package: Annotated[
        list[str] | None,
        typer.Option(
            "--package",
            metavar="NAME",
            help="Put this package and what it needs on the payload drive. Repeat for more.",
            show_default=False,
        ),
    ] = None,
    oci: Annotated[
        Path | None,
        typer.Option("--oci", metavar="PATH", help="Make the payload drive of this container image, directory or tar."),
    ] = None,
    rootfs_format: Annotated[
        str, typer.Option("--rootfs-format", metavar="FORMAT", help="File system of the payload drive: erofs, ext4.")
    ] = "erofs",
    source: Annotated[
        str, typer.Option("--from", metavar="SOURCE", help="Take kernel and Python from: debian (packages), host.")
    ] = "debian",
    kernel: Annotated[
        str | None,
        typer.Option("--kernel", metavar="RELEASE", help="With --from host: which kernel [default: the running one]."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", metavar="DIR", help="Put it into this new directory instead of the home.")
    ] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Build an image and sign it with the key of the home."""
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.clock import SystemClock  # noqa: PLC0415
    from cloister.isolation.microvm.image.building import BuildOrder, home_signer  # noqa: PLC0415
    from cloister.isolation.microvm.image.building import build as build_image  # noqa: PLC0415
    from cloister.isolation.microvm.image.drive import parse_format  # noqa: PLC0415

    with reporting(as_json=as_json):
        _require_kind(kind)
        order = BuildOrder(
            name=name,
            source=source,
            kernel_release=kernel,
            packages=tuple(package or ()),
            oci=oci,
            rootfs_format=parse_format(rootfs_format),
        )
        store = _store(home, None)
        signer = home_signer(home or default_home(), SystemClock())
        progress = None if as_json or not sys.stderr.isatty() else note
        built = build_image(store, order, signer, output=output, progress=progress)
        if as_json:
            echo_json({"ok": True, "image": _built_data(built)})
        else:
            _print_built(built)


@image_app.command("list", help="List the images: size, kernel, boot time.")
def list_images(home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List the images of a home; one that cannot be trusted is listed with the code of its error."""
    with reporting(as_json=as_json):
        store = _store(home, None)
        rows = [_row(store, name) for name in store.names()]
        if as_json:
            echo_json({"ok": True, "images": rows})
        else:
            for row in rows:
                echo(_row_text(row))


@image_app.command("show", help="Show what an image is: parts, digests, packages, boot time.")
def show(name: NameArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show an image; its signature is verified, its parts are not read."""
    from cloister.isolation.microvm.image.boot_report import measured_boot_ms  # noqa: PLC0415

    with reporting(as_json=as_json), _store(home, None).open(name) as image:
        boot_ms = measured_boot_ms(image)
        if as_json:
            facts = _manifest_data(image.manifest) | {"directory": str(image.directory), "boot_ms": boot_ms}
            echo_json({"ok": True, "image": facts})
        else:
            _print_image(image.manifest, image.directory, None)
            echo(f"  boot time  {_time(boot_ms)}")
            echo(f"  command    {image.manifest.command_line}")
            echo(f"  modules    {' '.join(image.manifest.modules)}")
            for each in image.manifest.packages:
                echo(f"  package    {each.name} {each.version} {each.sha256[:12]}")


@image_app.command("verify", help="Verify the signature of an image, and read and measure every part.")
def verify(name: NameArgument, key: KeyOption = None, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Verify an image as a machine is booted from it."""
    from dataclasses import asdict  # noqa: PLC0415

    with reporting(as_json=as_json), _store(home, key).open(name) as image, image.load_parts() as parts:
        if as_json:
            echo_json({"ok": True, "name": name, "measurements": asdict(parts.measurements)})
            return
        good = paint("verified", "green", stream_is_terminal=sys.stdout.isatty())
        echo(f"{good}: image {name}, signed by this home, every part as its manifest says")
        for field, digest in asdict(parts.measurements).items():
            echo(f"  {field.removesuffix('_sha256').replace('_', ' '):<12} {digest or 'none'}")


@image_app.command("capabilities", help="Write a directory into a drive that machines show at /capabilities.")
def capabilities(
    directory: Annotated[Path, typer.Argument(metavar="DIRECTORY", help="What is to be on it.")],
    drive: Annotated[Path, typer.Argument(metavar="FILE", help="The drive; one that is there is replaced.")],
    drive_format: Annotated[
        str, typer.Option("--format", metavar="FORMAT", help="Its file system: erofs, ext4.")
    ] = "erofs",
    as_json: JsonOption = False,
) -> None:
    """Make a capability store; machines are told of it with `--machine capabilities=FILE`."""
    from cloister.isolation.microvm.image.capability_drive import build_capability_drive  # noqa: PLC0415
    from cloister.isolation.microvm.image.drive import parse_format  # noqa: PLC0415

    with reporting(as_json=as_json):
        made = build_capability_drive(directory, drive, parse_format(drive_format))
        if as_json:
            facts = {"path": str(made.path), "format": made.format.value, "bytes": made.bytes, "sha256": made.sha256}
            echo_json({"ok": True, "drive": facts})
        else:
            echo(f"{made.path}  {_size(made.bytes)}  {made.format.value}  {made.sha256}")
            echo(f"use it: cloister run --provider microvm --machine capabilities={made.path} …")


@image_app.command("rm", help="Remove an image; machines that run from it go on.")
def remove(name: NameArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Remove an image of a home."""
    with reporting(as_json=as_json):
        _store(home, None).remove(name)
        if as_json:
            echo_json({"ok": True, "name": name})


def _store(home: Path | None, key: Path | None) -> ImageStore:
    from cloister.audit.home import default_home  # noqa: PLC0415
    from cloister.audit.signer import PublicKey  # noqa: PLC0415
    from cloister.isolation.microvm.image.store import ImageStore  # noqa: PLC0415

    return ImageStore(home or default_home(), PublicKey.load(key) if key is not None else None)


def _require_kind(kind: str) -> None:
    from cloister.errors import ConfigError, quoted  # noqa: PLC0415

    if kind != "vm":
        raise ConfigError(f"there is no kind of image {quoted(kind)}", code="config.image", hint="--kind vm")


def _manifest_data(manifest: Manifest) -> dict[str, Any]:
    import json  # noqa: PLC0415

    data: dict[str, Any] = json.loads(manifest.to_bytes())
    return {**data, "image_id": manifest.image_id}


def _built_data(built: Built) -> dict[str, Any]:
    earlier = built.earlier
    return {
        **_manifest_data(built.manifest),
        "directory": str(built.directory),
        "boot_ms": None,
        "compared_with": earlier and {"name": earlier.name, "bytes": earlier.sizes, "boot_ms": earlier.boot_ms},
        "dropped_set_ids": built.dropped_set_ids_count,
        "left_out": built.left_out_count,
    }


def _print_built(built: Built) -> None:
    earlier = built.earlier
    _print_image(built.manifest, built.directory, earlier)
    before = f" ({earlier.name} before: {_time(earlier.boot_ms)})" if earlier else ""
    echo(f"  boot time  {NOT_MEASURED}{before}")
    if built.dropped_set_ids_count or built.left_out_count:
        echo(
            f"  left out   {built.dropped_set_ids_count} set-user-id and set-group-id bits, "
            f"{built.left_out_count} devices and the like"
        )


def _print_image(manifest: Manifest, directory: Path, earlier: Earlier | None) -> None:
    echo(f"{manifest.name}  {manifest.image_id}")
    echo(f"  directory  {directory}")
    echo(f"  made of    Linux {manifest.kernel.release}, Python {manifest.python}, {len(manifest.packages)} packages")
    for part in manifest.parts():
        echo(f"  {part.file:<14} {_size(part.bytes):>9}{_growth(part.file, part.bytes, earlier)}  {part.sha256}")
    echo(f"  {'agent':<14} {manifest.agent.files_count:>5} files{'':{12 if earlier else 0}}  {manifest.agent.sha256}")


def _size(count: int) -> str:
    return f"{count / MIB:.1f} MiB"


def _growth(file: str, count: int, earlier: Earlier | None) -> str:
    if earlier is None:
        return ""
    before = earlier.sizes.get(file)
    change = "new" if before is None else f"{(count - before) / MIB:+.1f} MiB"
    return f"  {change:>10}"


def _time(boot_ms: int | None) -> str:
    return NOT_MEASURED if boot_ms is None else f"{boot_ms} ms"


def _row(store: ImageStore, name: str) -> dict[str, Any]:
    from cloister.errors import CloisterError  # noqa: PLC0415
    from cloister.isolation.microvm.image.boot_report import measured_boot_ms  # noqa: PLC0415

    try:
        with store.open(name) as image:
            manifest = image.manifest
            return {
                "name": name,
                "image_id": manifest.image_id,
                "bytes": sum(part.bytes for part in manifest.parts()),
                "kernel": manifest.kernel.release,
                "boot_ms": measured_boot_ms(image),
                "error": None,
            }
    except CloisterError as error:
        return {"name": name, "error": error.code}


def _row_text(row: dict[str, Any]) -> str:
    if row["error"]:
        return f"{row['name']:<16} unusable: {row['error']}"
    size, boot = _size(row["bytes"]), _time(row["boot_ms"])
    return f"{row['name']:<16} {row['image_id'][:12]}  {size:>10}  Linux {row['kernel']}  boot time {boot}"
