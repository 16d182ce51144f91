"""Which builtins on maps, and on single places of collections, there are natives for."""

from __future__ import annotations

from typing import Final

from cloister.lang.wasm_engine.runtime.native import Native

_WORDS: Final = {
    ("get", 2): "do_get2", ("get", 3): "do_get3", ("get-in", 2): "do_get_in2", ("get-in", 3): "do_get_in3",
    ("find", 2): "do_find", ("assoc", 3): "do_assoc3", ("assoc", 5): "do_assoc5", ("assoc-in", 3): "do_assoc_in",
    ("dissoc", 2): "do_dissoc2", ("dissoc", 3): "do_dissoc3",
    ("hash-map", 0): "do_hash_map0", ("hash-map", 2): "do_hash_map2", ("hash-map", 4): "do_hash_map4",
    ("array-map", 0): "do_hash_map0", ("array-map", 2): "do_hash_map2", ("array-map", 4): "do_hash_map4",
    ("merge", 1): "do_merge1", ("merge", 2): "do_merge2", ("merge", 3): "do_merge3",
    ("keys", 1): "do_keys", ("vals", 1): "do_vals", ("key", 1): "do_key", ("val", 1): "do_val",
    ("select-keys", 2): "do_select_keys", ("rename-keys", 2): "do_rename_keys", ("zipmap", 2): "do_zipmap",
    ("into", 2): "do_into", ("map-invert", 1): "do_map_invert",
}  # fmt: skip

_CALLING: Final = {
    ("update", 3): "do_update3", ("update", 4): "do_update4", ("update", 5): "do_update5",
    ("update-in", 3): "do_update_in3", ("update-in", 4): "do_update_in4", ("update-vals", 2): "do_update_vals",
    ("update-keys", 2): "do_update_keys", ("merge-with", 3): "do_merge_with3", ("reduce-kv", 3): "do_reduce_kv",
}  # fmt: skip

NATIVES: Final[dict[tuple[str, int], Native]] = {
    **{(name, count): Native(function, "w" * count, "w") for (name, count), function in _WORDS.items()},
    **{(name, count): Native(function, "w" * count, "w", True) for (name, count), function in _CALLING.items()},
    ("contains?", 2): Native("do_contains", "ww", "c"),
}
"""By builtin and number of arguments."""
