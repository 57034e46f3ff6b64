"""The policy of addresses: the browser may connect to public ones, and to hosts that the person names.

The tables are IANA's special-purpose address registries (RFC 6890 and later additions), which differ between
versions of Python's `ipaddress`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

PORTS = frozenset({80, 443})

_MACHINE, _PRIVATE, _GROUP = "this machine itself", "in a private network", "a multicast group"
_LINK = "on the local link, where a cloud keeps its metadata"
_CARRIER, _RESERVED = "in a carrier's inner network", "in a reserved range"
_NOT_PUBLIC_4 = {
    IPv4Network(network): what
    for what, networks in {
        _MACHINE: ("0.0.0.0/8", "127.0.0.0/8"),
        _PRIVATE: ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),
        _LINK: ("169.254.0.0/16", "168.63.129.16/32"),  # the latter is Azure's own
        _CARRIER: ("100.64.0.0/10",),
        _RESERVED: (
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "198.18.0.0/15", "198.51.100.0/24"),
            *("203.0.113.0/24", "240.0.0.0/4"),
        ),
        _GROUP: ("224.0.0.0/4",),
    }.items()
    for network in networks
}
_PUBLIC_6 = IPv6Network("2000::/3")
_NOT_PUBLIC_6 = {
    IPv6Network(network): what
    for what, networks in {
        _MACHINE: ("::/127",),
        _PRIVATE: ("fc00::/7", "fec0::/10"),
        _LINK: ("fe80::/10",),
        _GROUP: ("ff00::/8",),
        _RESERVED: ("2001::/23", "2001:db8::/32", "3fff::/20"),
    }.items()
    for network in networks
}
_TEREDO = IPv6Network("2001::/32")
# Networks with an IPv4 address in the last 32 bits: mapped, compatible, translated, and NAT64.
_ENDS_IN_4 = tuple(map(IPv6Network, ("::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96")))

IPAddress = IPv4Address | IPv6Address

_ALLOW = "The user can allow a host of their own by its name, in the setting allow_hosts."

_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\s:/?#@\[\]\\%]+)(:(?P<port>\d{1,5}))?")


def parse_host(text: str) -> tuple[str, int | None]:
    """The host and the port, if one is named, of HOST or HOST:PORT; raises ValueError for anything else."""
    found = _HOST.fullmatch(text.strip())
    port = int(found["port"]) if found and found["port"] else None
    if found is None or (port is not None and not 0 < port < 65536):
        raise ValueError
    return _name(found["host"].strip("[]")), port


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules for connections. `allowed` are hosts from `parse_host`, whose addresses are not judged.

    A host without a port is allowed on the usual `ports`, a host with one on that port alone.
    """

    allowed: frozenset[tuple[str, int | None]] = frozenset()
    ports: frozenset[int] = PORTS

    def allows(self, host: str, port: int) -> bool:
        """Whether the person allowed this host, in the spelling of the address."""
        name = _name(host)
        return (name, port) in self.allowed or ((name, None) in self.allowed and port in self.ports)

    def objection_to_port(self, host: str, port: int) -> str | None:
        """The objection to requests to this port of the host; None if they are allowed."""
        if port in self.ports or self.allows(host, port):
            return None
        return f"Port {port} is not one of the web's (80, 443). {_ALLOW}"

    def objection(self, host: str, port: int, address: IPAddress) -> str | None:
        """The objection to a connection to the host at `address`; None if it is allowed."""
        if self.allows(host, port) or (where := not_public(address)) is None:
            return None
        leads = "is" if _name(host) == str(address) else f"leads to {address}, which is"
        return f"{host} {leads} {where}, and only public addresses are opened. {_ALLOW}"


def not_public(address: IPAddress) -> str | None:
    """The network of `address` if it is not public; None if it is.

    An IPv6 address that contains an IPv4 address is judged by the latter.
    """
    if isinstance(address, IPv4Address):
        return next((what for network, what in _NOT_PUBLIC_4.items() if address in network), None)
    if inner := _within(address):
        return next(filter(None, map(not_public, inner)), None)
    if what := next((what for network, what in _NOT_PUBLIC_6.items() if address in network), None):
        return what
    return None if address in _PUBLIC_6 else _RESERVED


def _within(address: IPv6Address) -> tuple[IPv4Address, ...]:
    """The IPv4 addresses in `address`; most addresses have none."""
    number = int(address)
    if number > 1 and any(address in network for network in _ENDS_IN_4):
        return (IPv4Address(number & 0xFFFFFFFF),)
    if address.sixtofour is not None:
        return (address.sixtofour,)
    if address in _TEREDO and address.teredo is not None:
        return address.teredo
    return ()


def _name(host: str) -> str:
    """The canonical spelling of a host."""
    name = host.lower().rstrip(".")
    try:
        return str(ip_address(name))
    except ValueError:
        return name
