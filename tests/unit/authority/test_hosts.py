from __future__ import annotations

from ipaddress import ip_address

import pytest

from cloister.authority.destination import Destination, destination
from cloister.authority.hosts import HostRule, admits_address, intersect_hosts
from cloister.errors import ConfigError


def place(url: str, method: str = "GET") -> Destination:
    found = destination(url, method)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.com.", "example.com"),
        ("b\u00fccher.example", "xn--bcher-kva.example"),
        ("*.Example.com:8443", "*.example.com:8443"),
        ("*", "*"),
        ("*:*", "*:*"),
        ("get,HEAD example.com", "GET,HEAD example.com"),
        ("192.0.2.1:80", "192.0.2.1:80"),
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.1/32", "192.0.2.1"),
        ("[::1]:81", "[::1]:81"),
        ("[2001:DB8::]/32:443", "[2001:db8::]/32:443"),
        (" localhost ", "localhost"),
    ],
)
def test_a_rule_has_one_form(text: str, shown: str) -> None:
    assert str(HostRule.allowing(text)) == shown
    assert HostRule.from_dict(HostRule.allowing(text).to_dict()) == HostRule.allowing(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "a b c", "https://example.com", "example.com/path", "user@example.com", "exa*mple.com", "*example.com",
        "*.*", "*.192.0.2.1", "example.com:0", "example.com:70000", "example.com:", "192.0.2.1/24", "192.0.2.0/33",
        "0177.0.0.1", "example.com/24", "::1", "[::ffff:1.2.3.4]", "GET, example.com", "G3T example.com",
    ],
)  # fmt: skip
def test_what_names_no_host_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        HostRule.allowing(text)
    assert caught.value.code == "config.host"


@pytest.mark.parametrize(
    ("rule", "url", "covered"),
    [
        ("example.com", "https://example.com", True),
        ("example.com", "http://example.com", True),
        ("example.com", "https://example.com:8443", False),
        ("example.com:8443", "https://example.com:8443", True),
        ("example.com:8443", "https://example.com", False),
        ("example.com:*", "https://example.com:8443", True),
        ("example.com", "https://www.example.com", False),
        ("*.example.com", "https://www.example.com", True),
        ("*.example.com", "https://a.b.example.com", True),
        ("*.example.com", "https://example.com", False),
        ("*.example.com", "https://notexample.com", False),
        ("*", "https://example.com", True),
        ("*", "https://localhost", False),
        ("*", "https://a.localhost", False),
        ("*", "https://192.0.2.1", False),
        ("localhost", "http://localhost", True),
        ("localhost", "http://127.0.0.1", False),
        ("127.0.0.1", "http://127.0.0.1", True),
        ("127.0.0.0/8", "http://127.9.9.9", True),
        ("127.0.0.0/8", "http://128.0.0.1", False),
        ("127.0.0.0/8", "http://[::1]/", False),
        ("[2001:db8::]/32", "http://[2001:db8:1::2]/", True),
        ("POST example.com", "https://example.com", False),
        ("GET example.com", "https://example.com", True),
    ],
)
def test_a_rule_covers_what_it_names(rule: str, url: str, covered: bool) -> None:
    assert HostRule.allowing(rule).covers(place(url)) is covered


def test_who_allows_says_little_and_who_denies_says_much() -> None:
    odd, unknown = place("https://example.com:99"), place("https://example.com", "")
    assert not HostRule.allowing("example.com").covers(odd)
    assert HostRule.denying("example.com").forbids(odd)
    assert not HostRule.allowing("GET example.com").covers(unknown)
    assert HostRule.denying("PUT example.com").forbids(unknown)
    assert not HostRule.denying("PUT example.com").forbids(place("https://example.com", "GET"))


@pytest.mark.parametrize(
    ("left", "right", "both"),
    [
        ("example.com", "example.com", "example.com"),
        ("*.example.com", "a.example.com:443", "a.example.com:443"),
        ("*.example.com", "*.b.example.com", "*.b.example.com"),
        ("*", "*.example.com", "*.example.com"),
        ("*:*", "example.com:99", "example.com:99"),
        ("GET,PUT a.b", "PUT,POST a.b", "PUT a.b"),
        ("10.0.0.0/8", "10.1.0.0/16", "10.1.0.0/16"),
        ("10.0.0.0/8", "10.1.2.3", "10.1.2.3"),
        ("*.example.com", "example.com", None),
        ("a.example.com", "b.example.com", None),
        ("a.b:80", "a.b:443", None),
        ("GET a.b", "PUT a.b", None),
        ("*", "10.0.0.1", None),
        ("*", "localhost", None),
        ("10.0.0.0/8", "11.0.0.0/8", None),
        ("0.0.0.0/0", "[::1]", None),
    ],
)
def test_what_two_rules_allow_together(left: str, right: str, both: str | None) -> None:
    for one, other in ((left, right), (right, left)):
        found = intersect_hosts([HostRule.allowing(one)], [HostRule.allowing(other)])
        assert [str(rule) for rule in found] == ([] if both is None else [both])


@pytest.mark.parametrize(
    ("address", "allowed", "denied", "admitted"),
    [
        ("93.184.216.34", ["example.com"], [], True),
        ("10.0.0.1", ["example.com"], [], False),
        ("10.0.0.1", ["example.com", "10.0.0.0/8"], [], True),
        ("10.0.0.1", ["example.com", "10.0.0.0/8:99"], [], False),
        ("127.0.0.1", ["example.com", "localhost"], [], False),
        ("169.254.169.254", ["example.com", "*"], [], False),
        ("::1", ["example.com"], [], False),
        ("::ffff:10.0.0.1", ["example.com"], [], False),
        ("::ffff:93.184.216.34", ["example.com"], [], True),
        ("224.0.0.1", ["example.com"], [], False),
        ("93.184.216.34", ["example.com"], ["93.184.0.0/16"], False),
    ],
)
def test_a_name_does_not_lead_into_a_private_network(
    address: str, allowed: list[str], denied: list[str], admitted: bool
) -> None:
    found = admits_address(
        ip_address(address),
        place("https://example.com"),
        allowed=[HostRule.allowing(text) for text in allowed],
        denied=[HostRule.denying(text) for text in denied],
    )
    assert found is admitted
