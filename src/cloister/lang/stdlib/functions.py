"""Builtins that make functions of functions, and call them.

Owns `apply` and the classes of the functions made here. A keyword is accepted wherever a function is. Part of the guest
set: standard library only.

Source: language reference, section 6.5; names and argument order beyond it are Clojure's.
"""

from __future__ import annotations

from itertools import chain
from typing import Final

from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import PythonFunction, Topic, as_callable, type_error
from cloister.lang.stdlib.comparison import is_truthy
from cloister.lang.values import Function, Map, Value, settled

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


@_builtin(
    "apply",
    2,
    None,
    signature="(apply f & arguments coll)",
    needs_call=True,
    examples=("(apply + 1 [2 3]) ;=> 6", '(apply str "abc") ;=> "abc"', "(apply vector {:a 1}) ;=> [:a 1]"),
)
def apply(function: Value, *arguments: Value) -> Value:
    """Call a function with the given arguments and then all elements of the last one.

    A map gives its keys and values in turn, a string its characters, nil nothing.
    """
    call = as_callable(function, "apply")
    spread = _spread(arguments[-1])
    current().charge_elements(len(spread) + len(arguments))
    return call(*arguments[:-1], *spread)


def _spread(collection: Value) -> tuple[Value, ...] | str:
    if collection is None:
        return ()
    plain = settled(collection)
    if isinstance(plain, (tuple, str)):
        return plain
    if isinstance(plain, Map):
        current().charge_elements(2 * len(plain))
        return tuple(chain.from_iterable(plain.items()))
    raise type_error("apply", "vector, list, map, string or nil", collection)


@_builtin("identity", 1, signature="(identity x)", examples=("(identity 5) ;=> 5",))
def identity(value: Value) -> Value:
    """Return the argument."""
    return value


class _Made(Function):
    """A function that one of these builtins made of others.

    Attributes:
        functions: What it calls; at least one.
    """

    __slots__ = ("functions",)

    def __init__(self, functions: tuple[PythonFunction, ...]) -> None:
        self.functions = functions


class Composition(_Made):
    """The function `comp` makes: the last function gets the arguments, each before it the result."""

    __slots__ = ()

    def __call__(self, *arguments: Value) -> Value:
        """Call the functions, innermost first."""
        current().charge_steps(len(self.functions))
        *outer, innermost = self.functions
        result = innermost(*arguments)
        for function in reversed(outer):
            result = function(result)
        return result


class Partial(_Made):
    """The function `partial` makes: a function with its first arguments already given.

    Attributes:
        arguments: The arguments that are given.
    """

    __slots__ = ("arguments",)

    def __init__(self, function: PythonFunction, arguments: tuple[Value, ...]) -> None:
        super().__init__((function,))
        self.arguments = arguments

    def __call__(self, *more: Value) -> Value:
        """Call the function with the given arguments and then `more`."""
        current().charge_steps(1 + len(self.arguments))
        return self.functions[0](*self.arguments, *more)


class Complement(_Made):
    """The function `complement` makes: true where the other gives false or nil."""

    __slots__ = ()

    def __call__(self, *arguments: Value) -> Value:
        """Call the function and turn its answer round."""
        current().charge_steps(1)
        return not is_truthy(self.functions[0](*arguments))


class Constantly(Function):
    """The function `constantly` makes: always the same value.

    Attributes:
        value: The value.
    """

    __slots__ = ("value",)

    def __init__(self, value: Value) -> None:
        self.value = value

    def __call__(self, *_arguments: Value) -> Value:
        """Return the value, whatever the arguments are."""
        current().charge_steps(1)
        return self.value


class Juxtaposition(_Made):
    """The function `juxt` makes: the vector of what each function gives."""

    __slots__ = ()

    def __call__(self, *arguments: Value) -> Value:
        """Call all functions with the same arguments."""
        current().charge_elements(len(self.functions))
        return tuple([function(*arguments) for function in self.functions])


class Patched(_Made):
    """The function `fnil` makes: nil as one of the first arguments is replaced.

    Attributes:
        defaults: What replaces nil, by position.
    """

    __slots__ = ("defaults",)

    def __init__(self, function: PythonFunction, defaults: tuple[Value, ...]) -> None:
        super().__init__((function,))
        self.defaults = defaults

    def __call__(self, *arguments: Value) -> Value:
        """Call the function with the defaults in the places of nil."""
        current().charge_steps(1)
        given = [default if value is None else value for value, default in zip(arguments, self.defaults, strict=False)]
        return self.functions[0](*given, *arguments[len(given) :])


class EveryPredicate(_Made):
    """The function `every-pred` makes: whether all predicates hold for all arguments."""

    __slots__ = ()

    def __call__(self, *arguments: Value) -> Value:
        """Ask the predicates until one says no."""
        current().charge_steps(len(self.functions) * len(arguments))
        return all(is_truthy(function(value)) for value in arguments for function in self.functions)


class SomeFunction(_Made):
    """The function `some-fn` makes: the first answer that is neither false nor nil."""

    __slots__ = ()

    def __call__(self, *arguments: Value) -> Value:
        """Ask the functions until one has an answer."""
        current().charge_steps(len(self.functions) * len(arguments))
        answers = (function(value) for value in arguments for function in self.functions)
        return next((answer for answer in answers if is_truthy(answer)), None)


def _callables(operation: str, functions: tuple[Value, ...]) -> tuple[PythonFunction, ...]:
    return tuple(as_callable(function, operation) for function in functions)


@_builtin("comp", 0, None, signature="(comp & functions)", needs_call=True, examples=("((comp inc abs) -5) ;=> 6",))
def compose(*functions: Value) -> Value:
    """Return the function that calls the given ones from the last to the first, each with the result before it."""
    return Composition(_callables("comp", functions) or (identity,))


@_builtin(
    "partial", 1, None, signature="(partial f & arguments)", needs_call=True, examples=("((partial + 1 2) 3) ;=> 6",)
)
def partial(function: Value, *arguments: Value) -> Value:
    """Return the function with its first arguments already given."""
    return Partial(as_callable(function, "partial"), arguments)


@_builtin(
    "complement",
    1,
    signature="(complement f)",
    needs_call=True,
    examples=("(filter (complement even?) [1 2 3]) ;=> [1 3]",),
)
def complement(function: Value) -> Value:
    """Return the function that gives true where the given one gives false or nil, and false elsewhere."""
    return Complement(_callables("complement", (function,)))


@_builtin("constantly", 1, signature="(constantly x)", examples=("(map (constantly 0) [1 2]) ;=> [0 0]",))
def constantly(value: Value) -> Value:
    """Return the function that gives the same value for any arguments."""
    return Constantly(value)


@_builtin("juxt", 1, None, signature="(juxt f & more)", needs_call=True, examples=("((juxt inc dec) 5) ;=> [6 4]",))
def juxtapose(*functions: Value) -> Value:
    """Return the function that gives the vector of what each of the given ones gives."""
    return Juxtaposition(_callables("juxt", functions))


@_builtin(
    "fnil",
    2,
    None,
    signature="(fnil f & defaults)",
    needs_call=True,
    examples=("(update {} :n (fnil inc 0)) ;=> {:n 1}",),
)
def replace_nil(function: Value, *defaults: Value) -> Value:
    """Return the function that gets a default wherever one of its first arguments is nil."""
    return Patched(as_callable(function, "fnil"), defaults)


@_builtin(
    "every-pred",
    1,
    None,
    signature="(every-pred pred & more)",
    needs_call=True,
    examples=("(filter (every-pred pos? even?) [-2 1 2]) ;=> [2]",),
)
def every_predicate(*predicates: Value) -> Value:
    """Return the function that says whether all predicates hold for all its arguments."""
    return EveryPredicate(_callables("every-pred", predicates))


@_builtin(
    "some-fn",
    1,
    None,
    signature="(some-fn f & more)",
    needs_call=True,
    examples=("((some-fn :a :b) {:b 2}) ;=> 2",),
)
def some_function(*functions: Value) -> Value:
    """Return the function that gives the first answer of the given ones that is neither false nor nil; else nil."""
    return SomeFunction(_callables("some-fn", functions))
