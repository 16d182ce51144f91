"""The conformance suite over virtual machines."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from cloister.authority.token import TokenVerifier
from cloister.isolation.microvm.provider import MicroVMProvider
from cloister.isolation.provider import IsolationProvider
from cloister.testing import ProviderConformance


class TestMicroVMProvider(ProviderConformance):
    """Where it is unavailable these tests fail, and say why."""

    home: Path

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _home(cls, machine_home: Path) -> None:
        cls.home = machine_home

    def create_provider(self, verifier: TokenVerifier, files: Mapping[str, bytes]) -> IsolationProvider:
        return MicroVMProvider(verifier, self.home)
