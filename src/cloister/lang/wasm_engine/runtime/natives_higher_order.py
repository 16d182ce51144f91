"""Which builtins that take functions there are natives for."""

from __future__ import annotations

from typing import Final

from cloister.lang.wasm_engine.runtime.native import Native

_CALLING: Final = {
    ("map", 2): "do_map2", ("map", 3): "do_map3", ("map", 4): "do_map4",
    ("mapv", 2): "do_map2", ("mapv", 3): "do_map3", ("mapv", 4): "do_map4",
    ("map-indexed", 2): "do_map_indexed", ("mapcat", 2): "do_mapcat", ("filter", 2): "do_filter",
    ("filterv", 2): "do_filter", ("remove", 2): "do_remove", ("keep", 2): "do_keep",
    ("keep-indexed", 2): "do_keep_indexed", ("run!", 2): "do_run", ("repeatedly", 2): "do_repeatedly",
    ("iterate", 3): "do_iterate", ("reduce", 2): "do_reduce2", ("reduce", 3): "do_reduce3",
    ("reductions", 2): "do_reductions2", ("reductions", 3): "do_reductions3", ("some", 2): "do_some",
    ("take-while", 2): "do_take_while", ("drop-while", 2): "do_drop_while", ("split-with", 2): "do_split_with",
    ("partition-by", 2): "do_partition_by", ("group-by", 2): "do_group_by", ("sort-by", 2): "do_sort_by2",
    ("sort-by", 3): "do_sort_by3", ("apply", 2): "do_apply2", ("apply", 3): "do_apply3", ("apply", 4): "do_apply4",
}  # fmt: skip

_TESTING: Final = {
    "every?": "do_every", "not-every?": "do_not_every", "some?": "do_has_some", "not-any?": "do_not_any",
}  # fmt: skip

_MAKING: Final = {
    ("partial", 1): "do_partial1", ("partial", 2): "do_partial2", ("partial", 3): "do_partial3",
    ("complement", 1): "do_complement", ("constantly", 1): "do_constantly",
    ("comp", 1): "do_comp1", ("comp", 2): "do_comp2", ("comp", 3): "do_comp3",
    ("fnil", 2): "do_fnil2", ("fnil", 3): "do_fnil3", ("every-pred", 1): "do_every_pred1",
    ("every-pred", 2): "do_every_pred2", ("every-pred", 3): "do_every_pred3", ("some-fn", 1): "do_some_fn1",
    ("some-fn", 2): "do_some_fn2", ("some-fn", 3): "do_some_fn3",
    ("juxt", 1): "do_juxt1", ("juxt", 2): "do_juxt2", ("juxt", 3): "do_juxt3",
}  # fmt: skip

NATIVES: Final[dict[tuple[str, int], Native]] = {
    **{(name, count): Native(function, "w" * count, "w", True) for (name, count), function in _CALLING.items()},
    **{(name, 2): Native(function, "ww", "c", True) for name, function in _TESTING.items()},
    **{(name, count): Native(function, "w" * count, "w") for (name, count), function in _MAKING.items()},
    ("some?", 1): Native("do_is_some", "w", "c"),
}
"""By builtin and number of arguments."""
