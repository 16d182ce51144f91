"""Talking to a TPM, whichever way its bytes go.

Owns the acts: each is one command and what its answer gives. Standard library only: the guest uses it too.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

from cloister.errors import ProviderError, WireError
from cloister.isolation.microvm.tpm import wire

Exchange: TypeAlias = Callable[[bytes], bytes]
"""Sends a command and returns its answer."""

KEY_HANDLE: Final = 0x81000000
"""Where the attestation key is kept: the first persistent handle of owners (TPM 2.0 part 1, 37.4)."""
_STREAM_END: Final = "it closed the connection"


class Tpm:
    """A TPM.

    Args:
        exchange: Carries commands to it and answers from it.
    """

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def _ask(self, command: bytes, attempted: str) -> wire.Reader:
        return wire.answer_body(self._exchange(command), attempted)

    def startup(self) -> None:
        """Start it, as firmware does after power-on; nothing happens when it was started already.

        Raises:
            ProviderError: `provider.tpm`: it refused, as with every method.
            WireError: `provider.tpm-wire`: what it answered is no answer, as with every method.
        """
        answer = self._exchange(wire.startup())
        if not wire.is_started_already(answer):
            wire.answer_body(answer, "start").finish()

    def read_pcrs(self, pcrs: Iterable[int]) -> dict[int, bytes]:
        """Return the values of up to eight PCRs."""
        return wire.pcr_values(self._ask(wire.pcr_read(pcrs), "read its PCRs"))

    def extend(self, pcr: int, digest: bytes) -> None:
        """Measure a SHA-256 digest into a PCR."""
        self._ask(wire.pcr_extend(pcr, digest), f"extend PCR {pcr}")

    def create_key(self) -> bytes:
        """Make an attestation key, keep it under `KEY_HANDLE`, and return its public area."""
        handle, public = wire.created_key(self._ask(wire.create_primary(), "make a key"))
        self._ask(wire.evict_control(handle, KEY_HANDLE), "keep the key")
        self._ask(wire.flush_context(handle), "forget the first handle of the key")
        return public

    def public_area(self) -> bytes:
        """Return the public area of the key under `KEY_HANDLE`."""
        return wire.public_area(self._ask(wire.read_public(KEY_HANDLE), "show its key"))

    def quote(self, nonce: bytes, pcrs: Iterable[int]) -> wire.Quoted:
        """Have it state the values of PCRs, signed with the key under `KEY_HANDLE`.

        Args:
            nonce: At most 32 bytes that nobody could know before.
            pcrs: Which.
        """
        return wire.quoted(self._ask(wire.quote(KEY_HANDLE, nonce, pcrs), "quote"))


def over_socket(connection: socket.socket) -> Exchange:
    """Return the way to a TPM at the other end of a stream.

    Args:
        connection: With a timeout; the caller closes it.
    """

    def exchange(command: bytes) -> bytes:
        try:
            connection.sendall(command)
            header = _received(connection, wire.HEADER_BYTES)
            size = int.from_bytes(header[2:6], "big")
            if not wire.HEADER_BYTES <= size <= wire.MESSAGE_BYTES_MAX:
                raise wire.malformed(f"an answer of {size} bytes is announced")
            return header + _received(connection, size - wire.HEADER_BYTES)
        except OSError as error:
            reason = error.strerror or "it does not answer"
            raise ProviderError(f"the TPM cannot be reached: {reason}", code="provider.tpm") from error

    return exchange


def _received(connection: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = connection.recv(count - len(data))
        if not piece:
            raise WireError(f"the TPM broke off: {_STREAM_END}", code="provider.tpm-wire")
        data += piece
    return bytes(data)


def over_device(descriptor: int) -> Exchange:
    """Return the way to the TPM behind an open `/dev/tpm0`: a write is a command, the next read its answer.

    Source: Linux, Documentation/security/tpm, and drivers/char/tpm/tpm-dev-common.c.
    """

    def exchange(command: bytes) -> bytes:
        try:
            os.write(descriptor, command)
            return os.read(descriptor, wire.MESSAGE_BYTES_MAX)
        except OSError as error:
            raise ProviderError(f"the TPM cannot be reached: {error.strerror}", code="provider.tpm") from error

    return exchange
