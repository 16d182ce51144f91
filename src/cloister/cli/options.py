"""The options that several commands share, and the context they describe.

Owns names, help texts and parsing of grants, limits and inputs. Paths are resolved here, once, from the directory the
command was started in; what is granted is the place a path leads to now.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cloister.authority.level import IsolationLevel
from cloister.cli.complete import capabilities, levels, limits, machine_words, parts, providers
from cloister.errors import ConfigError, InputError, quoted
from cloister.limits import ResourceLimits
from cloister.plan.working_directory import working_directory_gone

if TYPE_CHECKING:
    from cloister.authority.context import RuntimeContext

HomeOption = Annotated[
    Path | None,
    typer.Option("--home", metavar="DIR", help="Directory of chain and keys [default: $CLOISTER_HOME or user state]."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object, errors too.")]
ProviderOption = Annotated[
    str,
    typer.Option(
        "--provider",
        metavar="NAME",
        help="Isolation provider; `cloister doctor` lists them.",
        autocompletion=providers,
    ),
]
AllowOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow",
        metavar="CAPABILITY",
        help="Grant a capability or a family, ccos.io.*; `cloister capabilities` lists them.",
        autocompletion=capabilities,
    ),
]
DenyOption = Annotated[
    list[str] | None,
    typer.Option(
        "--deny",
        metavar="CAPABILITY",
        help="Refuse a capability or a family, whatever grants it.",
        autocompletion=capabilities,
    ),
]
AllowEffectOption = Annotated[
    list[str] | None,
    typer.Option(
        "--allow-effect", metavar="EFFECT", help="Allow only these effects, for example :network. Repeat for more."
    ),
]
DenyEffectOption = Annotated[
    list[str] | None,
    typer.Option("--deny-effect", metavar="EFFECT", help="Refuse every capability with this effect."),
]
ConnectOption = Annotated[
    list[str] | None,
    typer.Option("--connect", metavar="HOST", help="Grant a host: example.com, '*.example.com:8443', 'GET a.example'."),
]
PolicyOption = Annotated[
    Path | None,
    typer.Option("--policy", metavar="FILE", help="Grant and deny what a policy says; docs/policies.md tells how."),
]
AllowComputedOption = Annotated[
    bool,
    typer.Option("--allow-computed", help="Grant calls whose capability the plan computes; each is still checked."),
]
ReadOption = Annotated[
    list[Path] | None, typer.Option("--read", metavar="PATH", help="Grant reading of a path and everything below it.")
]
WriteOption = Annotated[
    list[Path] | None,
    typer.Option("--write", metavar="PATH", help="Grant reading and writing of a path and everything below it."),
]
ModulePathOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--module-path", metavar="DIR", help="Look for modules here, after the plan's directory. Repeat for more."
    ),
]
EnvOption = Annotated[
    list[str] | None,
    typer.Option("--env", metavar="NAME[=VALUE]", help="Grant an environment variable; value from here if left out."),
]
InputOption = Annotated[
    list[str] | None, typer.Option("--input", metavar="NAME=VALUE", help="Give the plan an input, as text.")
]
InputNames = Annotated[
    list[str] | None, typer.Option("--input", metavar="NAME[=VALUE]", help="Name of an input the plan will get.")
]
TimeoutOption = Annotated[
    str | None,
    typer.Option("--timeout", metavar="TIME", help="Limit the whole run: 500ms, 30s, 2m; a bare number is seconds."),
]
MemoryOption = Annotated[
    str | None, typer.Option("--memory", metavar="SIZE", help="Limit the memory of each sandbox, for example 256MiB.")
]
LimitOption = Annotated[
    list[str] | None,
    typer.Option(
        "--limit",
        metavar="NAME=N",
        help="Set any limit, for example value-bytes=32MiB. Repeat for more.",
        autocompletion=limits,
    ),
]
MachineOption = Annotated[
    list[str] | None,
    typer.Option(
        "--machine",
        metavar="WORD=VALUE",
        help="Choose the virtual machine: image=NAME, vcpus=N, memory-mib=N, capabilities=FILE, "
        "drive-bytes-per-s=N, drive-reads-per-s=N, snapshots=no.",
        autocompletion=machine_words,
    ),
]
IsolationOption = Annotated[
    str | None,
    typer.Option(
        "--isolation",
        metavar="LEVEL",
        help="Refuse providers that isolate less: process, wasm, machine …",
        autocompletion=levels,
    ),
]
ExpectOption = Annotated[
    list[str] | None,
    typer.Option(
        "--expect",
        metavar="PART=DIGEST",
        help="Refuse unless this was measured: kernel=sha256:HEX. Repeat for more.",
        autocompletion=parts,
    ),
]
UnsafeOption = Annotated[
    bool,
    typer.Option("--unsafe-everything", help="Grant every capability and path (UnsafeEverything); it is recorded."),
]


def parse_machine(pairs: Sequence[str] | None, provider: str) -> dict[str, str]:
    """Return what `--machine` says, word by word.

    Raises:
        ConfigError: `config.machine`: one is not `word=value`, or the provider has no machines.
    """
    from cloister.isolation.factory import MACHINES, canonical_name  # noqa: PLC0415

    words: dict[str, str] = {}
    if pairs and canonical_name(provider) not in MACHINES:
        raise ConfigError(
            f"the provider {provider} has no virtual machines, so none can be chosen with --machine",
            code="config.machine",
            hint="add --provider microvm, or leave --machine out",
        )
    for pair in pairs or ():
        word, separator, value = pair.partition("=")
        if not separator:
            hint = f"write {word}=VALUE" if word else "write WORD=VALUE"
            raise ConfigError(f"--machine {quoted(pair)} has no value", code="config.machine", hint=hint)
        words[word] = value
    return words


def parse_isolation(level: str | None) -> IsolationLevel:
    """Return the isolation level of that name; NONE when nothing was demanded."""
    if level is None:
        return IsolationLevel.NONE
    names = {member.label: member for member in IsolationLevel}
    if level.lower() not in names:
        raise ConfigError(
            f"there is no isolation level {quoted(level)}",
            code="config.isolation",
            hint="the levels are " + ", ".join(names),
        )
    return names[level.lower()]


def parse_inputs(pairs: Sequence[str] | None) -> dict[str, str]:
    """Return inputs by name from `name=value` texts."""
    inputs: dict[str, str] = {}
    for pair in pairs or ():
        name, separator, value = pair.partition("=")
        if not separator or not name:
            raise InputError(f"--input {quoted(pair)} is not NAME=VALUE", code="input.pair")
        if name in inputs:
            raise InputError(f"input {quoted(name)} is given twice", code="input.pair", hint="give it once")
        inputs[name] = value
    return inputs


def parse_expected(pairs: Sequence[str] | None) -> dict[str, str]:
    """Return digests by part from `part=digest` texts; whether they are such is found out where they are used.

    Raises:
        ConfigError: `config.expect`: a text has another form, or a part is given twice.
    """
    expected: dict[str, str] = {}
    for pair in pairs or ():
        part, separator, digest = pair.partition("=")
        if not separator or not part or part in expected:
            raise ConfigError(
                f"--expect {quoted(pair)} is not PART=DIGEST, or its part is given twice",
                code="config.expect",
                hint="write --expect kernel=sha256: and 64 hexadecimal digits; `cloister attest show` prints them",
            )
        expected[part] = digest
    return expected


def input_names(inputs: Sequence[str] | None) -> tuple[str, ...]:
    """Return the names of inputs from `name` and `name=value` texts."""
    return tuple(item.partition("=")[0] for item in inputs or ())


def parse_environment(items: Sequence[str] | None) -> dict[str, str]:
    """Return variables by name; one without a value takes it from this process's environment."""
    variables: dict[str, str] = {}
    for item in items or ():
        name, separator, value = item.partition("=")
        if not separator and name not in os.environ:
            raise InputError(
                f"--env {quoted(name)} has no value and is not set here",
                code="input.environment",
                hint=f"write --env {quoted(name)}=VALUE",
            )
        variables[name] = value if separator else os.environ[name]
    return variables


def resolved(paths: Sequence[Path] | None) -> tuple[str, ...]:
    """Return the canonical absolute path of each, symbolic links followed.

    Raises:
        InputError: `input.working-directory` for a relative path in a directory that was deleted; `input.path` for a
            path whose links go in a circle or that begins with the home of nobody.
    """
    return tuple(_resolved(path) for path in paths or ())


def _resolved(path: Path) -> str:
    try:
        return str(path.expanduser().resolve())
    except FileNotFoundError:
        # A missing target is no error to resolve(); only the directory to start from can be what is not there
        raise working_directory_gone() from None
    except (OSError, RuntimeError) as error:
        raise InputError(
            f'path "{quoted(str(path))}" leads nowhere: {error}', code="input.path", hint="name a path that exists"
        ) from error


def build_context(
    *,
    allow: Sequence[str] | None = None,
    deny: Sequence[str] | None = None,
    allow_effect: Sequence[str] | None = None,
    deny_effect: Sequence[str] | None = None,
    connect: Sequence[str] | None = None,
    allow_computed: bool = False,
    read: Sequence[Path] | None = None,
    write: Sequence[Path] | None = None,
    env: Sequence[str] | None = None,
    policy: Path | None = None,
    limits: Callable[[Mapping[str, str | int]], ResourceLimits] | ResourceLimits,
    isolation: str | None = None,
    unsafe_everything: bool = False,
) -> RuntimeContext:
    """Return the context that the grant options and a policy describe.

    Args:
        allow: Capabilities and patterns to grant.
        deny: Those to deny.
        allow_effect: The only effects to allow.
        deny_effect: Effects to deny.
        connect: Hosts to grant.
        allow_computed: Whether capability ids may be computed.
        read: Paths to grant.
        write: Paths to grant.
        env: Variables to grant.
        policy: File with a policy to which all of this is added.
        limits: The limits, or what makes them of those of the policy.
        isolation: The weakest acceptable isolation.
        unsafe_everything: Whether everything is granted; what is denied stays denied.

    Raises:
        ConfigError: A grant that cannot be meant, or single grants beside `--unsafe-everything`.
    """
    from cloister.authority.context import RuntimeContext  # noqa: PLC0415 - takes longer than showing a help text
    from cloister.cli.policy_file import combined_context, read_policy  # noqa: PLC0415

    document = read_policy(policy)
    bounds = limits if isinstance(limits, ResourceLimits) else limits(document.limits if document else {})
    if not unsafe_everything:
        return combined_context(
            document, policy, allow=allow, deny=deny, allow_effect=allow_effect, deny_effect=deny_effect,
            connect=connect, allow_computed=allow_computed, read=read, write=write, env=env, limits=bounds,
            isolation=isolation,
        )  # fmt: skip
    if allow or read or write or connect or allow_computed or policy:
        raise ConfigError(
            "--unsafe-everything grants everything; single grants beside it would be mistaken for a restriction",
            code="config.context",
            hint="leave it out, or leave the single grants out",
        )
    everything = RuntimeContext.unsafe_everything(
        environment=parse_environment(env), limits=bounds, minimum_isolation=parse_isolation(isolation)
    )
    return everything.narrow(allow_effects=allow_effect, deny=tuple(deny or ()), deny_effects=tuple(deny_effect or ()))
