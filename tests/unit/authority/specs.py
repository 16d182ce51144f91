"""Specifications and a resolver that the authority's tests share."""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Mapping

from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.capability import Access, AccessKind, CapabilitySpec, Parameter, ParameterType
from cloister.authority.contract import CONSUMES_NOTHING, Contract, Determinism, Idempotency, Impact, Risk
from cloister.authority.policy import ResolvedPath
from cloister.authority.registry import CapabilityRegistry

HARMLESS = Contract(
    idempotency=Idempotency.RETRY,
    determinism=Determinism.DETERMINISTIC,
    risk=Risk.LOW,
    impact=Impact.NOTHING,
    resources=CONSUMES_NOTHING,
    features=frozenset(),
)
PATH = Parameter(name="path", type=ParameterType.TEXT)


def spec(capability_id: str = "t.any", **changes: object) -> CapabilitySpec:
    fields: dict[str, object] = {
        "id": capability_id,
        "summary": "A test.",
        "returns": "any",
        "effects": frozenset({":compute"}),
        "contract": HARMLESS,
    }
    return CapabilitySpec(**(fields | changes))  # type: ignore[arg-type]


def file_spec(capability_id: str, kind: AccessKind, *extra: Parameter) -> CapabilitySpec:
    return spec(
        capability_id,
        parameters=(PATH, *extra),
        effects=frozenset({":filesystem"}),
        permission="ccos.io.file-access",
        access=(Access(parameter="path", kind=kind),),
    )


READ_FILE = file_spec("ccos.io.read-file", AccessKind.READ)
WRITE_FILE = file_spec("ccos.io.write-file", AccessKind.WRITE, Parameter(name="content", type=ParameterType.TEXT))
GET_ENV = spec(
    "ccos.system.get-env",
    parameters=(Parameter(name="name", type=ParameterType.TEXT),),
    effects=frozenset({":system"}),
    permission="ccos.system.environment",
    access=(Access(parameter="name", kind=AccessKind.ENVIRONMENT),),
)
ADD = spec("ccos.math.add", parameters=(Parameter(name="numbers", type=ParameterType.NUMBER),), variadic=True)
SCRIPT = spec(
    "ccos.sandbox.python",
    parameters=(
        Parameter(name="code", type=ParameterType.TEXT),
        Parameter(name="read", type=ParameterType.VECTOR, required=False),
        Parameter(name="write", type=ParameterType.VECTOR, required=False),
    ),
    effects=frozenset({":process"}),
    permission="execute.script",
    access=(Access(parameter="read", kind=AccessKind.READ), Access(parameter="write", kind=AccessKind.WRITE)),
)

FETCH = spec(
    "ccos.network.http-fetch",
    parameters=(
        Parameter(name="url", type=ParameterType.TEXT),
        Parameter(name="method", type=ParameterType.ANY, required=False),
        Parameter(name="options", type=ParameterType.MAP, required=False),
    ),
    effects=frozenset({":network"}),
    permission="ccos.network.outbound",
    access=(Access(parameter="url", kind=AccessKind.NETWORK, method="GET", method_parameter="method"),),
)

REGISTRY = CapabilityRegistry(
    [READ_FILE, WRITE_FILE, GET_ENV, ADD, SCRIPT, FETCH],
    aliases={"ccos.fs.read": "ccos.io.read-file", "ccos.fs.write": "ccos.io.write-file"},
)


class TableResolver:
    """A file system in a table: links by path, and texts that cannot be followed."""

    def __init__(self, links: Mapping[str, str] | None = None, *, failing: tuple[str, ...] = ()) -> None:
        self.links = dict(links or {})
        self.failing = failing

    def resolve(self, path: str, roots: Collection[str]) -> ResolvedPath:
        if path in self.failing:
            raise OSError(40, "Too many levels of symbolic links")
        plain = posixpath.normpath(posixpath.join("/start", path))
        return ResolvedPath(asked=plain, path=self.links.get(plain, plain), exists=True, is_directory=False)


def authorizer(resolver: TableResolver | None = None) -> SecurityAuthorizer:
    return SecurityAuthorizer(REGISTRY, resolver or TableResolver())
