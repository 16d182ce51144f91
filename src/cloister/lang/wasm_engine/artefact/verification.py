"""Whether a compiled plan is what it says.

Owns the comparison of three lists that must be one: the effects its core has, those it declares, and what its module
imports; and of a module with the one that its core compiles to. Each refusal names what disagrees.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from cloister.errors import InputError, quoted
from cloister.lang.effects import Effect, Known
from cloister.lang.printer import to_text
from cloister.lang.wasm_engine.artefact.manifest import DeclaredEffect, Manifest
from cloister.lang.wasm_engine.compiler.places import COMPUTED
from cloister.lang.wasm_engine.compiler.plan_module import CAPABILITY, RUNTIME
from cloister.lang.wasm_engine.runtime_module import runtime_support

ARGUMENT_CHARS_MAX: Final = 200
"""Longest text of an argument that is declared; a longer one is cut."""
_SHARED: Final = frozenset({"memory", "table", "error"})
"""What a plan imports of the runtime besides functions."""


def altered(problem: str, capability: str | None = None) -> InputError:
    """Return the error for a compiled plan that contradicts itself."""
    return InputError(
        f"the compiled plan was altered: {problem}; nothing of it was run",
        code="input.artefact-altered",
        hint="get it again from where it was compiled, or compile the plan again: cloister compile",
        details={} if capability is None else {"capability": capability},
    )


def declared(effects: Collection[Effect]) -> tuple[DeclaredEffect, ...]:
    """Return effects as they are declared."""
    return tuple(
        DeclaredEffect(
            capability=effect.capability_id,
            arguments=tuple(
                to_text(argument.value, ARGUMENT_CHARS_MAX) if isinstance(argument, Known) else None
                for argument in effect.arguments
            ),
            start=effect.start,
            end=effect.end,
        )
        for effect in effects
    )


def named(effects: Collection[Effect]) -> tuple[str, ...]:
    """Return the ids that effects name, sorted."""
    return tuple(sorted({each.capability_id for each in effects if each.capability_id not in {None, COMPUTED}}))


def is_computed(effects: Collection[Effect]) -> bool:
    """Say whether any effect has an id that only a run knows; the name of that import is no capability's, either."""
    return any(each.capability_id in {None, COMPUTED} for each in effects)


def check_declared(manifest: Manifest, effects: Collection[Effect]) -> None:
    """Accept what a plan declares when it is exactly what its core does.

    Raises:
        InputError: `input.artefact-altered`.
    """
    found = named(effects)
    _same(found, manifest.capabilities, "its core calls", "its section does not declare it")
    _same(manifest.capabilities, found, "its section declares", "its core never calls it")
    if manifest.is_computed != is_computed(effects):
        does, says = ("computes", "denies it") if is_computed(effects) else ("does not compute", "says so")
        raise altered(f"its core {does} ids of capabilities, and its section {says}", COMPUTED)
    derived = declared(effects)
    for ours, theirs in zip(derived, manifest.effects, strict=False):
        if ours != theirs:
            capability = theirs.capability or ours.capability
            shown = f"a call of {_shown(capability)}" if capability else "a call of a computed capability"
            raise altered(f"its section declares {shown} otherwise than it stands in its core", capability)
    if len(derived) != len(manifest.effects):
        raise altered(f"its section declares {len(manifest.effects)} calls, and its core has {len(derived)}")


def check_imports(manifest: Manifest, imports: Collection[tuple[str, str]], *, is_ours: bool) -> None:
    """Accept what a module imports when its capabilities are exactly the declared ones, and the rest the runtime's.

    Args:
        manifest: What is declared.
        imports: Module and name of each import.
        is_ours: Whether this very compiler made it, whose runtime has exactly known functions.

    Raises:
        InputError: `input.artefact-altered`.
    """
    known = runtime_support().signatures.keys() | _SHARED
    for module, name in imports:
        if module != CAPABILITY and (module != RUNTIME or (is_ours and name not in known)):
            raise altered(f"its module imports {quoted(module, 60)}.{quoted(name, 60)}, which no compiled plan does")
    found = {name for module, name in imports if module == CAPABILITY}
    allowed = {*manifest.capabilities, *((COMPUTED,) if manifest.is_computed else ())}
    _same(sorted(found), allowed, "its module imports", "its section does not declare it")
    _same(sorted(allowed), found, "its section declares", "its module does not import it")


def _same(these: Collection[str], those: Collection[str], does: str, lacks: str) -> None:
    for each in these:
        if each not in those:
            what = "computed capabilities" if each == COMPUTED else f"the capability {_shown(each)}"
            raise altered(f"{does} {what}, and {lacks}", each)


def _shown(capability: str) -> str:
    return f'"{quoted(capability, 80)}"'
