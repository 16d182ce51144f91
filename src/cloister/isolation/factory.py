"""Providers by name.

Owns the names that users choose from, and the life of the providers that were chosen. Must not choose: what is missing
is an error that names it, never another provider.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cloister.audit.home import default_home
from cloister.authority.level import IsolationLevel
from cloister.authority.token import KEY_BYTES_MIN, TokenIssuer, TokenVerifier
from cloister.clock import Clock, SystemClock
from cloister.errors import ConfigError, ProviderError, ProviderUnavailable, quoted
from cloister.isolation.monitoring import MonitoredProvider, MonitoringStats
from cloister.isolation.provider import IsolationProvider, ProbeReport, Shortfall

if TYPE_CHECKING:
    from cloister.isolation.microvm.config import MachineConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What a provider may need beside the verifier of tokens.

    Attributes:
        home: Where images and snapshots lie.
        clock: Time and randomness.
        machines: What virtual machines are.
    """

    home: Path
    clock: Clock
    machines: MachineConfig | None = None


_Create = Callable[[TokenVerifier, Surroundings], IsolationProvider]


def _process(verifier: TokenVerifier, _: Surroundings) -> IsolationProvider:
    # Imported on use: the launcher machinery is not needed to name a provider
    from cloister.isolation.process.provider import ProcessProvider  # noqa: PLC0415

    return ProcessProvider(verifier)


def _mock(verifier: TokenVerifier, _: Surroundings) -> IsolationProvider:
    from cloister.isolation.mock import MockProvider  # noqa: PLC0415

    return MockProvider(verifier)


def _wasm(verifier: TokenVerifier, around: Surroundings) -> IsolationProvider:
    from cloister.isolation.wasm.provider import WasmProvider  # noqa: PLC0415

    return WasmProvider(verifier, around.home, around.clock)


def _machines(name: str) -> _Create:
    def create(verifier: TokenVerifier, around: Surroundings) -> IsolationProvider:
        from cloister.isolation.microvm.provider import MicroVMProvider  # noqa: PLC0415

        return MicroVMProvider(verifier, around.home, name=name, config=around.machines, clock=around.clock)

    return create


VMMS: Final = ("qemu", "firecracker", "cloud-hypervisor")
"""Names that ask the microVM provider for one VMM and no other."""
MACHINES: Final = ("microvm", *VMMS)
"""Providers that run virtual machines."""
_BUILT: Final[Mapping[str, _Create]] = {
    "process": _process,
    "microvm": _machines("microvm"),
    "wasm": _wasm,
    "mock": _mock,
    **{name: _machines(name) for name in VMMS},
}
_NOT_BUILT: Final = ("gvisor",)

NAMES: Final = (*_BUILT, *_NOT_BUILT)
"""Every provider a user can name."""


def canonical_name(name: str) -> str:
    """Return the provider name that `name` means.

    Raises:
        ConfigError: `config.provider` when there is none, with the nearest name.
    """
    if name in NAMES:
        return name
    near = get_close_matches(name.lower(), NAMES, n=1)
    raise ConfigError(
        f'there is no isolation provider "{quoted(name, 60)}"',
        code="config.provider",
        hint=f'did you mean "{near[0]}"?' if near else f"choose one of {', '.join(NAMES)}",
    )


class ProviderFactory:
    """Creates each provider when it is first asked for, and closes those it created.

    Args:
        verifier: Given to every provider, to check tokens with.
        around: What some of them need beside it.
    """

    def __init__(self, verifier: TokenVerifier, around: Surroundings | None = None) -> None:
        self._verifier = verifier
        self._around = around or Surroundings(home=default_home(), clock=SystemClock())
        self._lock = threading.Lock()
        self._created: dict[str, IsolationProvider] = {}
        self._is_closed = False

    def __repr__(self) -> str:
        return f"ProviderFactory(created={sorted(self._created)}{', closed' if self._is_closed else ''})"

    def create(self, name: str) -> IsolationProvider:
        """Return the provider of a name; the same one each time.

        Raises:
            ConfigError: `config.provider` for an unknown name.
            ProviderUnavailable: `provider.not-built` for one that this version does not have; otherwise what the
                provider itself finds missing.
            ProviderError: `provider.closed` after `close`.
        """
        known = canonical_name(name)
        if self._is_closed:
            raise ProviderError("the provider factory is closed", code="provider.closed", hint="open a new runtime")
        with self._lock:  # two threads that ask at once get the same one
            if known not in self._created:
                self._created[known] = _creator(known)(self._verifier, self._around)
            return self._created[known]

    def probe_all(self) -> tuple[ProbeReport, ...]:
        """Return what each provider proves on this machine, in the order of `NAMES`. Never raises for a missing one.

        The names of single VMMs are left out: `microvm` is QEMU, and the others need what few machines have.
        """
        return tuple(self._probe(name) for name in NAMES if name not in VMMS)

    def monitoring(self) -> tuple[MonitoringStats, ...]:
        """Return what the machines of each provider that was created are doing, where it has machines."""
        with self._lock:
            created = list(self._created.values())
        return tuple(each.monitoring() for each in created if isinstance(each, MonitoredProvider))

    def _probe(self, name: str) -> ProbeReport:
        try:
            return self.create(name).probe()
        except ProviderUnavailable as error:
            return ProbeReport(
                provider=name,
                available=False,
                level=IsolationLevel.NONE,
                reason=error.message,
                remedy=error.hint,
            )

    def close(self) -> None:
        """Close every provider that was created, also when closing one fails. Idempotent.

        Raises:
            ProviderError: The first failure, after all were closed.
        """
        self._is_closed = True
        failures: list[ProviderError] = []
        while self._created:
            _, provider = self._created.popitem()
            try:
                provider.close()
            except ProviderError as error:
                failures.append(error)
        if failures:
            raise failures[0]


def _creator(name: str) -> _Create:
    if name in _BUILT:
        return _BUILT[name]
    raise ProviderUnavailable(
        f'the isolation provider "{name}" is not part of this version of Cloister',
        code="provider.not-built",
        hint=f"this version has {' and '.join(_BUILT)}; choose one with --provider",
    )


def strength_of(name: str) -> tuple[IsolationLevel, tuple[Shortfall, ...]]:
    """Return the level of a provider here, and what this machine lacks for its full one. It runs nothing in it.

    Raises:
        ConfigError: `config.provider` for an unknown name.
        ProviderUnavailable: `provider.not-built` for one that this version does not have.
    """
    providers = _unused()
    try:
        provider = providers.create(name)
        return provider.level, provider.shortfalls
    finally:
        providers.close()


def probe_providers() -> tuple[ProbeReport, ...]:
    """Probe every provider: what works here, with the evidence. Needs no home directory."""
    providers = _unused()
    try:
        return providers.probe_all()
    finally:
        providers.close()


def _unused() -> ProviderFactory:
    """Return providers for questions only: nobody has the key of their tokens."""
    clock = SystemClock()
    return ProviderFactory(TokenIssuer(clock.random_bytes(KEY_BYTES_MIN), clock).verifier())
