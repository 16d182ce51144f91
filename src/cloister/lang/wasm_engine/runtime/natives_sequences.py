"""Which builtins on sequences there are natives for."""

from __future__ import annotations

from typing import Final

from cloister.lang.wasm_engine.runtime.native import Native

_WORDS: Final = {
    ("vector", 0): "do_vector0", ("vector", 1): "do_vector1", ("vector", 2): "do_vector2", ("vector", 3): "do_vector3",
    ("list", 0): "do_list0", ("list", 1): "do_list1", ("list", 2): "do_list2", ("list", 3): "do_list3",
    ("vec", 1): "do_vec", ("seq", 1): "do_seq", ("not-empty", 1): "do_not_empty", ("empty", 1): "do_empty",
    ("first", 1): "do_first", ("second", 1): "do_second", ("fnext", 1): "do_second", ("ffirst", 1): "do_ffirst",
    ("last", 1): "do_last", ("rest", 1): "do_rest", ("next", 1): "do_next", ("nthrest", 2): "do_nthrest",
    ("nth", 2): "do_nth2", ("nth", 3): "do_nth3", ("peek", 1): "do_peek", ("pop", 1): "do_pop",
    ("conj", 2): "do_conj2", ("conj", 3): "do_conj3", ("cons", 2): "do_cons",
    ("concat", 0): "do_vector0", ("concat", 1): "do_concat1", ("concat", 2): "do_concat2", ("concat", 3): "do_concat3",
    ("reverse", 1): "do_reverse", ("take", 2): "do_take", ("drop", 2): "do_drop", ("take-last", 2): "do_take_last",
    ("drop-last", 1): "do_drop_last1", ("drop-last", 2): "do_drop_last2", ("butlast", 1): "do_butlast",
    ("subvec", 2): "do_subvec2", ("subvec", 3): "do_subvec3", ("split-at", 2): "do_split_at",
    ("take-nth", 2): "do_take_nth", ("partition", 2): "do_partition2", ("partition", 3): "do_partition3",
    ("partition-all", 2): "do_partition2", ("partition-all", 3): "do_partition3",
    ("interleave", 0): "do_vector0", ("interleave", 2): "do_interleave2", ("interpose", 2): "do_interpose",
    ("flatten", 1): "do_flatten", ("repeat", 2): "do_repeat", ("cycle", 2): "do_cycle",
    ("range", 1): "do_range1", ("range", 2): "do_range2", ("range", 3): "do_range3", ("numbers", 2): "do_numbers",
    ("distinct", 1): "do_distinct", ("dedupe", 1): "do_dedupe", ("frequencies", 1): "do_frequencies",
    ("sort", 1): "do_sort1",
}  # fmt: skip

NATIVES: Final[dict[tuple[str, int], Native]] = {
    **{(name, count): Native(function, "w" * count, "w") for (name, count), function in _WORDS.items()},
    ("count", 1): Native("do_count", "w", "i"),
    ("length", 1): Native("do_length", "w", "i"),
    ("empty?", 1): Native("do_is_empty", "w", "c"),
    ("sort", 2): Native("do_sort2", "ww", "w", True),
}
"""By builtin and number of arguments."""
