"""Who may come in: tokens as an issuer of the tests makes them, and keys of every kind."""

import json
import time
from typing import Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

SECRET: Final = "one secret of the tests that has sixty-four bytes and then some more"
OTHER: Final = "another secret of the tests that has sixty-four bytes and some more"
JWT: Final = {"auth": "jwt", "jwt_secrets": SECRET}


def claims(subject: str = "ada", *, seconds: float = 600.0, **more: Any) -> dict[str, Any]:
    """What a token says; `None` takes a claim out."""
    now = int(time.time())
    said = {"sub": subject, "iat": now, "exp": now + seconds} | more
    return {name: value for name, value in said.items() if value is not None}


def token(
    subject: str = "ada", *, secret: Any = SECRET, algorithm: str = "HS256", kid: str | None = None, **more: Any
) -> str:
    """A token."""
    return jwt.encode(claims(subject, **more), secret, algorithm, {"kid": kid} if kid else None)


def bearer(subject: str = "ada", **more: Any) -> dict[str, str]:
    """The header of somebody who is signed in."""
    return {"Authorization": f"Bearer {token(subject, **more)}"}


def operator(subject: str = "root") -> dict[str, str]:
    """The header of an operator."""
    return bearer(subject, role="operator")


class Signer:
    """A private key, and its public half as a JSON Web Key."""

    def __init__(self, algorithm: str, kid: str | None = None, **more: str) -> None:
        self.algorithm = algorithm
        self.kid = kid
        self.key = _made(algorithm)
        kind = jwt.get_algorithm_by_name(algorithm)
        self.public: dict[str, Any] = json.loads(kind.to_jwk(self.key.public_key())) | more
        if kid:
            self.public["kid"] = kid

    def token(self, subject: str = "ada", **more: Any) -> str:
        """A token signed with it."""
        return token(subject, secret=self.key, algorithm=self.algorithm, kid=self.kid, **more)


def _made(algorithm: str) -> Any:
    if algorithm[:2] in ("RS", "PS"):
        return rsa.generate_private_key(65537, 2048)
    curves = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
    return ec.generate_private_key(curves[algorithm]) if algorithm in curves else ed25519.Ed25519PrivateKey.generate()
