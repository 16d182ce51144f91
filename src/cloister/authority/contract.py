"""What a capability promises beyond its types: whether it may be repeated, what it changes, and what it costs.

Owns the closed vocabularies and the `Contract` of a capability. A contract is declared by whoever writes the
capability, and is trusted like its code; nothing is assumed where nothing was declared, so every field has to be given.
Must not decide anything: modes, constitution, budgets, hints and resuming read it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import IntEnum, StrEnum
from typing import Any, Final

from cloister.errors import ConfigError, quoted
from cloister.lang.values import Value


class Idempotency(StrEnum):
    """What may be done about a call of which it is not known whether it happened, or which failed."""

    RETRY = "retry"
    """Do it again: twice is the same as once."""
    KEYED = "keyed"
    """Do it again with the same key; the capability does nothing for a key it has seen."""
    ASK = "ask"
    """A person decides."""
    FAIL = "fail"
    """Never again."""


class Determinism(StrEnum):
    """What a result depends on besides the arguments."""

    DETERMINISTIC = "deterministic"
    """Nothing."""
    CLOCK = "clock"
    """The time."""
    RANDOM = "random"
    """Chance."""
    EXTERNAL = "external"
    """The state of something outside: files, variables, services, what a script does."""


class Risk(IntEnum):
    """How bad a wrong call can be, from low to critical.

    Source: CCOS system reference, section 6.5, for the four tiers.
    """

    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4

    @property
    def label(self) -> str:
        """The tier in lower case."""
        return self.name.lower()


class Impact(StrEnum):
    """What is different after a call."""

    NOTHING = "nothing"
    """It computed."""
    RUN = "run"
    """Something of the run itself: it printed, waited, or moved on in an open file."""
    READS = "reads"
    """Nothing, but it looked at the world outside the run."""
    CHANGES = "changes"
    """The world outside the run."""


class Feature(StrEnum):
    """What a machine must have, and a step profile must allow, for the capability to be called."""

    MODEL = "model"
    """A language model."""
    GPU = "gpu"
    """A graphics processor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """What one call may consume at most; None where that is not known before it was made.

    Attributes:
        egress_bytes: Sent over the network.
        storage_bytes: Written to storage that outlasts the call.
        model_tokens_count: Tokens of language models, both ways.
        cost_microusd: Money, in millionths of a US dollar.

    Raises:
        ConfigError: `config.contract` for a figure below zero or that is no whole number.
    """

    egress_bytes: int | None
    storage_bytes: int | None
    model_tokens_count: int | None
    cost_microusd: int | None

    def __post_init__(self) -> None:
        """Refuse figures that are none."""
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None and (type(value) is not int or value < 0):
                raise ConfigError(
                    f"resource {each.name} is {quoted(repr(value))}; it is a whole number from 0, or None when unknown",
                    code="config.contract",
                )

    def to_dict(self) -> dict[str, int | None]:
        """Return the figures as plain data."""
        return {each.name: getattr(self, each.name) for each in fields(self)}


CONSUMES_NOTHING: Final = Resources(egress_bytes=0, storage_bytes=0, model_tokens_count=0, cost_microusd=0)
"""What a call consumes that neither sends nor stores nor pays."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """What a capability promises. There are no defaults: a promise that nobody made is none.

    Attributes:
        idempotency: Whether a call may be repeated.
        determinism: What its result depends on.
        risk: How bad a wrong call can be.
        impact: What it changes.
        resources: What it consumes.
        features: What it needs of the machine.
        storage_parameter: The text parameter whose size bounds what is stored, where `resources` cannot say; None when
            there is none.

    Raises:
        ConfigError: `config.contract` when it contradicts itself.
    """

    idempotency: Idempotency
    determinism: Determinism
    risk: Risk
    impact: Impact
    resources: Resources
    features: frozenset[Feature]
    storage_parameter: str | None = None

    def __post_init__(self) -> None:
        """Refuse promises that cannot both be kept."""
        if self.impact is Impact.NOTHING and self.resources != CONSUMES_NOTHING:
            raise _contradiction("only computes, but may consume something")
        if self.impact is not Impact.CHANGES and self.resources.storage_bytes != 0:
            raise _contradiction("changes nothing outside the run, but may store something")
        if Feature.MODEL in self.features and self.resources.model_tokens_count == 0:
            raise _contradiction("needs a model, but consumes no tokens")
        if self.storage_parameter is not None and self.resources.storage_bytes is not None:
            raise _contradiction("bounds what is stored in two ways")

    @property
    def may_be_repeated(self) -> bool:
        """Whether the same call may be made again without asking anybody."""
        return self.idempotency in {Idempotency.RETRY, Idempotency.KEYED}

    @property
    def may_be_cached(self) -> bool:
        """Whether an earlier result of the run may stand for a new one, as long as nothing was changed in between."""
        steady = self.determinism in {Determinism.DETERMINISTIC, Determinism.EXTERNAL}
        return steady and self.impact in {Impact.NOTHING, Impact.READS}

    def estimate(self, arguments: Mapping[str, Value]) -> Resources:
        """Return what a call with these arguments may consume at most.

        Args:
            arguments: Bound arguments, as in `Decision.arguments`.

        Returns:
            The declared figures; storage is the size of `storage_parameter` in UTF-8 when there is one.
        """
        text = arguments.get(self.storage_parameter) if self.storage_parameter is not None else None
        if not isinstance(text, str):
            return self.resources
        return replace(self.resources, storage_bytes=len(text.encode("utf-8", "surrogatepass")))

    def to_dict(self) -> dict[str, Any]:
        """Return the contract as plain data, with words for tiers."""
        return {
            "idempotency": self.idempotency.value,
            "determinism": self.determinism.value,
            "risk": self.risk.label,
            "impact": self.impact.value,
            "resources": self.resources.to_dict(),
            "features": sorted(self.features),
        }


def _contradiction(problem: str) -> ConfigError:
    return ConfigError(f"a contract contradicts itself: the capability {problem}", code="config.contract")
