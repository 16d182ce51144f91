"""Which functions of the runtime do the builtins on text; Python data, not dialect."""

from __future__ import annotations

from typing import Final

from cloister.lang.wasm_engine.runtime.native import Native

_WORDS: Final = {
    ("str", 0): "str_none", ("str", 1): "str_one", ("str", 2): "str_two", ("str", 3): "str_three",
    ("str", 4): "str_four", ("join", 2): "join_texts", ("string-join", 2): "join_texts",
    ("substring", 2): "substring_from", ("substring", 3): "substring", ("subs", 2): "substring_from",
    ("subs", 3): "substring", ("split", 2): "text_split", ("split", 3): "text_split_some",
    ("split-lines", 1): "text_lines", ("lines", 1): "text_lines", ("replace", 3): "text_replace",
    ("string-replace", 3): "text_replace", ("string-repeat", 2): "text_repeat", ("pad-left", 2): "pad_left",
    ("pad-left", 3): "pad_left_with", ("pad-right", 2): "pad_right", ("pad-right", 3): "pad_right_with",
    ("char", 1): "char_of_code", ("index-of", 3): "text_index_from", ("last-index-of", 2): "text_last_index",
    ("string-upper", 1): "text_upper", ("upper", 1): "text_upper", ("upper-case", 1): "text_upper",
    ("string-lower", 1): "text_lower", ("lower", 1): "text_lower", ("lower-case", 1): "text_lower",
    ("capitalize", 1): "text_capitalize", ("string-trim", 1): "text_trim", ("trim", 1): "text_trim",
    ("triml", 1): "text_trim_left", ("trim-left", 1): "text_trim_left", ("trimr", 1): "text_trim_right",
    ("trim-right", 1): "text_trim_right", ("parse-int", 1): "parse_integer", ("parse-float", 1): "parse_float",
    ("int", 1): "to_integer", ("float", 1): "to_float", ("index-of", 2): "text_index",
}  # fmt: skip
_TESTED: Final = {
    "string-contains": "text_contains", "string-contains?": "text_contains", "includes?": "text_contains",
    "starts-with?": "text_starts", "ends-with?": "text_ends",
}  # fmt: skip

NATIVES: Final[dict[tuple[str, int], Native]] = {
    **{(name, count): Native(function, "w" * count, "w") for (name, count), function in _WORDS.items()},
    **{(name, 2): Native(function, "ww", "c") for name, function in _TESTED.items()},
    ("blank?", 1): Native("text_blank", "w", "c"),
    ("string-length", 1): Native("text_length", "w", "i"),
    ("char-code", 1): Native("code_of_char", "w", "i"),
}
"""Natives by the name of the builtin and the number of arguments. `str` of more is `str_words` of words in a row."""
