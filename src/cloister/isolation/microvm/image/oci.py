"""The file tree of a payload drive, out of a container image.

Owns what the parts of an image say of each other: an OCI image layout, or what `docker save` writes. All of it is
hostile: sizes, counts and depths are bounded, and each part is held to the digest it is named by. What an image says of
how to run it is not used.

Source: OCI Image Format Specification 1.1, "Image Layout", "Image Manifest", "Image Index", "Content Descriptors";
`docker save` since 25.0 writes such a layout too, before that the "combined image JSON" of Docker's image spec 1.2.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cloister.errors import quoted
from cloister.isolation.microvm.image import layers
from cloister.isolation.microvm.image.oci_parts import Part, Parts, wrong
from cloister.isolation.microvm.image.packages import Package
from cloister.isolation.microvm.image.payload import add_mount_points
from cloister.isolation.microvm.image.tree import Tree

LAYERS_MAX: Final = 200
_INDEXES_MAX: Final = 3
_DIGEST: Final = re.compile(r"sha256:([0-9a-f]{64})")
_ARCHITECTURES: Final = {"x86_64": "amd64", "aarch64": "arm64"}
"""What Go, and so the specification, calls machines."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Image:
    sha256: str
    configuration: Mapping[str, Any]
    layers: Sequence[tuple[str, str]]
    """Name and digest of each."""


def fill(tree: Tree, path: Path) -> tuple[Package, ...]:
    """Put a container image into an empty tree.

    Args:
        tree: Where to.
        path: Directory or archive.

    Returns:
        The image, as the one package it is: its digest is that of its manifest.

    Raises:
        InputError: `input.oci`: it is no such image, a part is missing or not what its digest says, or it is for
            another kind of machine; `input.archive`: a layer cannot be unpacked.
        ProviderUnavailable: `provider.image-tool`: the program that decompresses a layer is missing.
    """
    with Parts(path) as parts:
        image = _read_image(parts)
        architecture = str(image.configuration.get("architecture", _wanted()))
        if architecture != _wanted() or image.configuration.get("os", "linux") != "linux":
            raise wrong(path, f"it is for {quoted(architecture)}, and this machine is Linux on {_wanted()}")
        for index, (name, sha256) in enumerate(image.layers):
            part = parts.required(name)
            layers.apply(tree, part, f"layer {index + 1} of {len(image.layers)}")
            part.require(sha256)
    add_mount_points(tree)
    return (Package(name="oci:image", version="", architecture=architecture, sha256=image.sha256),)


def _wanted() -> str:
    machine = os.uname().machine
    return _ARCHITECTURES.get(machine, machine)


def _read_image(parts: Parts) -> _Image:
    index = parts.find("index.json")
    if index is not None:
        return _read_layout(parts, parts.data(index))
    listing = parts.find("manifest.json")
    if listing is not None:
        return _read_docker(parts, listing)
    raise wrong(parts.path, "it has neither index.json nor manifest.json")


def _read_layout(parts: Parts, index: Any) -> _Image:
    sha256, document = "", index
    for _ in range(_INDEXES_MAX):
        sha256, document = _described(parts, _chosen(parts, document))
        if "manifests" not in document:
            break
    else:
        raise wrong(parts.path, "its indexes lead to no image")
    _, configuration = _described(parts, document.get("config"))
    listed = document.get("layers")
    if not isinstance(listed, list) or len(listed) > LAYERS_MAX:
        raise wrong(parts.path, f"its layers are no list of at most {LAYERS_MAX}")
    digests = [_digest(parts, layer) for layer in listed]
    return _Image(sha256=sha256, configuration=configuration, layers=[(_place(digest), digest) for digest in digests])


def _chosen(parts: Parts, index: Any) -> Mapping[str, Any]:
    """Return the descriptor of the manifest for this machine; the only one, when there is one."""
    manifests = index.get("manifests") if isinstance(index, dict) else None
    if not isinstance(manifests, list) or not manifests or not all(isinstance(each, dict) for each in manifests):
        raise wrong(parts.path, "its index lists no images")
    fitting = [each for each in manifests if _is_for_here(each.get("platform"))]
    if not fitting and len(manifests) > 1:
        raise wrong(parts.path, f"none of its {len(manifests)} images is for Linux on {_wanted()}")
    chosen: Mapping[str, Any] = (fitting or manifests)[0]
    return chosen


def _is_for_here(platform: Any) -> bool:
    return isinstance(platform, dict) and (platform.get("os"), platform.get("architecture")) == ("linux", _wanted())


def _digest(parts: Parts, descriptor: Any) -> str:
    match = _DIGEST.fullmatch(str(descriptor.get("digest"))) if isinstance(descriptor, dict) else None
    if match is None:
        raise wrong(parts.path, "a part is named by something else than a SHA-256 digest")
    return match[1]


def _place(sha256: str) -> str:
    return f"blobs/sha256/{sha256}"


def _described(parts: Parts, descriptor: Any) -> tuple[str, dict[str, Any]]:
    """Return the JSON object that a descriptor names, with its digest."""
    sha256 = _digest(parts, descriptor)
    part = parts.required(_place(sha256))
    document = parts.data(part)
    part.require(sha256)
    if not isinstance(document, dict):
        raise wrong(parts.path, "a part that describes others is no object")
    return sha256, document


def _read_docker(parts: Parts, listing: Part) -> _Image:
    """Read what `docker save` wrote before it wrote layouts. Its layers are named by the digests of their contents."""
    listed = parts.data(listing)
    if not isinstance(listed, list) or len(listed) != 1 or not isinstance(listed[0], dict):
        raise wrong(parts.path, "its manifest.json does not describe one image")
    configuration = parts.data(parts.required(str(listed[0].get("Config"))))
    rootfs = configuration.get("rootfs") if isinstance(configuration, dict) else None
    digests = rootfs.get("diff_ids") if isinstance(rootfs, dict) else None
    names = listed[0].get("Layers")
    if not isinstance(names, list) or not isinstance(digests, list) or not len(names) == len(digests) <= LAYERS_MAX:
        raise wrong(parts.path, "its layers and their digests do not fit each other")
    pairs = zip(names, digests, strict=True)
    described = [(str(name), _digest(parts, {"digest": digest})) for name, digest in pairs]
    return _Image(sha256=listing.finish(), configuration=configuration, layers=described)
