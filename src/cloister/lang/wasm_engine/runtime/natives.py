"""All natives: which functions of the runtime do what builtins do. Python data, not dialect."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloister.lang.wasm_engine.runtime.native import Native

NATIVES: Final[Mapping[tuple[str, int], Native]] = {}
"""By the name of the builtin and the number of arguments."""
