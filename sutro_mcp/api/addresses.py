"""Which network addresses a download may go to: public ones, by the registries of special-purpose addresses.

Data of our own rather than `ipaddress.is_global`, whose answer depends on the version of Python and lets
translated and tunnelled addresses pass, behind which any other address may be.
"""

from ipaddress import ip_address, ip_network

_SPECIAL = tuple(
    ip_network(each)
    for each in (
        "0.0.0.0/8",  # this host on this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # shared by the customers of a provider
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link-local; clouds serve credentials there
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # relays to 6to4, deprecated
        "192.168.0.0/16",  # private
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, and broadcast
        # All of IPv6 outside of 2000::/3, which alone is assigned for global unicast:
        "::/3",  # unspecified, loopback, IPv4 in ::/96 and ::ffff:0:0/96, translated IPv4 in 64:ff9b::/96
        "4000::/2",  # reserved, segment routing 5f00::/16
        "8000::/1",  # private fc00::/7, link-local fe80::/10, site-local fec0::/10, multicast ff00::/8
        # And inside of it:
        "2001::/23",  # protocol assignments: Teredo tunnels, benchmarks, ORCHID
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4 tunnels
        "3ffe::/16",  # a test network, returned
        "3fff::/20",  # documentation
    )
)


def is_public(address: str) -> bool:
    """Whether `address` is one of the public internet; `ValueError` if it is no address."""
    found = ip_address(address)
    return not any(found in network for network in _SPECIAL)
