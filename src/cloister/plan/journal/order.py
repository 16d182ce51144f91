"""What a run was ordered to do, complete enough to do it again in another process.

Owns the plain form that the journal keeps: the plan with its modules, the inputs, the grants, the policies and the
provider. Its digest stands in the signed record of the run's start, so that an order that was changed in the journal is
refused. Values of granted variables are not kept, for they are secrets often enough: a digest of them is, and whoever
resumes the run gives them again.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.authority.context import RuntimeContext
from cloister.canonical import encode as canonical
from cloister.canonical import sha256_hex
from cloister.errors import CloisterError, JournalError, PlanError, quoted
from cloister.isolation.provider import WireValue
from cloister.lang.modules import GivenModules
from cloister.lang.program import Program, compile_program
from cloister.lang.source import ModuleText, Source
from cloister.plan.journal.store import packed
from cloister.plan.terms import RunTerms

SALT_BYTES: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOrder:
    """An order.

    Attributes:
        program: The plan.
        inputs: Its inputs as wire values.
        context: What it may do.
        provider: Name of the provider.
        expected: Digests that its provider must have measured, by part.
        policies: Digests of what else decides, by what it is: the constitution.
        terms: How far it may go by itself, and what it may spend.
        salt: Goes into the digest of the variables.
    """

    program: Program
    inputs: Mapping[str, WireValue]
    context: RuntimeContext
    provider: str
    expected: Mapping[str, str | None] = field(default_factory=dict)
    policies: Mapping[str, Any] = field(default_factory=dict)
    terms: RunTerms = field(default_factory=RunTerms)
    salt: bytes
    _plain: dict[str, Any] = field(init=False, repr=False, compare=False, default_factory=dict)
    _packed: list[bytes] = field(init=False, repr=False, compare=False, default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data; the same each time, for it is digested, kept and recorded."""
        if not self._plain:
            self._plain.update(self._data())
        return self._plain

    def to_bytes(self) -> bytes:
        """Return what the journal keeps of it; the same each time."""
        if not self._packed:
            self._packed.append(packed(self.to_dict()))
        return self._packed[0]

    def _data(self) -> dict[str, Any]:
        return {
            "plan": _plan_data(self.program),
            "inputs": dict(self.inputs),
            "context": self.context.to_dict(),
            "environment": {
                "salt": self.salt.hex(),
                "sha256": environment_sha256(self.context.environment, self.salt),
            },
            "provider": self.provider,
            "expected": dict(self.expected),
            "policies": dict(self.policies),
            "terms": self.terms.to_dict(),
        }

    @property
    def sha256(self) -> str:
        """The digest that the record of the run's start holds."""
        return sha256_hex(self.to_bytes())


def environment_sha256(environment: tuple[tuple[str, str], ...], salt: bytes) -> str:
    """Return a digest of variables with their values."""
    return hmac.digest(salt, canonical([list(pair) for pair in environment]), "sha256").hex()


def _plan_data(program: Program) -> dict[str, Any]:
    return {
        "name": program.name,
        "sha256": program.sha256,
        "inputs": sorted(program.inputs),
        "text": program.source.text if program.has_text else None,
        "modules": [[each.name, each.source.name, each.source.text] for each in program.modules],
    }


def program_of(order: Mapping[str, Any], given: Program | None) -> Program:
    """Return the plan of an order, compiled again.

    Args:
        order: As `RunOrder.to_dict` makes it.
        given: The plan as its user has it now; None to take the journal's.

    Raises:
        JournalError: `journal.damaged`: the order holds no plan.
        PlanError: `plan.changed`: the given one is another. `plan.needed`: it came without text, and none was given.
    """
    try:
        plan = order["plan"]
        name, digest, text, modules = plan["name"], plan["sha256"], plan["text"], plan["modules"]
        if given is not None or text is None:
            return _given(given, name, digest)
        texts = GivenModules([ModuleText(each[0], Source(each[1], each[2])) for each in modules])
        program = compile_program(text, name, plan["inputs"], texts)
    except (KeyError, TypeError, IndexError) as error:
        raise JournalError(
            "the journal holds no plan for this run", code="journal.damaged", hint="restore it from a copy"
        ) from error
    if program.sha256 != digest:
        raise _changed(name)
    return program


def _given(given: Program | None, name: str, digest: str) -> Program:
    if given is None:
        raise PlanError(
            f"the plan {quoted(name)} was run without its text, which the journal therefore does not have",
            code="plan.needed",
            hint="name its file with --plan",
        )
    if given.sha256 != digest:
        raise _changed(name)
    return given


def _changed(name: str) -> CloisterError:
    return PlanError(
        f"this is not the plan {quoted(name)} that the run began with",
        code="plan.changed",
        hint="leave --plan out to go on with the plan as it was, or begin a new run",
    )
