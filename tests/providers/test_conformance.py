"""The one conformance suite over every provider that this version has."""

import atexit
import sys
import tempfile
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest

from cloister.authority.token import TokenVerifier
from cloister.clock import SystemClock
from cloister.isolation.mock import MockProvider
from cloister.isolation.provider import IsolationProvider
from cloister.testing import ProviderConformance


class TestMockProvider(ProviderConformance):
    """The mock provider, whose host is a tree in memory."""

    provider: MockProvider  # type: ignore[assignment]

    def create_provider(self, verifier: TokenVerifier, files: Mapping[str, bytes]) -> IsolationProvider:
        return MockProvider(verifier, files=files)

    def host_file(self, path: str) -> bytes | None:
        return self.provider.files.get(path)


@pytest.mark.skipif(sys.platform != "linux", reason="the process provider is Linux's; elsewhere it reports unavailable")
class TestProcessProvider(ProviderConformance):
    """The process provider. Where it is unavailable on Linux these tests fail, and say why: nothing else runs plans."""

    def create_provider(self, verifier: TokenVerifier, files: Mapping[str, bytes]) -> IsolationProvider:
        from cloister.isolation.process.provider import ProcessProvider  # noqa: PLC0415 - it imports on Linux only

        return ProcessProvider(verifier)


class TestWasmProvider(ProviderConformance):
    """The wasm provider, which runs plans and file operations as WebAssembly."""

    def create_provider(self, verifier: TokenVerifier, files: Mapping[str, bytes]) -> IsolationProvider:
        from cloister.isolation.wasm.provider import WasmProvider  # noqa: PLC0415 - an extra

        return WasmProvider(verifier, _home(), SystemClock())


@cache
def _home() -> Path:
    """Return a home for all tests: machine code is made once and sealed there."""
    home = tempfile.TemporaryDirectory(prefix="cloister-wasm-home-")
    atexit.register(home.cleanup)
    return Path(home.name)
