"""Providers by name."""

import pytest

from cloister.authority.level import IsolationLevel
from cloister.authority.token import TokenIssuer
from cloister.clock import ManualClock
from cloister.errors import ConfigError, ProviderError, ProviderUnavailable
from cloister.isolation.factory import NAMES, VMMS, ProviderFactory
from cloister.isolation.mock import MockProvider

VERIFIER = TokenIssuer(bytes(32), ManualClock()).verifier()


@pytest.fixture
def factory() -> ProviderFactory:
    return ProviderFactory(VERIFIER)


def test_a_provider_is_created_once(factory: ProviderFactory) -> None:
    provider = factory.create("mock")
    assert isinstance(provider, MockProvider)
    assert factory.create("mock") is provider


def test_nothing_is_created_before_it_is_asked_for(factory: ProviderFactory) -> None:
    assert repr(factory) == "ProviderFactory(created=[])"
    factory.create("mock")
    assert repr(factory) == "ProviderFactory(created=['mock'])"


@pytest.mark.parametrize(("name", "near"), [("proces", "process"), ("Mock", "mock"), ("fire-cracker", "firecracker")])
def test_an_unknown_name_gets_the_nearest(factory: ProviderFactory, name: str, near: str) -> None:
    with pytest.raises(ConfigError) as caught:
        factory.create(name)
    assert caught.value.code == "config.provider"
    assert caught.value.hint == f'did you mean "{near}"?'


def test_a_name_near_to_none_gets_the_list(factory: ProviderFactory) -> None:
    with pytest.raises(ConfigError) as caught:
        factory.create("zzz")
    assert all(name in str(caught.value.hint) for name in NAMES)


def test_what_this_version_does_not_have_is_unavailable(factory: ProviderFactory) -> None:
    with pytest.raises(ProviderUnavailable) as caught:
        factory.create("gvisor")
    assert caught.value.code == "provider.not-built"
    assert all(other in str(caught.value.hint) for other in ("process", "microvm", "mock"))


def test_probing_reports_every_provider(factory: ProviderFactory) -> None:
    reports = {report.provider: report for report in factory.probe_all()}
    assert tuple(reports) == tuple(name for name in NAMES if name not in VMMS)
    assert reports["mock"].available
    assert reports["mock"].level is IsolationLevel.NONE
    assert not any(evidence.holds for evidence in reports["mock"].evidence)
    assert not reports["gvisor"].available
    assert reports["gvisor"].reason
    assert reports["gvisor"].level is IsolationLevel.NONE
    assert reports["wasm"].available
    assert reports["wasm"].level is IsolationLevel.WASM
    assert all(evidence.holds for evidence in reports["wasm"].evidence)
    factory.close()


def test_closing_closes_what_was_created_and_is_idempotent(factory: ProviderFactory) -> None:
    provider = factory.create("mock")
    factory.close()
    factory.close()
    assert repr(provider).endswith("closed)")
    with pytest.raises(ProviderError) as caught:
        factory.create("mock")
    assert caught.value.code == "provider.closed"
