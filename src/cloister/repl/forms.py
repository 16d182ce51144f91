"""What the forms of a conversation are, as far as their shape tells: code that is kept as text, or something computed.

Owns the questions about one form. Must not compile anything; handles forms of text that may be hostile.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from cloister.editor.scan import tokens
from cloister.lang.forms import Form, ListForm, SymbolForm, VectorForm
from cloister.lang.special_forms.form import unwrap_metadata

CODE: Final = frozenset({"defn", "defmacro", "defstruct", "deftype", "import", "module"})
"""Forms that are kept as their text."""
ALWAYS: Final = CODE - {"defn"}
"""What an input may use without mentioning the name under which it was defined."""
_FUNCTIONS: Final = frozenset({"fn", "λ"})


def flattened(forms: Sequence[Form]) -> list[Form]:
    """Return the forms of the top level, those inside `do` instead of the `do`: they define in the same place."""
    found: list[Form] = []
    pending = list(reversed(forms))
    while pending:
        form = pending.pop()
        if isinstance(form, ListForm) and head_of(form) == "do" and len(form.items) > 1:
            pending.extend(reversed(form.items[1:]))
        else:
            found.append(form)
    return found


def text_of(text: str, forms: Sequence[Form]) -> str:
    """Return a text of the same length with blanks for everything that is not in these forms."""
    parts: list[str] = []
    end = 0
    for form in forms:
        parts += [" " * (form.start - end), text[form.start : form.end]]
        end = form.end
    return "".join((*parts, " " * (len(text) - end)))


def words(text: str) -> Iterator[str]:
    """Yield the words of a text, and the parts of those that are made of several names."""
    for token in tokens(text):
        if token.kind == "word":
            yield token.text
            for part in token.text.replace(":", " ").replace("@", " ").replace("/", " ").split():
                yield part
                yield part.strip(".#?")


def head_of(form: Form) -> str | None:
    """Return the name a list begins with; None for anything else."""
    head = form.items[0] if isinstance(form, ListForm) and form.items else None
    return head.name if isinstance(head, SymbolForm) else None


def names_of(form: Form) -> tuple[str, ...]:
    """Return the names under which what a form defines is known."""
    if not isinstance(form, ListForm) or len(form.items) < 2:
        return ()
    if head_of(form) != "import":
        name = unwrap_metadata(form.items[1])
        return (name.name,) if isinstance(name, SymbolForm) else ()
    last = form.items[-1]
    if isinstance(last, VectorForm):
        return tuple(item.name for item in chosen_names(form))
    return (f"{last.name}/",) if isinstance(last, SymbolForm) else ()  # the name itself, or :as short


def chosen_names(form: Form) -> tuple[SymbolForm, ...]:
    """Return the names of an import with `:only`; none for any other form."""
    last = form.items[-1] if isinstance(form, ListForm) and head_of(form) == "import" else None
    return tuple(item for item in last.items if isinstance(item, SymbolForm)) if isinstance(last, VectorForm) else ()


def certain_names(form: Form) -> tuple[str, ...]:
    """Return the names that are defined whenever a form was evaluated; of a `def` its own, not those in its value."""
    return names_of(form) if head_of(form) == "def" else ()


def only_defines(form: Form) -> bool:
    """Say whether a form is one of those that are kept as their text, so that its value says nothing."""
    return head_of(form) in CODE


def is_code(form: Form) -> bool:
    """Say whether a form only defines code: keeping its text keeps its meaning, and running it again costs nothing."""
    if only_defines(form):
        return True
    return head_of(form) == "def" and isinstance(form, ListForm) and head_of(form.items[-1]) in _FUNCTIONS
