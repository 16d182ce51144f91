"""Which places on the network a context reaches.

Owns `HostRule`, its spelling, and the comparison of a destination with rules that allow and rules that deny; denials
win. Names are compared as text, in the canonical form of `destination`. Must not resolve a name: the egress proxy does,
and asks `admits_address` about what it found, so that a name does not lead to a private network by surprise.

A rule that allows says as little as possible and one that denies as much as possible: without a port, the first means
the ports of HTTP and HTTPS, the second every port; a call whose method is not known is outside every rule that allows
certain methods, and inside every one that denies them. Rules come from the operator, URLs from plans.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from cloister.authority.destination import PORT_MAX, Address, Destination, address_of, canonical_host
from cloister.authority.pattern import STAR
from cloister.errors import ConfigError, quoted

WEB_PORTS: Final = frozenset({80, 443})
"""What a rule that allows means when it names no port. Source: RFC 9110 section 4.2."""
RULES_COUNT_MAX: Final = 1000
METHODS_COUNT_MAX: Final = 40

Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

_RULE: Final = re.compile(
    r"(?:(?P<methods>[A-Za-z]+(?:,[A-Za-z]+)*) +)?"
    r"(?P<host>\[[0-9A-Fa-f:.]+\](?:/[0-9]{1,3})?|[^\s\[\]:@/]+(?:/[0-9]{1,2})?)(?::(?P<port>[0-9]{1,5}|\*))?"
)
_EXAMPLE: Final = "write for example api.example.com, *.example.com:8443, 'GET,HEAD example.com' or 192.0.2.0/24"


@dataclass(frozen=True, slots=True, kw_only=True)
class HostRule:
    """One place or family of places. Make one with `allowing` or `denying`.

    Attributes:
        host: A canonical name or address; `*.example.com` for every name below that one; `*` for every name that is not
            of this machine; or a network of addresses such as `10.0.0.0/8`.
        ports: The ports; None for every port.
        methods: In capitals; None for every method.

    Raises:
        ConfigError: `config.host` when it could not be meant.
    """

    host: str
    ports: frozenset[int] | None = WEB_PORTS
    methods: frozenset[str] | None = None
    network: Network | None = field(init=False, repr=False, compare=False, default=None)

    def __post_init__(self) -> None:
        """Bring the host into its one form."""
        host, network = _canonical(self.host)
        object.__setattr__(self, "host", host)
        object.__setattr__(self, "network", network)
        if self.methods is not None:
            object.__setattr__(self, "methods", frozenset(method.upper() for method in self.methods))
        if self.ports is not None and not all(0 < port <= PORT_MAX for port in self.ports):
            raise _wrong(self.host)

    @classmethod
    def allowing(cls, text: str) -> HostRule:
        """Return what a text grants, for example `GET,HEAD *.example.com:8443`.

        Raises:
            ConfigError: `config.host`.
        """
        return _parsed(text, WEB_PORTS)

    @classmethod
    def denying(cls, text: str) -> HostRule:
        """Return what a text denies; without a port, every port.

        Raises:
            ConfigError: `config.host`.
        """
        return _parsed(text, None)

    def __str__(self) -> str:
        methods = f"{','.join(sorted(self.methods))} " if self.methods is not None else ""
        host = f"[{self.host}]" if ":" in self.host and "/" not in self.host else self.host
        if ":" in self.host and "/" in self.host:
            address, _, length = self.host.partition("/")
            host = f"[{address}]/{length}"
        if self.ports == WEB_PORTS:
            return f"{methods}{host}"
        return f"{methods}{host}:{STAR if self.ports is None else ','.join(map(str, sorted(self.ports)))}"

    def names(self, host: str) -> bool:
        """Return whether it names a canonical host."""
        if self.network is not None:
            address = address_of(host)
            return address is not None and self.names_address(address)
        if self.host == STAR:
            return not is_local(host) and address_of(host) is None
        return host.endswith(self.host[1:]) if self.host.startswith("*.") else host == self.host

    def names_address(self, address: Address) -> bool:
        """Return whether it names an address, itself or by its network; never by a name."""
        return self.network is not None and address.version == self.network.version and address in self.network

    def covers(self, place: Destination) -> bool:
        """Return whether it allows a destination: host, port and method."""
        return (
            (self.ports is None or place.port in self.ports)
            and (self.methods is None or place.method in self.methods)
            and self.names(place.host)
        )

    def forbids(self, place: Destination) -> bool:
        """Return whether it denies a destination; a method that is not known is among those it denies."""
        return (
            (self.ports is None or place.port in self.ports)
            and (self.methods is None or not place.method or place.method in self.methods)
            and self.names(place.host)
        )

    def intersection(self, other: HostRule) -> HostRule | None:
        """Return what both allow, or None when that is nothing."""
        host = _common_host(self, other)
        ports = _common(self.ports, other.ports)
        methods = _common(self.methods, other.methods)
        if host is None or ports == frozenset() or methods == frozenset():
            return None
        return HostRule(host=host, ports=ports, methods=methods)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {
            "host": self.host,
            "ports": None if self.ports is None else sorted(self.ports),
            "methods": None if self.methods is None else sorted(self.methods),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> HostRule:
        """Return the rule that `to_dict` wrote."""
        ports, methods = data["ports"], data["methods"]
        return cls(
            host=data["host"],
            ports=None if ports is None else frozenset(ports),
            methods=None if methods is None else frozenset(methods),
        )


def is_local(host: str) -> bool:
    """Return whether a canonical name stands for this machine. Source: RFC 6761 section 6.3."""
    return host == "localhost" or host.endswith(".localhost")


def granting_rule(place: Destination, rules: Iterable[HostRule]) -> HostRule | None:
    """Return the first rule that allows a destination, or None."""
    return next((rule for rule in rules if rule.covers(place)), None)


def denying_rule(place: Destination, rules: Iterable[HostRule]) -> HostRule | None:
    """Return the first rule that denies a destination, or None."""
    return next((rule for rule in rules if rule.forbids(place)), None)


def admits_address(
    address: Address, place: Destination, *, allowed: Sequence[HostRule], denied: Sequence[HostRule]
) -> bool:
    """Return whether a name that is allowed may lead to an address.

    An address that is not of the public internet must be named itself, or by its network: a name alone does not open
    the private networks of this machine, whatever it resolves to.

    Args:
        address: What the name was resolved to.
        place: The destination that was allowed.
        allowed: The rules of the context that allow.
        denied: Those that deny.
    """
    mapped = getattr(address, "ipv4_mapped", None)
    if mapped is not None:
        return admits_address(mapped, place, allowed=allowed, denied=denied)
    literal = Destination(scheme=place.scheme, host=str(address), port=place.port, method=place.method)
    if denying_rule(literal, denied):
        return False
    public = address.is_global and not address.is_multicast
    return public or granting_rule(literal, allowed) is not None


def intersect_hosts(left: Iterable[HostRule], right: Iterable[HostRule]) -> tuple[HostRule, ...]:
    """Return the rules for what both lists allow, in their one order.

    Cost: the product of both lengths.
    """
    rights = tuple(right)
    return ordered_hosts(both for mine in left for theirs in rights if (both := mine.intersection(theirs)))


def ordered_hosts(rules: Iterable[HostRule]) -> tuple[HostRule, ...]:
    """Return the rules without repetitions, sorted by their text."""
    return tuple(sorted(set(rules), key=str))


def checked_hosts(rules: Iterable[HostRule | str], *, denying: bool = False) -> tuple[HostRule, ...]:
    """Return rules from texts and rules, in their one order.

    Raises:
        ConfigError: `config.host`.
    """
    make = HostRule.denying if denying else HostRule.allowing
    found = ordered_hosts(rule if isinstance(rule, HostRule) else make(rule) for rule in rules)
    if len(found) > RULES_COUNT_MAX:
        raise ConfigError(
            f"there are {len(found)} rules about hosts; at most {RULES_COUNT_MAX} are taken",
            code="config.host",
            hint="name domains with *. or networks",
        )
    return found


def uncovered_hosts(rules: Iterable[HostRule], held: Sequence[HostRule]) -> Iterator[HostRule]:
    """Yield the rules that allow something which no single held rule allows."""
    return (rule for rule in rules if not any(rule.intersection(each) == rule for each in held))


def _wrong(text: str) -> ConfigError:
    return ConfigError(f'"{quoted(str(text))}" names no host', code="config.host", hint=_EXAMPLE)


def _parsed(text: str, default: frozenset[int] | None) -> HostRule:
    parts = _RULE.fullmatch(text.strip()) if isinstance(text, str) else None
    if parts is None:
        raise _wrong(text)
    port = parts["port"]
    methods = frozenset(parts["methods"].upper().split(",")) if parts["methods"] else None
    if methods is not None and len(methods) > METHODS_COUNT_MAX:
        raise _wrong(text)
    ports = default if port is None else None if port == STAR else frozenset({int(port)})
    return HostRule(host=parts["host"], ports=ports, methods=methods)


def _canonical(text: str) -> tuple[str, Network | None]:
    if text == STAR:
        return STAR, None
    address, slash, length = text.partition("/")
    wild = address.startswith("*.")
    host = canonical_host(address[2:] if wild else address)
    if host is None or STAR in host:
        raise _wrong(text)
    known = address_of(host)
    if known is None:
        if slash:
            raise _wrong(text)
        return (f"*.{host}" if wild else host), None
    if wild:
        raise _wrong(text)
    try:
        network = ipaddress.ip_network(f"{host}/{length}" if slash else host)
    except ValueError:
        # Bits beyond the length of the network: it is not clear which of both was meant
        raise _wrong(text) from None
    return (str(network) if network.num_addresses > 1 else str(network.network_address)), network


def _common_host(left: HostRule, right: HostRule) -> str | None:
    if left.network is not None and right.network is not None:
        return _common_network(left.network, right.network)
    for wide, small in ((left, right), (right, left)):
        if wide.host == small.host or _family_holds(wide, small):
            return small.host
    return None


def _family_holds(wide: HostRule, small: HostRule) -> bool:
    """Return whether every host the small rule names is named by the wide one too; neither is a network."""
    if small.network is not None or small.host == STAR:
        return False
    name = small.host.removeprefix("*.")
    if wide.host == STAR:
        return not is_local(name)
    return wide.host.startswith("*.") and name.endswith(wide.host[1:])


def _common_network(left: Network, right: Network) -> str | None:
    if left.version != right.version or not left.overlaps(right):
        return None
    small = left if left.prefixlen >= right.prefixlen else right
    return str(small) if small.num_addresses > 1 else str(small.network_address)


_Names: TypeAlias = frozenset[Any] | None


def _common(left: _Names, right: _Names) -> _Names:
    if left is None or right is None:
        return right if left is None else left
    return left & right


EVERY_HOST: Final = tuple(
    HostRule(host=host, ports=None) for host in (STAR, "localhost", "*.localhost", "0.0.0.0/0", "::/0")
)
"""What `UnsafeEverything` reaches."""
