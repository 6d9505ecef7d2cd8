"""Who may come in, and who they are, in guest mode.

Guests need no login, so by default only this machine is served, and everything that a page on another origin, a
rebound name or a proxy on this host could send is refused, on every route: a Host that is not loopback, any
forwarding header, any foreign Origin. A page is known by an HttpOnly cookie, a program by `X-User-Id`, each in a
namespace of its own; `X-User-Id` counts only where there is neither an Origin nor a Sec-Fetch-Site header, since
those come from browsers. A Bearer header is ignored.

`ALLOW_GUESTS=1` lifts the loopback rules, for a trusted network or behind a proxy. Then only the cookie counts, and
`X-User-Id` is refused.
"""

import re
import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from app.config import Settings, loopback
from app.core.errors import Forbidden, Unauthorized
from app.core.model import User

COOKIE: Final = "chat_guest"
COOKIE_SECONDS: Final = 365 * 86_400
GUEST: Final = re.compile(r"[A-Za-z0-9_-]{22}\Z")
NAME: Final = re.compile(r"[\x21-\x7e]{1,128}\Z")
FORWARDED: Final = ("forwarded", "x-real-ip", "via")


class Guests:
    """The rules of guest mode for one node."""

    def __init__(self, settings: Settings) -> None:
        self._open = settings.allow_guests
        nodes = map(urlsplit, settings.nodes)
        self._origins = {*settings.allowed_origins, *(f"{url.scheme}://{url.netloc}" for url in nodes)}

    def admit(self, headers: Headers) -> None:
        """Let a request in, whoever it is from.

        Raises:
            Forbidden: it comes from a foreign page, or by a way that guest mode does not serve.
        """
        host = headers.get("host", "")
        if not self._open:
            if not loopback(_hostname(host)):
                raise Forbidden(f"Host is {host[:80]!r}; guests are served on this machine only, e.g. at 127.0.0.1")
            for name in headers:
                if name in FORWARDED or name.startswith("x-forwarded-"):
                    raise Forbidden(f"the header {name} says that a proxy sent this; guests are served directly only")
        for origin in headers.getlist("origin"):
            if origin not in self._origins and origin not in (f"http://{host}", f"https://{host}"):
                raise Forbidden(f"pages of {origin[:80]!r} may not connect; ALLOWED_ORIGINS names those that may")

    def identify(self, headers: Headers) -> User | None:
        """Say who sent a request; None if it names nobody.

        Raises:
            Forbidden: it names itself in a way that does not count here.
            Unauthorized: the name or the cookie cannot be one.
        """
        if (name := headers.get("x-user-id")) is not None:
            return self.named(name, headers)
        cookie = _cookie(headers)
        if cookie is None:
            return None
        if not GUEST.match(cookie):
            raise Unauthorized(f"the cookie {COOKIE} is not one of ours; open the page anew")
        return User.of("guest:cookie", cookie)

    def named(self, name: str, headers: Headers) -> User:
        """Say which user a program is that names itself.

        Raises:
            Forbidden, Unauthorized: see `identify`.
        """
        if self._open:
            raise Forbidden("with ALLOW_GUESTS nobody names themselves; take the cookie from GET /")
        if "origin" in headers or "sec-fetch-site" in headers:
            raise Forbidden("a name is for programs; a page is known by its cookie")
        if not NAME.match(name):
            raise Unauthorized("a user's name is 1 to 128 visible ASCII characters")
        return User.of("guest:name", name)

    def known(self, headers: Headers) -> bool:
        """Say whether a page has a cookie that can be kept."""
        cookie = _cookie(headers)
        return cookie is not None and bool(GUEST.match(cookie))


def new_guest() -> str:
    """Make a cookie's value: 128 bits that nobody can guess."""
    return secrets.token_urlsafe(16)


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _cookie(headers: Headers) -> str | None:
    try:
        cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return cookie.value if cookie else None
