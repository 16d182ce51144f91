"""File capabilities: `ccos.io.*` over whole files and directories.

Owns the table from capability to guest operation and the choice of what is mounted for it: a read sees the one path, a
change sees the directory that holds the entry, because replacing, creating and deleting are changes to a directory.
Every operation runs in a sandbox of its own; nothing here opens a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloister.authority.capability import Access, AccessKind, CapabilitySpec, Parameter, ParameterType
from cloister.authority.contract import Contract, Impact
from cloister.capabilities.capability import Capability, Invocation
from cloister.capabilities.contracts import CREATES, DELETES, READS, REPLACES
from cloister.capabilities.mounts import entry_mounts, read_mounts
from cloister.isolation.provider import GuestOperation
from cloister.lang.transport import decode, encode
from cloister.lang.values import Keyword, Map, Value

FILE_PERMISSION: Final = "ccos.io.file-access"
_PATH: Final = Parameter(name="path", type=ParameterType.TEXT, doc="Absolute, or relative to where the run started.")


@dataclass(frozen=True, slots=True, kw_only=True)
class _FileOperation:
    """One row of the table: how a capability becomes a guest operation."""

    operation: str
    changes: bool

    def __call__(self, call: Invocation) -> Value:
        path = (call.decision.write_paths if self.changes else call.decision.read_paths)[0]
        others = {name: encode(value) for name, value in call.arguments.items() if name != "path"}
        mounts = entry_mounts(path, call.context.writable_paths) if self.changes else read_mounts(path)
        workload = GuestOperation(name=self.operation, arguments={"path": path, **others})
        return keyworded(decode(call.sandbox.execute(workload, mounts=mounts).value))


def keyworded(value: Value) -> Value:
    """Return a value with string map keys turned into keywords, so that a plan writes `(:name entry)`."""
    if isinstance(value, Map):
        return Map((Keyword(key) if isinstance(key, str) else key, keyworded(item)) for key, item in value.items())
    if isinstance(value, tuple):
        return tuple(keyworded(item) for item in value)
    return value


def _file(
    name: str,
    summary: str,
    operation: str,
    *,
    contract: Contract,
    returns: str,
    result: str,
    parameters: tuple[Parameter, ...] = (),
) -> Capability:
    changes = contract.impact is Impact.CHANGES
    kind = AccessKind.WRITE if changes else AccessKind.READ
    spec = CapabilitySpec(
        id=f"ccos.io.{name}",
        summary=summary,
        parameters=(_PATH, *parameters),
        returns=returns,
        result=result,
        effects=frozenset({":filesystem"}),
        contract=contract,
        permission=FILE_PERMISSION,
        access=(Access(parameter="path", kind=kind),),
    )
    alias = _FS_ALIASES.get(name)
    return Capability(
        spec=spec,
        run=_FileOperation(operation=operation, changes=changes),
        aliases=(f"ccos.fs.{alias}",) if alias else (),
    )


_FS_ALIASES: Final = {
    "list-dir": "list",
    "read-file": "read",
    "write-file": "write",
    "delete-file": "delete",
    "file-exists": "exists",
    "mkdir": "mkdir",
    "read-file-base64": "read-base64",
    "write-file-base64": "write-base64",
}
"""Second names of the catalogue (CCOS system reference, section 7): `ccos.fs.read` is `ccos.io.read-file`."""

_CONTENT: Final = Parameter(name="content", type=ParameterType.TEXT, doc="The whole new content.")
_RECURSIVE: Final = Parameter(
    name="recursive", type=ParameterType.BOOLEAN, required=False, doc="Whether to delete a directory with its content."
)
_PARENTS: Final = Parameter(
    name="recursive", type=ParameterType.BOOLEAN, required=False, doc="Whether to make missing parent directories."
)

FILE_CAPABILITIES: Final = (
    _file(
        "file-exists",
        "Tell whether a file or directory exists.",
        "file_exists",
        contract=READS,
        returns="boolean",
        result=":bool",
    ),
    _file(
        "read-file",
        "Return the text of a UTF-8 file.",
        "read_file",
        contract=READS,
        returns="text",
        result=":string",
    ),
    _file(
        "read-file-base64",
        "Return the bytes of a file in base64.",
        "read_file_base64",
        contract=READS,
        returns="text",
        result=":string",
    ),
    _file(
        "list-dir",
        "List a directory, sorted by name.",
        "list_directory",
        contract=READS,
        returns="vector of {:name :path :is_dir :is_file :size}",
        result="[:vector [:map [:name :string] [:path :string] [:is_dir :bool] [:is_file :bool] [:size :int]]]",
    ),
    _file(
        "write-file",
        "Write a file as a whole: it is replaced at once or not at all.",
        "write_file",
        contract=REPLACES,
        returns="{:bytes n}",
        result="[:map [:bytes :int]]",
        parameters=(_CONTENT,),
    ),
    _file(
        "write-file-base64",
        "Write a file from base64, replaced at once or not at all.",
        "write_file_base64",
        contract=REPLACES,
        returns="{:bytes n}",
        result="[:map [:bytes :int]]",
        parameters=(_CONTENT,),
    ),
    _file(
        "delete-file",
        "Delete a file, or with :recursive a directory and all in it; nothing there is an error.",
        "delete_file",
        contract=DELETES,
        returns="true",
        result="[:val true]",
        parameters=(_RECURSIVE,),
    ),
    _file(
        "mkdir",
        "Make a directory, or with :recursive also those above it.",
        "make_directory",
        contract=CREATES,
        returns="true",
        result="[:val true]",
        parameters=(_PARENTS,),
    ),
)
