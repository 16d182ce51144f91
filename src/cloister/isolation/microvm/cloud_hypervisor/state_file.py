"""The state of a saved machine as one file: Cloud Hypervisor writes two.

Owns the form: one line of JSON with the texts of both.
"""

from __future__ import annotations

import json
from typing import Final

from cloister.errors import LaunchError
from cloister.isolation.microvm.vmm import STATE_BYTES_MAX

FORMAT: Final = "cloister-cloud-hypervisor-state/1"


def packed(config: bytes, state: bytes) -> bytes:
    """Return one file for both.

    Raises:
        LaunchError: `provider.snapshot`: they are too large, or no text.
    """
    if len(config) + len(state) > STATE_BYTES_MAX:
        raise LaunchError("the VMM's state is too large", code="provider.snapshot")
    try:
        texts = {"format": FORMAT, "config": config.decode(), "state": state.decode()}
    except UnicodeDecodeError as error:
        raise LaunchError("the VMM's state is no text", code="provider.snapshot") from error
    return json.dumps(texts, sort_keys=True).encode() + b"\n"


def unpacked(data: bytes) -> tuple[bytes, bytes]:
    """Return both texts.

    Raises:
        LaunchError: `provider.snapshot`: it is no such file.
    """
    try:
        texts = json.loads(data)
        form, config, state = texts["format"], texts["config"].encode(), texts["state"].encode()
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise LaunchError("this is no saved state of Cloud Hypervisor", code="provider.snapshot") from error
    if form != FORMAT:
        raise LaunchError("this saved state has a form of another version", code="provider.snapshot")
    return config, state
