"""How programs are laid out, by example; what holds for all programs is in `tests/property/test_format.py`."""

from __future__ import annotations

import pytest

from cloister.errors import ReadError
from cloister.lang.formatter.format import format_text

LAYOUTS = {
    "a short form stays on its line": ("(a  b   [1,2])", "(a b [1, 2])\n"),
    "a line break stays": ("(f a\nb)", "(f a\n   b)\n"),
    "arguments stand under the first one": ("(f a\n b\n  (g c\nd))", "(f a\n   b\n   (g c\n      d))\n"),
    "without an argument beside the name they are two columns in": ("(f\na\nb)", "(f\n  a\n  b)\n"),
    "a body is two columns in": ("(defn f [x]\n(g x)\n    x)", "(defn f [x]\n  (g x)\n  x)\n"),
    "a form named like a definition has a body": ("(defthing f\nx)", "(defthing f\n  x)\n"),
    "closers do not stand alone": ("(f\n a\n)\n", "(f\n  a)\n"),
    "openers do not stand alone": ("[\n 1\n 2]", "[1\n 2]\n"),
    "vectors are aligned inside": ("[a\nb\n [c\nd]]", "[a\n b\n [c\n  d]]\n"),
    "entries of a map are aligned inside": ("{:a 1\n:b {:c 2\n:d 3}}", "{:a 1\n :b {:c 2\n     :d 3}}\n"),
    "a value on a line of its own is deeper than its key": ("{:a\n1\n:b 2}", "{:a\n   1\n :b 2}\n"),
    "bindings are in pairs": ("(let [a\n1\nb 2]\na)", "(let [a\n        1\n      b 2]\n  a)\n"),
    "clauses are in pairs": ("(cond\na\nb\nc d)", "(cond\n  a\n    b\n  c d)\n"),
    "aligned values are aligned again": ("{:a    1\n:bcd 2}", "{:a   1\n :bcd 2}\n"),
    "aligned bindings with commas": ("(let [a,   1\n   bcd, 2]\n a)", "(let [a,   1\n      bcd, 2]\n  a)\n"),
    "values that are not aligned stay so": ("{:a 1\n:bcd 2}", "{:a 1\n :bcd 2}\n"),
    "one blank line stays": ("a\n\n\n\nb\nc", "a\n\nb\nc\n"),
    "blank lines inside": ("(do\n\na\n\n\nb\n\n)", "(do\n\n  a\n\n  b)\n"),
    "forms on one line stay there": ("(a)(b) c", "(a) (b) c\n"),
    "a line comment ends its line": ("(f a ; why\nb)", "(f a ; why\n   b)\n"),
    "a comment as the last thing": ("(f a\n; end\n)", "(f a\n   ; end\n   )\n"),
    "aligned comments stay where they are": ("(a)   ; one\n(bcd) ; two", "(a)   ; one\n(bcd) ; two\n"),
    "comments stand where forms would": ("(let [a 1]\n; why\na)", "(let [a 1]\n  ; why\n  a)\n"),
    "blanks at the end of comments go": ("; a  \n(b)", "; a\n(b)\n"),
    "block comments": ("(f #| x |# a\n#| y\n z |#\nb)", "(f #| x |# a\n   #| y\n z |#\n   b)\n"),
    "a comment after a prefix moves before it": ("(f ' ; why\nx)", "(f ; why\n  'x)\n"),
    "sugar stays": ("'( a ) `(b ~c ~@d) #( + % 1 )  @x @:y", "'(a) `(b ~c ~@d) #(+ % 1) @x @:y\n"),
    "an unquoted context value stays one": ("`(a ~ @b)", "`(a ~ @b)\n"),
    "metadata": ("(defn ^{:a  1}   f [x]\nx)", "(defn ^{:a 1} f [x]\n  x)\n"),
    "types against names and brackets": (
        "(let [x:int  1 y :[:vector  :int] z : int z:[:vector :int]? 2] x)",
        "(let [x:int 1 y :[:vector :int] z : int z:[:vector :int]? 2] x)\n",
    ),
    "numbers and strings are kept as written": ('[+5 007 1.50 "a\tb\n c" ##Inf]', '[+5 007 1.50 "a\tb\n c" ##Inf]\n'),
    "Windows line breaks": ("(f a\r\n b)\r\n", "(f a\n   b)\n"),
    "a byte order mark goes": ("\ufeff(a)", "(a)\n"),
    "nothing": (" \n\n", ""),
    "only a comment": ("\n; a", "; a\n"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layout(name: str) -> None:
    text, formatted = LAYOUTS[name]
    assert format_text(text) == formatted
    assert format_text(formatted) == formatted


LONG = "(some-name " + " ".join(f"argument-{number}" for number in range(4)) + ")"
BROKEN = {
    "a call": (f"(call {LONG} {LONG} {LONG})", f"(call {LONG}\n      {LONG}\n      {LONG})\n"),
    "a call whose name takes the space": (
        f"({'a-long-name' * 5} {LONG} {LONG})",
        f"({'a-long-name' * 5}\n  {LONG}\n  {LONG})\n",
    ),
    "a definition": (
        f'(defn f "Says what." [x] :int {LONG} {LONG})',
        f'(defn f\n  "Says what."\n  [x]\n  :int\n  {LONG}\n  {LONG})\n',
    ),
    "a definition keeps its parameters on the first line": (
        f"(defn f [x] :int {LONG} {LONG})",
        f"(defn f [x] :int\n  {LONG}\n  {LONG})\n",
    ),
    "a map": (f"{{:a {LONG}, :b {LONG}}}", f"{{:a {LONG},\n :b {LONG}}}\n"),
    "bindings": (f"(let [a {LONG} b {LONG}] a)", f"(let [a {LONG}\n      b {LONG}]\n  a)\n"),
    "clauses": (f"(cond a {LONG} :else {LONG} b)", f"(cond\n  a {LONG}\n  :else {LONG}\n  b)\n"),
    "guarded clauses": (f"(match x a when b {LONG} _ {LONG})", f"(match x\n  a when b {LONG}\n  _ {LONG})\n"),
    "words fill lines": (
        "[" + " ".join(["abcdefghi"] * 12) + "]",
        "[" + " ".join(["abcdefghi"] * 10) + "\n " + " ".join(["abcdefghi"] * 2) + "]\n",
    ),
    "what follows on the last line counts": (f"(f (g {'x' * 90} y))", f"(f (g {'x' * 90} y))\n"),
    "what follows on the last line makes it too long": (f"(f (g {'x' * 91} y))", f"(f (g {'x' * 91}\n      y))\n"),
    "values are not aligned where a key is broken": (
        f"({'h' * 60} {{[{'a' * 20} {'b' * 20}]    1\n:b 2}})",
        f"({'h' * 60} {{[{'a' * 20}\n{' ' * 64}{'b' * 20}] 1\n{' ' * 63}:b 2}})\n",
    ),
    "a word is never broken": (f"(f {'x' * 200})", f"(f {'x' * 200})\n"),
    "a trailing comment does not count": (f"{LONG} ; {'x' * 100}", f"{LONG} ; {'x' * 100}\n"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_long_lines_are_broken(name: str) -> None:
    text, formatted = BROKEN[name]
    assert format_text(text) == formatted
    assert format_text(formatted) == formatted


def test_a_text_that_does_not_read_is_refused() -> None:
    with pytest.raises(ReadError) as caught:
        format_text("(a", "plan.rtfs")
    assert str(caught.value.span) == "plan.rtfs:1:1"


def test_the_deepest_nesting_is_formatted() -> None:
    text = "(a " * 200 + ")" * 200
    assert format_text(format_text(text)) == format_text(text)
