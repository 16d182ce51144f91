"""The interfaces of WASI 0.2 that components may import, with the types of their functions.

Owns tables, and what they say of the imports of a component: an interface is served in every version 0.2.x, a function
only with the types that it has in all of those. What sockets have is served by the types that the component states,
since everything there is refused. Source: the WIT files of wasi-io, wasi-cli, wasi-clocks, wasi-random and
wasi-filesystem, version 0.2.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

VERSION: Final = re.compile(r"wasi:([a-z-]+/[a-z0-9-]+)@0\.2\.(0|[1-9][0-9]{0,4})")
"""An interface of a version that is served."""
SOCKETS: Final = "sockets/"

ERROR_CODES: Final = (
    "access would-block already bad-descriptor busy deadlock quota exist file-too-large illegal-byte-sequence "
    "in-progress interrupted invalid io is-directory loop too-many-links message-size name-too-long no-device no-entry "
    "no-lock insufficient-memory insufficient-space not-directory not-empty not-recoverable unsupported no-tty "
    "no-such-device overflow not-permitted pipe read-only invalid-seek text-file-busy cross-device"
)
_SHORT: Final = {
    "CODE": f"enum{{{ERROR_CODES.replace(' ', ',')}}}",
    "TYPE": "enum{unknown,block-device,character-device,directory,fifo,symbolic-link,regular-file,socket}",
    "FLAGS": "flags{read,write,file-integrity-sync,data-integrity-sync,requested-write-sync,mutate-directory}",
    "LOOKUP": "flags{symlink-follow}",
    "HOW": "flags{create,directory,exclusive,truncate}",
    "ADVICE": "enum{normal,sequential,random,will-need,dont-need,no-reuse}",
    "HASH": "record{lower:u64,upper:u64}",
    "NEWTIME": "variant{no-change,now,timestamp:TIME}",
    "STAT": "record{type:TYPE,link-count:u64,size:u64,data-access-timestamp:option<TIME>,"
    "data-modification-timestamp:option<TIME>,status-change-timestamp:option<TIME>}",
    "ENTRY": "record{type:TYPE,name:string}",
    "TIME": "record{seconds:u64,nanoseconds:u32}",
    "FAULT": "variant{last-operation-failed:own<error>,closed}",
    "DESCRIPTOR": "borrow<descriptor>",
    "OUT": "borrow<output-stream>",
    "IN": "borrow<input-stream>",
}
"""What stands for long types in the table, longest first where one is in another."""

_TABLE: Final = """
io/error
  [method]error.to-debug-string (borrow<error>)->string
io/poll
  [method]pollable.ready (borrow<pollable>)->bool
  [method]pollable.block (borrow<pollable>)
  poll (list<borrow<pollable>>)->list<u32>
io/streams
  [method]input-stream.read (IN,u64)->result<list<u8>,FAULT>
  [method]input-stream.blocking-read (IN,u64)->result<list<u8>,FAULT>
  [method]input-stream.skip (IN,u64)->result<u64,FAULT>
  [method]input-stream.blocking-skip (IN,u64)->result<u64,FAULT>
  [method]input-stream.subscribe (IN)->own<pollable>
  [method]output-stream.check-write (OUT)->result<u64,FAULT>
  [method]output-stream.write (OUT,list<u8>)->result<_,FAULT>
  [method]output-stream.blocking-write-and-flush (OUT,list<u8>)->result<_,FAULT>
  [method]output-stream.flush (OUT)->result<_,FAULT>
  [method]output-stream.blocking-flush (OUT)->result<_,FAULT>
  [method]output-stream.subscribe (OUT)->own<pollable>
  [method]output-stream.write-zeroes (OUT,u64)->result<_,FAULT>
  [method]output-stream.blocking-write-zeroes-and-flush (OUT,u64)->result<_,FAULT>
  [method]output-stream.splice (OUT,IN,u64)->result<u64,FAULT>
  [method]output-stream.blocking-splice (OUT,IN,u64)->result<u64,FAULT>
cli/environment
  get-environment ()->list<tuple<string,string>>
  get-arguments ()->list<string>
  initial-cwd ()->option<string>
cli/exit
  exit (result<_,_>)
  exit-with-code (u8)
cli/stdin
  get-stdin ()->own<input-stream>
cli/stdout
  get-stdout ()->own<output-stream>
cli/stderr
  get-stderr ()->own<output-stream>
cli/terminal-input
cli/terminal-output
cli/terminal-stdin
  get-terminal-stdin ()->option<own<terminal-input>>
cli/terminal-stdout
  get-terminal-stdout ()->option<own<terminal-output>>
cli/terminal-stderr
  get-terminal-stderr ()->option<own<terminal-output>>
clocks/monotonic-clock
  now ()->u64
  resolution ()->u64
  subscribe-instant (u64)->own<pollable>
  subscribe-duration (u64)->own<pollable>
clocks/wall-clock
  now ()->TIME
  resolution ()->TIME
random/random
  get-random-bytes (u64)->list<u8>
  get-random-u64 ()->u64
random/insecure
  get-insecure-random-bytes (u64)->list<u8>
  get-insecure-random-u64 ()->u64
random/insecure-seed
  insecure-seed ()->tuple<u64,u64>
filesystem/preopens
  get-directories ()->list<tuple<own<descriptor>,string>>
filesystem/types
  [method]descriptor.read-via-stream (DESCRIPTOR,u64)->result<own<input-stream>,CODE>
  [method]descriptor.write-via-stream (DESCRIPTOR,u64)->result<own<output-stream>,CODE>
  [method]descriptor.append-via-stream (DESCRIPTOR)->result<own<output-stream>,CODE>
  [method]descriptor.advise (DESCRIPTOR,u64,u64,ADVICE)->result<_,CODE>
  [method]descriptor.sync-data (DESCRIPTOR)->result<_,CODE>
  [method]descriptor.get-flags (DESCRIPTOR)->result<FLAGS,CODE>
  [method]descriptor.get-type (DESCRIPTOR)->result<TYPE,CODE>
  [method]descriptor.set-size (DESCRIPTOR,u64)->result<_,CODE>
  [method]descriptor.set-times (DESCRIPTOR,NEWTIME,NEWTIME)->result<_,CODE>
  [method]descriptor.read (DESCRIPTOR,u64,u64)->result<tuple<list<u8>,bool>,CODE>
  [method]descriptor.write (DESCRIPTOR,list<u8>,u64)->result<u64,CODE>
  [method]descriptor.read-directory (DESCRIPTOR)->result<own<directory-entry-stream>,CODE>
  [method]descriptor.sync (DESCRIPTOR)->result<_,CODE>
  [method]descriptor.create-directory-at (DESCRIPTOR,string)->result<_,CODE>
  [method]descriptor.stat (DESCRIPTOR)->result<STAT,CODE>
  [method]descriptor.stat-at (DESCRIPTOR,LOOKUP,string)->result<STAT,CODE>
  [method]descriptor.set-times-at (DESCRIPTOR,LOOKUP,string,NEWTIME,NEWTIME)->result<_,CODE>
  [method]descriptor.link-at (DESCRIPTOR,LOOKUP,string,DESCRIPTOR,string)->result<_,CODE>
  [method]descriptor.open-at (DESCRIPTOR,LOOKUP,string,HOW,FLAGS)->result<own<descriptor>,CODE>
  [method]descriptor.readlink-at (DESCRIPTOR,string)->result<string,CODE>
  [method]descriptor.remove-directory-at (DESCRIPTOR,string)->result<_,CODE>
  [method]descriptor.rename-at (DESCRIPTOR,string,DESCRIPTOR,string)->result<_,CODE>
  [method]descriptor.symlink-at (DESCRIPTOR,string,string)->result<_,CODE>
  [method]descriptor.unlink-file-at (DESCRIPTOR,string)->result<_,CODE>
  [method]descriptor.is-same-object (DESCRIPTOR,DESCRIPTOR)->bool
  [method]descriptor.metadata-hash (DESCRIPTOR)->result<HASH,CODE>
  [method]descriptor.metadata-hash-at (DESCRIPTOR,LOOKUP,string)->result<HASH,CODE>
  [method]directory-entry-stream.read-directory-entry (borrow<directory-entry-stream>)->result<option<ENTRY>,CODE>
  filesystem-error-code (borrow<error>)->option<CODE>
"""
"""Each interface, and below it name and types of its functions."""


def _spelled_out(types: str) -> str:
    for short in ("NEWTIME", "STAT", "ENTRY"):
        types = types.replace(short, _SHORT[short])
    for short, long in _SHORT.items():
        types = types.replace(short, long)
    return types


def _interfaces() -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    here: dict[str, str] = {}
    for line in _TABLE.strip().splitlines():
        if line.startswith(" "):
            name, _, types = line.strip().rpartition(" ")
            here[name] = _spelled_out(types)
        else:
            here = found.setdefault(line, {})
    return found


INTERFACES: Final[Mapping[str, Mapping[str, str]]] = _interfaces()
"""Types of functions, as `kinds.Signature` writes them, by interface (`io/poll`) and name."""

RESOURCES: Final = (
    "error", "pollable", "input-stream", "output-stream", "terminal-input", "terminal-output", "descriptor",
    "directory-entry-stream", "network", "tcp-socket", "udp-socket", "incoming-datagram-stream",
    "outgoing-datagram-stream", "resolve-address-stream",
)  # fmt: skip
"""Of the host."""
NUMBERS: Final[Mapping[str, int]] = {name: number for number, name in enumerate(RESOURCES, 1)}
"""What wasmtime tells them apart by."""


def interface_of(name: str) -> str | None:
    """Return an interface without package prefix and version; None when it is none that is served.

    Args:
        name: As a component imports it, like `wasi:io/poll@0.2.3`.
    """
    found = VERSION.fullmatch(name)
    if found is None:
        return None
    interface = found[1]
    return interface if interface in INTERFACES or interface.startswith(SOCKETS) else None
