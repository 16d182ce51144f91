from __future__ import annotations

import pytest

from cloister.authority.destination import canonical_host, destination


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.com", "example.com:443"),
        ("HTTP://EXAMPLE.com/a?b#c", "example.com:80"),
        ("https://example.com.", "example.com:443"),
        ("https://example.com:8443/", "example.com:8443"),
        ("wss://example.com?x", "example.com:443"),
        ("https://b\u00fccher.example/", "xn--bcher-kva.example:443"),
        ("https://B\u00dcCHER.example/", "xn--bcher-kva.example:443"),
        ("https://\uff45xample.com", "example.com:443"),
        ("https://example\u3002com", "example.com:443"),
        ("http://127.0.0.1:8080/", "127.0.0.1:8080"),
        ("http://[::1]/", "[::1]:80"),
        ("http://[2001:DB8:0::1]:81/", "[2001:db8::1]:81"),
        ("https://example.com/a@b", "example.com:443"),
        ("https://my_host.example", "my_host.example:443"),
    ],
)
def test_a_plain_url_says_where_it_leads(url: str, shown: str) -> None:
    assert str(destination(url)) == shown


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.com",
        "//example.com",
        "ftp://example.com",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user@example.com",
        "https://good.example@evil.example",
        "https://user:secret@example.com/",
        "https://example.com\\@evil.example",
        "https:\\\\example.com",
        "https://exa mple.com",
        "https://example.com\n",
        "https://exam\tple.com",
        "https://example.com:0",
        "https://example.com:65536",
        "https://example.com:",
        "https://example.com:+80",
        "https://example.com:80:80",
        "https://example..com",
        "https://.example.com",
        "https://-a.example.com",
        "https://ex%61mple.com",
        "https://2130706433/",
        "https://0177.0.0.1/",
        "https://0x7f.1/",
        "https://127.1/",
        "https://1.2.3.4.5/",
        "https://example.0x1",
        "http://[::ffff:127.0.0.1]/",
        "http://[2002:7f00:1::]/",
        "http://[fe80::1%25eth0]/",
        "http://[::1",
        "http://::1/",
        "https://fa\u00df.de",
        "https://a\u200db.example",
        "https://" + "a" * 64 + ".example",
        "https://" + "a." * 130 + "example",
        "https://example.com/" + "a" * 9000,
        "https://\u2488.example",
    ],
)
def test_what_two_readers_could_understand_differently_is_refused(url: str) -> None:
    assert destination(url) is None


def test_a_method_is_told_in_capitals() -> None:
    assert str(destination("https://example.com", "get")) == "GET example.com:443"
    assert destination("https://example.com", "GET / HTTP") is None


@pytest.mark.parametrize("text", ["::1", "[::1]"])
def test_an_address_is_named_with_or_without_brackets(text: str) -> None:
    assert canonical_host(text) == "::1"
