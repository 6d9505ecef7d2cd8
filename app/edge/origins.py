"""Where a request comes from: which page, by which way, from which address; and whether it may come in at all.

Browsers say which page a request is from (`Origin`), and proxies of ours (`TRUSTED_PROXIES`) which address, and whether
it came by TLS. From anybody else such headers are hearsay: they count for nothing, and where guests are served on
this machine only, they are a reason to refuse.
"""

import ipaddress
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from app.config import Settings, loopback
from app.core.errors import BadFrame, Forbidden

SINGLE: Final = ("host", "authorization", "cookie", "content-type", "x-user-id")
ELSEWHERE: Final = ("cross-site", "same-site")  # said by browsers, and by no page (Fetch Metadata)
READS: Final = ("GET", "HEAD", "OPTIONS")
FORWARDED: Final = (
    "forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "x-forwarded", "true-client-ip", "cdn-loop",
    "cf-connecting-ip", "fly-client-ip", "fastly-client-ip", "x-original-forwarded-for", "x-proxyuser-ip",
)  # fmt: skip
FORWARDING: Final = ("x-forwarded-", "x-envoy-", "cf-", "x-amzn-")
PREFIX_OF_ONE: Final = 64  # of IPv6: what one household has
HERE: Final = ""  # an address of this machine


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who sends a request, before anybody knows who they are.

    `address` is what their limits are counted by: an IPv4 address, a /64 of IPv6, or empty for this machine. `secure`:
    they came by TLS.
    """

    headers: Headers
    address: str
    secure: bool


class Origins:
    """The rules of one node."""

    def __init__(self, settings: Settings) -> None:
        self._only_here = settings.auth == "guest" and not settings.allow_guests
        self._proxies = networks(settings.trusted_proxies)
        nodes = map(urlsplit, settings.nodes)
        self.allowed = frozenset({*settings.allowed_origins, *(f"{url.scheme}://{url.netloc}" for url in nodes)})

    def admit(self, scope: Scope) -> Visitor:
        """Let a request in, whoever it is from.

        Raises:
            Forbidden: it comes from a foreign page, or by a way that is not served.
            BadFrame: it says several times what can be said once.
        """
        headers = Headers(scope=scope)
        for name in SINGLE:
            single(headers, name)
        host = headers.get("host", "")
        if self._only_here:
            self._from_here(headers, host, scope.get("http_version", ""))
        visitor = self.visitor(scope)
        own = (f"https://{host}",) if visitor.secure else (f"http://{host}", f"https://{host}")
        for origin in headers.getlist("origin"):
            if origin not in self.allowed and origin not in own:
                raise Forbidden(f"pages of {origin[:80]!r} may not connect; ALLOWED_ORIGINS names those that may")
        reads = scope["type"] == "http" and scope["method"] in READS
        if "origin" not in headers and headers.get("sec-fetch-site") in ELSEWHERE and not reads:
            raise Forbidden("a browser says that another site sent this, and not which; expected an Origin")
        return visitor

    def _from_here(self, headers: Headers, host: str, version: str) -> None:
        """Refuse what may come from elsewhere. A proxy on this machine that leaves no trace at all is not seen."""
        if "@" in host or not loopback(hostname(host)):
            raise Forbidden(f"Host is {host[:80]!r}; guests are served on this machine only, e.g. at 127.0.0.1")
        if version == "1.0":
            raise Forbidden("HTTP/1.0 is what proxies speak; guests are served directly only, by HTTP/1.1")
        for name in headers:
            if forwarded(name):
                raise Forbidden(f"the header {name} says that a proxy sent this; guests are served directly only")

    def visitor(self, scope: Scope) -> Visitor:
        """Say by which way a request has come."""
        headers = Headers(scope=scope)
        peer = scope["client"][0] if scope.get("client") else ""
        secure = scope["scheme"] in ("https", "wss")
        if not self._trusted(peer):
            return Visitor(headers, counted(peer), secure)
        way = [part.strip() for value in headers.getlist("x-forwarded-for") for part in value.split(",")]
        said = next((part for part in reversed(way) if part and not self._trusted(part)), peer)
        protocols = headers.get("x-forwarded-proto", "").split(",")
        return Visitor(headers, counted(said), secure or protocols[-1].strip().lower() == "https")

    def _trusted(self, address: str) -> bool:
        try:
            found = ipaddress.ip_address(_bare(address))
        except ValueError:
            return False
        return any(found in network for network in self._proxies)


def networks(texts: Sequence[str]) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    """Read addresses and networks.

    Raises:
        ValueError: one is neither.
    """
    return [ipaddress.ip_network(text, strict=False) for text in texts]


def single(headers: Headers, name: str) -> str:
    """Read a header that has a meaning only once: whoever sends two has each reader believe another (RFC 9112, 11.2).

    Raises:
        BadFrame
    """
    found = headers.getlist(name)
    if len(found) > 1:
        raise BadFrame(f"the header {name} is there {len(found)} times; expected one")
    return found[0] if found else ""


def forwarded(name: str) -> bool:
    """Say whether a header is the trace of a proxy."""
    return name in FORWARDED or name.startswith(FORWARDING)


def counted(address: str) -> str:
    """Give the address by which limits are counted; one that cannot be read counts as itself."""
    try:
        found = ipaddress.ip_address(_bare(address).partition("%")[0])
    except ValueError:
        return address[:64]
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    if found.is_loopback:
        return HERE
    if isinstance(found, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((found, PREFIX_OF_ONE), strict=False))
    return str(found)


def _bare(address: str) -> str:
    """An address without the port that some proxies write with it."""
    if address.startswith("["):
        return address[1:].partition("]")[0]
    return address.partition(":")[0] if address.count(":") == 1 else address


def is_address(host: str) -> bool:
    """Say whether a `Host` header names an address, or this machine: no name that somebody could rebind."""
    name = hostname(host)
    return loopback(name) or bool(re.fullmatch(r"[0-9.]+|[0-9a-f:.]+", name) and _readable(name))


def hostname(host: str) -> str:
    """The name in a `Host` header, without its port; empty where it cannot be read."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _readable(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True
