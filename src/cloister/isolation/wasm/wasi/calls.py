"""The functions of WASI preview 1 as a guest imports them.

Owns their names and types, and what is made of what happens in them: every function answers with a number of WASI's;
what ends the guest instead is raised. The functions themselves are in `basic_calls`, `file_calls` and `path_calls`.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from cloister.isolation.wasm.store import HostFunction, Imports
from cloister.isolation.wasm.wasi import abi
from cloister.isolation.wasm.wasi.abi import refusal
from cloister.isolation.wasm.wasi.answering import answered
from cloister.isolation.wasm.wasi.basic_calls import BasicCalls
from cloister.isolation.wasm.wasi.file_calls import FileCalls
from cloister.isolation.wasm.wasi.path_calls import PathCalls

_SIGNATURES: Final[Mapping[str, str]] = {
    "args_get": "ii", "args_sizes_get": "ii", "environ_get": "ii", "environ_sizes_get": "ii",
    "clock_res_get": "ii", "clock_time_get": "iIi", "random_get": "ii", "poll_oneoff": "iiii", "sched_yield": "",
    "proc_exit": "i", "proc_raise": "i",
    "fd_advise": "iIIi", "fd_allocate": "iII", "fd_close": "i", "fd_datasync": "i", "fd_fdstat_get": "ii",
    "fd_fdstat_set_flags": "ii", "fd_fdstat_set_rights": "iII", "fd_filestat_get": "ii", "fd_filestat_set_size": "iI",
    "fd_filestat_set_times": "iIIi", "fd_pread": "iiiIi", "fd_prestat_dir_name": "iii", "fd_prestat_get": "ii",
    "fd_pwrite": "iiiIi", "fd_read": "iiii", "fd_readdir": "iiiIi", "fd_renumber": "ii", "fd_seek": "iIii",
    "fd_sync": "i", "fd_tell": "ii", "fd_write": "iiii",
    "path_create_directory": "iii", "path_filestat_get": "iiiii", "path_filestat_set_times": "iiiiIIi",
    "path_link": "iiiiiii", "path_open": "iiiiiIIii", "path_readlink": "iiiiii", "path_remove_directory": "iii",
    "path_rename": "iiiiii", "path_symlink": "iiiii", "path_unlink_file": "iii",
    "sock_accept": "iii", "sock_recv": "iiiiii", "sock_send": "iiiii", "sock_shutdown": "ii",
}  # fmt: skip
"""Parameters by name: `i` is 32 bits, `I` 64. All but `proc_exit` return a number of 32 bits."""
_TYPES: Final = {"i": "i32", "I": "i64"}
_MASKS: Final = {"i": 2**32 - 1, "I": 2**64 - 1}

FUNCTIONS: Final = frozenset((abi.MODULE, name) for name in _SIGNATURES)
"""Module and name of everything here that may be imported."""


def functions_of(*parts: BasicCalls | FileCalls | PathCalls) -> Imports:
    """Return all functions, by module and name.

    Args:
        parts: One of each kind, which have a method for each function but those of sockets, of which there are none.
    """
    return {(abi.MODULE, name): _function(name, types, parts) for name, types in _SIGNATURES.items()}


def _function(name: str, types: str, parts: tuple[object, ...]) -> HostFunction:
    method: Callable[..., None] = _no_socket
    if not name.startswith("sock_"):
        [method] = [getattr(part, name) for part in parts if hasattr(part, name)]
    return HostFunction(
        parameters=tuple(_TYPES[each] for each in types),
        results=() if name == "proc_exit" else ("i32",),
        act=partial(answered, method, tuple(_MASKS[each] for each in types)),
    )


def _no_socket(*_: object) -> None:
    raise refusal(errno.ENOTSOCK)
