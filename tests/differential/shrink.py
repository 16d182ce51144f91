"""Making a program that shows a difference as small as it gets.

Owns the ways to make a program smaller. It knows forms but no meaning: whatever still shows the difference is right,
and what is no program any more simply does not show it. A program is smaller when it has fewer nodes, then fewer
characters, then when it comes first in the order of texts, so that shrinking ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from tests.differential.forms_tree import Group, Tree, node_at, parse, paths, replaced, size, substituted, to_text

TRIES_MAX: Final = 4_000
"""Programs to try for one difference; a local minimum is usually reached after a few hundred."""
_ATOMS: Final = ("nil", "0", "1", '""', "[]", "{}", "true", ":a")


def shrink(text: str, shows: Callable[[str], bool], tries_max: int = TRIES_MAX) -> str:
    """Return a smallest program that still shows something.

    Args:
        text: A program that shows it.
        shows: Says whether a text does. It is never asked about the same text twice.
        tries_max: How often it may be asked.

    Returns:
        A program from which nothing can be cut in one of the ways known here; the text itself, when it is one. When
        `tries_max` was reached, the smallest found so far.
    """
    return _Shrinker(text, shows, tries_max).run()


def _measure(text: str, tree: Tree) -> tuple[int, int, str]:
    return size(tree), len(text), text


class _Shrinker:
    def __init__(self, text: str, shows: Callable[[str], bool], tries_max: int) -> None:
        self._shows = shows
        self._tries_left = tries_max
        self._tried = {text}
        self._text = text
        self._tree: Tree = parse(text)
        self._smallest = (size(self._tree) + 1, len(text), text)  # spelling it anew is a first step
        self._takes(self._tree)

    def run(self) -> str:
        before = ""
        while before != self._text and self._tries_left > 0:
            before = self._text
            self._pass()
        return self._text

    def _pass(self) -> None:
        """Try everything at every place once, and stay at a place as long as it helps."""
        position = 0
        while position < len(places := list(paths(self._tree))) and self._tries_left > 0:
            path = places[position]
            if not any(self._takes(replaced(self._tree, path, node)) for node in smaller(node_at(self._tree, path))):
                position += 1

    def _takes(self, tree: Tree) -> bool:
        text = to_text(tree)
        if text in self._tried or self._tries_left <= 0:
            return False
        measure = _measure(text, tree)
        if measure >= self._smallest:
            return False
        self._tried.add(text)
        self._tries_left -= 1
        if not self._shows(text):
            return False
        self._text, self._tree, self._smallest = text, tree, measure
        return True


def smaller(node: Tree) -> Iterator[Tree]:
    """Yield what might stand in place of a node, what promises most first."""
    if isinstance(node, str):
        yield from _smaller_words(node)
        return
    yield from _ATOMS
    yield from _inner(node)
    yield from _shorter(node)
    yield from _inlined(node)
    if len(node.opener) > 1:
        yield Group(node.opener[-1], node.children)


def _inner(node: Group) -> Iterator[Tree]:
    """Yield what is inside, the outermost first, and bodies before heads."""
    level: list[Tree] = [node]
    for _ in range(3):
        level = [child for each in level if isinstance(each, Group) for child in reversed(each.children)]
        yield from level


def _shorter(node: Group) -> Iterator[Tree]:
    """Yield the group without some of its children: half of them, then fewer, pairs and single ones at last."""
    count = len(node.children)
    length = count // 2
    while length >= 1:
        for start in range(count - length, -1, -1):
            yield Group(node.opener, (*node.children[:start], *node.children[start + length :]))
        length = length // 2 if length > 3 else length - 1


def _inlined(node: Group) -> Iterator[Tree]:
    """Yield the form without one of its bindings, whose name stands for its value."""
    if len(node.children) < 3 or not isinstance(bindings := node.children[1], Group):
        return
    if node.children[0] not in ("let", "loop", "if-let", "when-let", "for") or bindings.opener != "[":
        return
    for at in range(0, len(bindings.children) - 1, 2):
        name, value = bindings.children[at : at + 2]
        if isinstance(name, str):
            kept = (*bindings.children[:at], *bindings.children[at + 2 :])
            inner = Group("", (Group("[", kept), *node.children[2:]))
            changed = substituted(inner, name, value)
            if isinstance(changed, Group):
                yield Group(node.opener, (node.children[0], *changed.children))


def _smaller_words(word: str) -> Iterator[Tree]:
    yield from _ATOMS
    stripped = word.lstrip("'`~^@")
    if stripped != word and stripped:
        yield stripped
    if word.startswith('"') and len(word) > 2:
        yield f'{word[: len(word) // 2]}"'
        yield from (f"{word[:at]}{word[at + 1 :]}" for at in range(1, len(word) - 1))
    number = word.removeprefix("-")
    if number.isascii() and number.isdecimal():
        value = int(number)
        yield from (str(each) for each in (2, -1, value, value // 2, value - 1) if str(each) != word)
        yield from (str(int(f"{number[:at]}{number[at + 1 :]}" or 0)) for at in range(len(number)))
    elif number.replace(".", "").isdecimal():
        yield from ("0.0", "1.0", "0.5", number)
