"""Which networks an address belongs to; IPv4 inside IPv6 counts as IPv4."""

import ipaddress
from collections.abc import Iterable
from functools import lru_cache

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def inside(source: str, networks: Iterable[str]) -> int:
    """The length of the longest prefix of these networks that holds the address; -1 where none does."""
    address = _address(source)
    if address is None:
        return -1
    lengths = (net.prefixlen for text in networks if address in (net := _network(text)))
    return max(lengths, default=-1)


@lru_cache(maxsize=4096)
def _network(text: str) -> Network:
    return ipaddress.ip_network(text, strict=False)


def _address(text: str) -> Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, ipaddress.IPv6Address) else address
