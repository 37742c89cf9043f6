"""Which addresses belong to a network of one's own, and who may lead there.

A name of the public web that leads to such an address is an attack (DNS rebinding, SSRF) or a
name of the operator's own: only the configuration can tell, so it has to say so.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from urllib.parse import urlsplit
from urllib.request import getproxies

_OWN = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "private", "arpa")
"""Last parts of names that the public web never has (RFC 6761, 6762, 8375, 9476 and custom)."""
_NAT64 = IPv6Network("64:ff9b::/96")


def inside(address: str) -> bool:
    """Whether an IP address is not one of the public internet; what is none is taken for inside."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return True
    found = _meant(found)
    return not found.is_global or found.is_multicast


def _meant(address: IPv4Address | IPv6Address) -> IPv4Address | IPv6Address:
    """The IPv4 address that an IPv6 one stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address.ipv4_mapped or address.sixtofour or address


def named(host: str) -> bool:
    """Whether a host says by itself where it leads: an IP address, or a name of one's own network.

    Other ways to write an IPv4 address (``127.1``, ``0x7f000001``) say nothing.
    """
    host = host.strip("[]").rstrip(".").casefold()
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        last = host.rpartition(".")[2]
        plain = not any(each.isdecimal() or each.startswith("0x") for each in host.split("."))
        return plain and (last == host or last in _OWN)
    return True


def proxies() -> frozenset[str]:
    """The hosts of the proxies that the environment names."""
    hosts = {
        urlsplit(url if "://" in url else f"//{url}").hostname for url in getproxies().values()
    }
    return frozenset(host for host in hosts if host)
