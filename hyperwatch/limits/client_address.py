"""Where clients come from, as they are counted."""

import re
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from urllib.parse import quote

from rest_framework.settings import api_settings

# Whoever has one address of IPv6 has all that share its first half (RFC 6177 gives each site no less).
SITE_BITS = 64
ADDRESS = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::\d+)?", re.ASCII)


def forwarded_address(header: str, peer: str) -> str:
    """By an X-Forwarded-For and the peer. The header counts only as far as NUM_PROXIES says: anyone may write it."""
    forwarded = [part.strip() for part in header.split(",")]
    proxies = api_settings.NUM_PROXIES or 0
    is_told = proxies and forwarded[0]
    return network_of(forwarded[-min(proxies, len(forwarded))] if is_told else peer)


@lru_cache(4_096)
def network_of(address: str) -> str:
    """The site of an address of IPv6, the address itself of IPv4; what is no address is quoted and cut.

    Some proxies tell the client's port with it.
    """
    told = ADDRESS.fullmatch(address)
    try:
        known = ip_address(told[1] or told[2] if told else address)
    except ValueError:
        return quote(address)[:64]
    if not isinstance(known, IPv6Address):
        return str(known)
    if known.ipv4_mapped:
        return str(known.ipv4_mapped)
    return f"{IPv6Address(int(known) >> SITE_BITS << SITE_BITS)}/{SITE_BITS}"
