"""Client addresses, as rate limits and connection limits count them."""

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import quote

from rest_framework.settings import api_settings

# A client can use every IPv6 address of its /64: RFC 6177 assigns at least that much to each site.
IPV6_SITE_BITS = 64
MAX_ADDRESS_LENGTH = 64
ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::\d+)?", re.ASCII)


def forwarded_address(header: str, peer: str) -> str:
    """The client's network, from the last NUM_PROXIES entries of X-Forwarded-For: clients can forge earlier ones."""
    forwarded = [part.strip() for part in header.split(",")]
    proxies = api_settings.NUM_PROXIES or 0
    is_trusted = proxies and forwarded[0]
    return network_of(forwarded[-min(proxies, len(forwarded))] if is_trusted else peer)


def network_of(address: str) -> str:
    """The /64 network of an IPv6 address, or the IPv4 address itself. Other texts are quoted and cut to 64 characters.

    Some proxies append the client's port.
    """
    # Before the cache, whose keys have to be short: X-Forwarded-For may have 16 KB. No address is longer.
    return _network_of(address[:MAX_ADDRESS_LENGTH])


@lru_cache(4_096)
def _network_of(address: str) -> str:
    match = ADDRESS.fullmatch(address)
    try:
        parsed = ip_address(match[1] or match[2] if match else address)
    except ValueError:
        return quote(address)[:MAX_ADDRESS_LENGTH]
    if not isinstance(parsed, IPv6Address):
        return str(parsed)
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return f"{IPv6Address(int(parsed) >> IPV6_SITE_BITS << IPV6_SITE_BITS)}/{IPV6_SITE_BITS}"
