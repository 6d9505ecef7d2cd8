"""Who somebody is: what a request, or a `hello`, brings along is turned into an identity here.

`AUTH=guest`: a page is known by an HttpOnly cookie, a program by `X-User-Id`, each in a namespace of its own. The name
counts only where there is neither an Origin nor a Sec-Fetch-Site header, since those come from browsers, and only on
this machine: with `ALLOW_GUESTS=1`, nobody names themselves. A Bearer header is ignored.

`AUTH=jwt`: a program is known by `Authorization: Bearer`, a page by the cookie that it gets for a token or an
invitation. Nobody names themselves.

A cookie's name has the prefix `__Host-` where the page came by TLS, and then no other name counts: such a cookie can
be set by this host alone, over TLS (RFC 6265bis, 4.1.3.2).
"""

import contextlib
import re
import secrets
from typing import Final, Protocol

from starlette.datastructures import Headers
from starlette.responses import Response

from app.config import Settings
from app.core.errors import Expired, Forbidden, StateUnavailable, Unauthorized
from app.core.identity import Identity
from app.core.model import User
from app.edge.origins import Visitor
from app.edge.tokens import Tokens
from app.state.credentials import Credentials
from app.state.pulse import Pulse

GUEST: Final = "chat_guest"
LOGIN: Final = "chat_login"
GUEST_SECONDS: Final = 365 * 86_400
SECRET: Final = re.compile(r"[A-Za-z0-9_-]{22,64}\Z")
NAME: Final = re.compile(r"[\x21-\x7e]{1,128}\Z")
BEARER: Final = re.compile(r"bearer +(\S+) *\Z", re.IGNORECASE)


class Auth(Protocol):
    """How people are known."""

    async def identify(self, visitor: Visitor) -> Identity | None:
        """Say who sends a request; None if it names nobody.

        Raises:
            Forbidden: it names somebody in a way that does not count here.
            Expired, Unauthorized: what vouches for them is over, or can be none.
            Unavailable: that cannot be found out now.
        """

    def named(self, name: str, visitor: Visitor) -> Identity:
        """Say who a program is that names itself; raises as `identify`."""

    async def token(self, token: str) -> Identity:
        """Say for whom a token vouches; raises as `identify`."""

    async def greet(self, visitor: Visitor, response: Response) -> bool:
        """Give a page its cookie, if it can have one without a word; say whether it is known then."""


class Guests:
    """Guest mode."""

    def __init__(self, settings: Settings) -> None:
        self._open = settings.allow_guests

    async def identify(self, visitor: Visitor) -> Identity | None:
        """See `Auth`."""
        if (name := visitor.headers.get("x-user-id")) is not None:
            return self.named(name, visitor)
        cookie = cookie_of(visitor, GUEST)
        if cookie is None:
            return None
        if not _is_guest(cookie):
            raise Unauthorized(f"the cookie {GUEST} is not one of ours; open the page anew")
        return Identity(User.of("guest:cookie", cookie))

    def named(self, name: str, visitor: Visitor) -> Identity:
        """See `Auth`."""
        if self._open:
            raise Forbidden("with ALLOW_GUESTS nobody names themselves; take the cookie from GET /")
        if "origin" in visitor.headers or "sec-fetch-site" in visitor.headers:
            raise Forbidden("a name is for programs; a page is known by its cookie")
        if not NAME.match(name):
            raise Unauthorized("a user's name is 1 to 128 visible ASCII characters")
        return Identity(User.of("guest:name", name))

    async def token(self, token: str) -> Identity:
        """See `Auth`."""
        raise Unauthorized("tokens do not count here: AUTH is guest")

    async def greet(self, visitor: Visitor, response: Response) -> bool:
        """See `Auth`."""
        try:
            cookie = cookie_of(visitor, GUEST)
        except Unauthorized:
            cookie = None
        if cookie is None or not _is_guest(cookie):
            set_cookie(response, visitor, GUEST, secrets.token_urlsafe(16), GUEST_SECONDS)
        return True


class Members:
    """Who has signed in."""

    def __init__(self, settings: Settings, credentials: Credentials, pulse: Pulse) -> None:
        self._tokens = Tokens(settings)
        self._credentials = credentials
        self._pulse = pulse
        self._noted: set[str] = set()

    async def identify(self, visitor: Visitor) -> Identity | None:
        """See `Auth`."""
        headers = visitor.headers
        if "x-user-id" in headers:
            raise self._no_names()
        if (said := headers.get("authorization")) is not None:
            if not (bearer := BEARER.match(said)):
                raise Unauthorized("the Authorization header is not Bearer and a token")
            return await self.token(bearer[1])
        if (secret := cookie_of(visitor, LOGIN)) is None:
            return None
        if not SECRET.match(secret):
            raise Unauthorized(f"the cookie {LOGIN} is not one of ours; sign in again")
        known = await self._credentials.look("login", secret)
        if known is None or self._pulse.revoked(known[0]):
            raise Expired("this sign-in is over; sign in again")
        return known[0]

    def named(self, name: str, visitor: Visitor) -> Identity:
        """See `Auth`."""
        raise self._no_names()

    async def token(self, token: str) -> Identity:
        """See `Auth`."""
        identity = await self._tokens.identity(token)
        for issuer in self._tokens.issuers - self._noted:
            with contextlib.suppress(StateUnavailable):  # then with the next one
                await self._pulse.note(issuer)
                self._noted.add(issuer)
        return identity

    async def greet(self, visitor: Visitor, response: Response) -> bool:
        """See `Auth`."""
        return await self.identify(visitor) is not None

    def _no_names(self) -> Forbidden:
        return Forbidden("with AUTH=jwt nobody names themselves; expected Authorization: Bearer, or a cookie")


def cookie_of(visitor: Visitor, name: str) -> str | None:
    """Read a cookie of ours, as browsers write them (RFC 6265, 5.4): parted by `;`, and by nothing else.

    A looser reader would find our name within another's value, and `__Host-` would keep nobody out. One that is there
    twice, and says two things, was planted by somebody, who may be either: it is refused.

    Raises:
        Unauthorized
    """
    called = _called(visitor, name)
    parts = [part.strip(" \t").partition("=") for part in visitor.headers.get("cookie", "").split(";")]
    found = {value for key, _, value in parts if key == called}
    if len(found) > 1:
        raise Unauthorized(f"the cookie {called} is there {len(found)} times, each with another value; expected one")
    return found.pop() if found else None


def set_cookie(response: Response, visitor: Visitor, name: str, value: str, seconds: int) -> None:
    """Set a cookie of ours; for no seconds, remove it."""
    response.set_cookie(
        _called(visitor, name), value, max_age=seconds, path="/", httponly=True, samesite="lax", secure=visitor.secure
    )


def has_token(headers: Headers) -> bool:
    """Say whether a request brings a token along."""
    return "authorization" in headers


def _called(visitor: Visitor, name: str) -> str:
    return f"__Host-{name}" if visitor.secure else name


def _is_guest(cookie: str) -> bool:
    return len(cookie) == 22 and bool(SECRET.match(cookie))
