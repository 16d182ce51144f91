"""Builtins between names and text: keywords and symbols.

Owns which texts are names: those the reader would read back as one. Part of the guest set: standard library only.
"""

from __future__ import annotations

from typing import Final

from cloister.errors import GuestError, quoted
from cloister.lang.lexer import is_keyword_name, is_symbol_name
from cloister.lang.stdlib.builtin import Topic, argument_error, type_error
from cloister.lang.values import Keyword, Symbol, Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin

NAME_CHARS_MAX: Final = 1_024
"""Longest name that is made from text; keywords are kept as long as anybody holds one."""


def keyword_of(name: str) -> Keyword | None:
    """Return the keyword of a name; None when a keyword cannot have that name."""
    return Keyword(name) if len(name) <= NAME_CHARS_MAX and is_keyword_name(name) else None


def _name_of(operation: str, value: Value) -> str:
    if isinstance(value, (Keyword, Symbol)):
        return value.name
    if isinstance(value, str):
        return value
    raise type_error(operation, "keyword, symbol or string", value)


def _no_name(operation: str, name: str) -> GuestError:
    hint = "names start with a letter and hold letters, digits and - _ . / and the like, but no blanks"
    return argument_error(operation, f'"{quoted(name, 40)}" is not the name of a {operation}', hint)


@_builtin("name", 1, signature="(name x)", examples=('(name :a/b) ;=> "a/b"', '(name "s") ;=> "s"'))
def name(value: Value) -> Value:
    """Return the name of a keyword, without its colon, or of a symbol; a string is its own name."""
    return _name_of("name", value)


@_builtin("namespace", 1, signature="(namespace x)", examples=('(namespace :a/b) ;=> "a"', "(namespace :b) ;=> nil"))
def namespace(value: Value) -> Value:
    """Return what stands before the first slash of a name; nil when nothing does."""
    before, slash, _ = _name_of("namespace", value).partition("/")
    return before if slash and before else None


@_builtin(
    "keyword", 1, signature="(keyword x)", examples=('(keyword "a") ;=> :a', '(keyword "a b") ;!! guest.argument')
)
def keyword(value: Value) -> Value:
    """Return the keyword with the name of a string, symbol or keyword; the name has no colon."""
    if isinstance(value, Keyword):
        return value
    text = _name_of("keyword", value)
    made = keyword_of(text)
    if made is None:
        raise _no_name("keyword", text)
    return made


@_builtin("symbol", 1, signature="(symbol x)", examples=('(symbol "a") ;=> a', '(symbol "1") ;!! guest.argument'))
def symbol(value: Value) -> Value:
    """Return the symbol with the name of a string, keyword or symbol."""
    if isinstance(value, Symbol):
        return value
    text = _name_of("symbol", value)
    if len(text) > NAME_CHARS_MAX or not is_symbol_name(text):
        raise _no_name("symbol", text)
    return Symbol(text)
