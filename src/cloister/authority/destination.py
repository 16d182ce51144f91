"""Where a URL leads, as text says it.

Owns the reading of a URL into scheme, host and port, and the one form of a host that rules are compared with: lower
case, internationalised names as ASCII, addresses in their shortest form. Must not resolve names: what a name resolves
to is for the egress proxy, which asks the same rules again. URLs come from plans and are hostile: whatever two readers
could understand differently is refused, not repaired.

Source: RFC 3986 sections 3.1 to 3.3; RFC 5891 and RFC 3490 for internationalised names; WHATWG URL Standard, "host
parsing", for the odd forms of addresses that other readers accept.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

URL_CHARS_MAX: Final = 8192
HOST_CHARS_MAX: Final = 253
PORT_MAX: Final = 65535
DEFAULT_PORTS: Final[Mapping[str, int]] = MappingProxyType({"http": 80, "https": 443, "ws": 80, "wss": 443})
"""The schemes that can be granted, with their ports. Source: RFC 9110 section 4.2, RFC 6455 section 3."""
Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)(?:[/?#].*)?")
_AUTHORITY: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\[\]:@]+)(?::([0-9]{1,5}))?")
_LABEL: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""A last label of this form makes readers take the whole host for an address."""
_DIFFERENTLY_MAPPED: Final = frozenset("\u00df\u03c2\u200c\u200d")
"""What the two editions of internationalised names map differently. Source: UTS 46 section 2, deviations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """One place on the network that a call wants to reach.

    Attributes:
        scheme: One of `DEFAULT_PORTS`.
        host: In canonical form; see `canonical_host`.
        port: 1 to 65535; that of the scheme when the URL names none.
        method: In capitals; empty when the capability takes none, or it is not known.
    """

    scheme: str
    host: str
    port: int
    method: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.method} {host}:{self.port}".lstrip()

    @property
    def address(self) -> Address | None:
        """The address the host is, or None when it is a name."""
        return address_of(self.host)


def destination(url: str, method: str = "") -> Destination | None:
    """Return where a URL leads, or None when it does not say so beyond doubt.

    Args:
        url: Hostile text.
        method: What is asked of the place, in any case; empty when nothing is said.
    """
    if len(url) > URL_CHARS_MAX or not url.isprintable() or "\\" in url or " " in url:
        return None
    parts = _URL.fullmatch(url)
    if parts is None or parts[1].lower() not in DEFAULT_PORTS:
        return None
    # An @ is userinfo, which people and programs mistake for the host
    authority = _AUTHORITY.fullmatch(parts[2])
    host = canonical_host(authority[1]) if authority else None
    if authority is None or host is None:
        return None
    scheme = parts[1].lower()
    port = int(authority[2]) if authority[2] else DEFAULT_PORTS[scheme]
    if not 0 < port <= PORT_MAX or (method and not (method.isascii() and method.isalpha())):
        return None
    return Destination(scheme=scheme, host=host, port=port, method=method.upper())


def canonical_host(text: str) -> str | None:
    """Return the one form of a host, or None when it has none.

    Args:
        text: A name or an address, an IPv6 address with or without brackets. One dot at the end is dropped.
    """
    if text.startswith("[") or ":" in text:
        return _canonical_ipv6(text.removeprefix("[").removesuffix("]"))
    name = text.removesuffix(".")
    if not name or len(name) > HOST_CHARS_MAX or not _DIFFERENTLY_MAPPED.isdisjoint(name):
        return None
    try:
        # Compatibility forms of dots and letters become plain ones here, before anything is compared
        ascii_name = name.lower() if name.isascii() else name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        return None
    labels = ascii_name.split(".")
    if len(ascii_name) > HOST_CHARS_MAX or not all(map(_LABEL.fullmatch, labels)):
        return None
    if _NUMBER.fullmatch(labels[-1]):
        return _canonical_ipv4(ascii_name)
    return ascii_name


def address_of(host: str) -> Address | None:
    """Return the address a canonical host is, or None when it is a name."""
    # A name has a letter in its last label, so this tells them apart without trying to read every name as an address
    if ":" not in host and not host[-1:].isdigit():
        return None
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _canonical_ipv4(text: str) -> str | None:
    try:
        # Refuses octal and shortened forms, which readers understand differently
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        return None


def _canonical_ipv6(text: str) -> str | None:
    try:
        address = ipaddress.IPv6Address(text)
    except ValueError:
        return None
    # An IPv4 address in other clothes, or bound to an interface: rules would be compared with the wrong one
    if address.ipv4_mapped or address.sixtofour or address.teredo or address.scope_id:
        return None
    return str(address)
