"""Connections to public addresses alone.

Rules: a name is resolved once, here; every address that it has must be public; and what is dialled is one of those
addresses, not the name. So a name whose address changes between the look and the call leads nowhere else. The name
stays what TLS is held to, and what the server is told.

Sources: RFC 6890 (special addresses), RFC 6052 (NAT64), RFC 7526 (6to4, which is over), RFC 4380 (Teredo).
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

import httpcore2

from app.agent.tools.tool import ToolError

CONNECT_SECONDS: Final = 5.0  # for one address
TRIED: Final = 4  # addresses of one name
NAT64: Final = ip_network("64:ff9b::/96")
FURTHER: Final = tuple(  # that are not global, whatever this version of Python knows
    ip_network(network)
    for network in (
        "192.0.0.0/24", "192.88.99.0/24", "fec0::/10", "3fff::/20",
        "168.63.129.16/32",  # by which Azure's machines reach what runs them
    )
)  # fmt: skip

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Allowed = Callable[[str], bool]


async def resolved(host: str, port: int) -> Sequence[str]:
    """Ask the system for a name's addresses; numbers in any form that it takes are names too."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return tuple(dict.fromkeys(str(address[0]) for *_, address in found))


def public(address: str) -> bool:
    """Say whether an address is one of the Internet's, also where it carries another."""
    try:
        return _is_public(ip_address(address))
    except ValueError:
        return False


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        if carried := address.ipv4_mapped or (IPv4Address(int(address) & 0xFFFF_FFFF) if address in NAT64 else None):
            return _is_public(carried)
        if address.teredo or address.sixtofour:
            return False
    special = address.is_multicast or address.is_reserved or any(address in network for network in FURTHER)
    return address.is_global and not special


class Pinned(httpcore2.AsyncNetworkBackend):
    """Connects to addresses that were checked, and to nothing else."""

    def __init__(self, resolve: Resolve, allowed: Allowed) -> None:
        self._resolve = resolve
        self._allowed = allowed
        self._plain = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        """Connect to the first of a name's addresses that answers.

        Raises:
            ToolError: there is no such name, or it is not a public address.
        """
        try:
            addresses = await self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise ToolError(f"there is no {host}") from error
        if not addresses or not all(map(self._allowed, addresses)):
            raise ToolError(f"{host} is not a public address")
        failed: Exception = httpcore2.ConnectError()
        for address in addresses[:TRIED]:
            try:
                return await self._plain.connect_tcp(
                    address, port, CONNECT_SECONDS, local_address=local_address, socket_options=socket_options
                )
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failed = error
        raise failed
