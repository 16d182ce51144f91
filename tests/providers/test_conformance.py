"""The one conformance suite over every provider that this version has."""

import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from cloister.authority.token import TokenVerifier
from cloister.clock import SystemClock
from cloister.isolation.mock import MockProvider
from cloister.isolation.provider import IsolationProvider
from cloister.testing import OperationConformance, ProviderConformance


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


class TestWasmProvider(OperationConformance):
    """The wasm provider, which runs file operations as WebAssembly, and no plans."""

    def create_provider(self, verifier: TokenVerifier, files: Mapping[str, bytes]) -> IsolationProvider:
        from cloister.isolation.wasm.provider import WasmProvider  # noqa: PLC0415 - an extra

        self._home = tempfile.TemporaryDirectory(prefix="cloister-wasm-home-")
        return WasmProvider(verifier, Path(self._home.name), SystemClock())

    def teardown_method(self) -> None:
        super().teardown_method()
        self._home.cleanup()
