"""The one place that imports wasmtime.

Owns when it is loaded (on first use), what is said when it is missing, and the two handles through which everything
else of this package reaches it. Must not run anything.
"""

from __future__ import annotations

import ctypes
import functools
import importlib.metadata
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Final

from cloister.errors import ProviderUnavailable

EXTRA: Final = "pip install 'cloister[wasm]'"
"""The command that installs what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """wasmtime as it is installed.

    Attributes:
        version: Of the package; compiled code is of use to no other.
        api: The package.
        components: Its part for components.
        ffi: Its C functions, through ctypes, under their names in wasmtime's C headers.
        memory_address: `wasmtime_memory_data` as a number, which the package gives as a pointer object.
        find_export: `wasmtime_instance_export_get`. The package's own handle checks the types of pointers, which takes
            longer than finding: give it exactly what the C header says.
    """

    version: str
    api: ModuleType
    components: ModuleType
    ffi: Any
    memory_address: Any
    find_export: Any


@functools.cache
def binding() -> Binding:
    """Return wasmtime, loading it when nobody has yet.

    Raises:
        ProviderUnavailable: It is not installed, or not made for this machine.
    """
    try:
        import wasmtime  # noqa: PLC0415 - an extra, loaded when it is used
        from wasmtime import _ffi as ffi  # noqa: PLC0415
        from wasmtime import component as components  # noqa: PLC0415
    except (ImportError, OSError, RuntimeError) as error:  # it raises RuntimeError on processors it has no library for
        raise ProviderUnavailable(
            f"the wasm provider needs wasmtime, which cannot be loaded here: {error}", hint=EXTRA
        ) from error
    address = ffi.dll["wasmtime_memory_data"]  # a handle of our own: the package's keeps its types
    address.restype, address.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_void_p]
    find = ffi.dll["wasmtime_instance_export_get"]
    find.restype = ctypes.c_bool
    find.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_void_p]
    return Binding(
        version=importlib.metadata.version("wasmtime"),
        api=wasmtime,
        components=components,
        ffi=ffi,
        memory_address=address,
        find_export=find,
    )
