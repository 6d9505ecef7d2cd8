"""JSON Web Tokens (RFC 7519), as PyJWT checks them, with the keys of this installation.

Symmetric algorithms go with `JWT_SECRETS`, asymmetric ones with the keys of `JWKS_URL`, and never the one with the
other's: a public key is no secret (RFC 8725, 2.1). Keys are rotated by having both for a while: several secrets, or
several keys in the set, which is read again when it is old, and when a token names a key that is not in it.
"""

import asyncio
import hashlib
import json
import logging
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import jwt
from jwt.exceptions import InvalidJTIError, InvalidSubjectError

from app.config import Settings
from app.core.errors import Expired, Unauthorized, Unavailable
from app.core.identity import NEVER, Identity, Role
from app.core.model import User

SYMMETRIC: Final = ("HS256", "HS384", "HS512")
RSA: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
ASYMMETRIC: Final = (*RSA, "ES256", "ES384", "ES512", "EdDSA")
TOKEN_BYTES: Final = 8192
NAME_LENGTH: Final = 512  # of an issuer or a subject
OLD_SECONDS: Final = 300.0
SOON_SECONDS: Final = 10.0  # at most so often for the sake of a key that is not there
FETCH_SECONDS: Final = 5.0
SET_BYTES: Final = 1024 * 1024
OURS: Final = ("chat:", "guest:")  # issuers that nobody else may be
WRONG: Final[dict[type[jwt.InvalidTokenError], str]] = {
    jwt.InvalidSignatureError: "no key known here has signed it",
    jwt.InvalidAudienceError: "it is for another audience",
    jwt.InvalidIssuerError: "it is by another issuer",
    jwt.ImmatureSignatureError: "it is not valid yet",
    jwt.InvalidIssuedAtError: "its iat is no time",
    InvalidSubjectError: "its sub is not text",
    InvalidJTIError: "its jti is not text",
}

log = logging.getLogger(__name__)


class Tokens:
    """What it takes to check a token."""

    def __init__(self, settings: Settings) -> None:
        self._secrets = settings.jwt_secrets
        self._keys = KeySet(settings.jwks_url) if settings.jwks_url else None
        self._issuer = settings.jwt_issuer
        self._audience = list(settings.jwt_audience) or None
        self._leeway = settings.jwt_leeway
        self.issuers: set[str] = set()  # of tokens that counted here

    async def identity(self, token: str) -> Identity:
        """Say for whom a token vouches.

        Raises:
            Expired: it did, until then.
            Unauthorized: it does not.
            Unavailable: its issuer's keys cannot be had.
        """
        if len(token) > TOKEN_BYTES:
            raise Unauthorized(f"a token of {len(token)} bytes; at most {TOKEN_BYTES} are read")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise Unauthorized("this is not a JSON Web Token") from None
        algorithm = str(header.get("alg"))
        wrong: jwt.InvalidTokenError = jwt.InvalidSignatureError()
        for key in await self._candidates(algorithm, header.get("kid")):
            try:
                claims = self._checked(token, key, algorithm)
                identity = _identity(claims, token, self._leeway)
                self.issuers.add(claims.get("iss", ""))
                return identity
            except jwt.InvalidSignatureError as error:
                wrong = error
            except jwt.ExpiredSignatureError:
                raise Expired("this token has expired; sign in again") from None
            except jwt.InvalidTokenError as error:
                wrong = error
                break
        raise Unauthorized(f"this token does not count: {_words(wrong)}")

    async def _candidates(self, algorithm: Any, kid: Any) -> list[Any]:
        """The keys that may have signed a token."""
        if algorithm in SYMMETRIC:
            return list(self._secrets)
        if algorithm in ASYMMETRIC and self._keys is not None:
            return await self._keys.candidates(algorithm, kid)
        return []

    def _checked(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(
            token, key, algorithms=[algorithm], audience=self._audience, issuer=self._issuer, leeway=self._leeway,
            options={"require": ["sub", "exp"], "verify_aud": self._audience is not None},
        )  # fmt: skip
        return claims


class Key(NamedTuple):
    """A public key, and the algorithms that it may be used with."""

    id: Any
    algorithms: tuple[str, ...]
    key: Any


class KeySet:
    """A JSON Web Key Set (RFC 7517) at a URL, or in a file, read again when it may have changed."""

    def __init__(self, where: str) -> None:
        self._where = where
        self._keys: list[Key] = []
        self._read_at = self._asked_at = float("-inf")
        self._reading: asyncio.Task[None] | None = None

    async def candidates(self, algorithm: str, kid: Any) -> list[Any]:
        """The keys for an algorithm; the one that a token names, where it names one.

        Raises:
            Unavailable: there are none, since they cannot be had.
        """
        await self._fresh(OLD_SECONDS)
        found = self._fitting(algorithm, kid)
        if not found:
            await self._fresh(SOON_SECONDS)
            found = self._fitting(algorithm, kid)
        if not self._keys:
            raise Unavailable("the keys that sign-ins are checked with cannot be had; try again", after_ms=2000)
        return found

    def _fitting(self, algorithm: str, kid: Any) -> list[Any]:
        return [one.key for one in self._keys if algorithm in one.algorithms and kid in (None, one.id)]

    async def _fresh(self, seconds: float) -> None:
        """Have the set no older than that, if it can be had; all who need it meanwhile wait for the same reading."""
        now = time.monotonic()
        if self._reading is None and now - self._read_at > seconds and now - self._asked_at > SOON_SECONDS:
            self._asked_at = now
            self._reading = asyncio.create_task(self._read())
            self._reading.add_done_callback(self._was_read)
        if self._reading is not None:
            await asyncio.shield(self._reading)

    def _was_read(self, _: asyncio.Task[None]) -> None:
        self._reading = None

    async def _read(self) -> None:
        """Read the set; one that cannot be had leaves what is known."""
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                self._keys = _public(json.loads(await self._text()))
            self._read_at = time.monotonic()
        except (OSError, httpx2.HTTPError, ValueError) as error:
            log.error("JWKS_URL %s: %s", self._where, " ".join(str(error).split())[:200] or type(error).__name__)

    async def _text(self) -> str:
        if not self._where.startswith(("http://", "https://")):
            return await asyncio.to_thread(Path(self._where.removeprefix("file://")).read_text)
        async with (
            httpx2.AsyncClient(timeout=FETCH_SECONDS, trust_env=False) as http,
            http.stream("GET", self._where) as answer,
        ):
            answer.raise_for_status()
            text = bytearray()
            async for part in answer.aiter_bytes():
                text += part
                if len(text) > SET_BYTES:
                    raise ValueError(f"more than {SET_BYTES} bytes")
        return text.decode()


def _public(keys: Any) -> list[Key]:
    """The keys of a set that may sign tokens: public ones. Others are left out, each with a line.

    Raises:
        ValueError: it is no set.
    """
    if not isinstance(keys, dict) or not isinstance(keys.get("keys"), list):
        raise ValueError("this is no key set")
    usable = []
    for key in keys["keys"]:
        try:
            read = jwt.PyJWK.from_dict(key)
        except (jwt.PyJWTError, ValueError, TypeError, AttributeError) as error:
            log.warning("JWKS_URL: a key cannot be used: %s", type(error).__name__)
            continue
        named, name = key.get("alg"), read.algorithm_name
        if name in ASYMMETRIC and key.get("use", "sig") == "sig":
            usable.append(Key(read.key_id, RSA if name in RSA and named is None else (name,), read.key))
    return usable


def digest(id: str) -> str:
    """What a token's id is called in what is revoked."""
    return hashlib.sha256(id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def id_of(token: str) -> str:
    """The id of a token, whoever has signed it: its `jti`, or what was signed; of anything else, that.

    Not its signature: of one that ECDSA makes, anybody can make a second one (n - s for s).
    """
    try:
        claims = jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return token
    jti = claims.get("jti")
    return jti if isinstance(jti, str) and jti else token.rpartition(".")[0]


def _identity(claims: dict[str, Any], token: str, leeway: float) -> Identity:
    """Say who a token is for, and until when; its issuer's clock is right within `leeway`."""
    issuer, subject = claims.get("iss", ""), claims["sub"]
    for name, value in (("iss", issuer), ("sub", subject)):
        if not isinstance(value, str) or len(value) > NAME_LENGTH or "\0" in value or not value.isprintable():
            raise Unauthorized(f"this token does not count: its {name} is no text of at most {NAME_LENGTH} characters")
    if not subject or issuer.startswith(OURS):
        raise Unauthorized("this token does not count: its sub is empty, or its iss is one of ours")
    roles = claims.get("roles")
    operates = claims.get("role") == "operator" or (isinstance(roles, list) and "operator" in roles)
    role: Role = "operator" if operates else "user"
    issued_at, expires_at = (min(int(claims.get(name) or 0), NEVER) for name in ("iat", "exp"))
    since, until = round((issued_at - leeway) * 1000), round((expires_at + leeway) * 1000)
    return Identity(User.of(issuer, subject), role, max(0, since), min(until, NEVER), (digest(id_of(token)),))


def _words(error: jwt.InvalidTokenError) -> str:
    if isinstance(error, jwt.MissingRequiredClaimError):
        return f"its {error.claim} is missing"
    return next((words for kind, words in WRONG.items() if isinstance(error, kind)), "it cannot be read")
